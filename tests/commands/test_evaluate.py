"""teleclass evaluate: labels from files against gold."""

import json

import pytest
from conftest import TEST_GOLD

from teleclass.cli import main


def evaluated(data_dir, content, capsys, *more):
    file = data_dir / "labels.csv"
    file.write_text(content)
    status = main(["evaluate", "--data_dir", str(data_dir), "--labels", str(file), "--json", *more])
    printed = capsys.readouterr()
    return status, json.loads(printed.out) if status == 0 else printed.err


def test_gold_itself_is_right_in_the_submissions_form_and_in_predicts(data_dir, capsys):
    submission = "id,labels\n" + "".join(f'{name},"{labels}"\n' for name, labels in TEST_GOLD.items())
    predicted = "id,class_ids,paths\n" + "".join(
        f"{name},{labels.replace(',', '; ')},x\n" for name, labels in TEST_GOLD.items()
    )
    for content in (submission, predicted):
        status, metrics = evaluated(data_dir, content, capsys)
        assert status == 0
        assert metrics["test/example_f1"] == metrics["test/micro_f1"] == metrics["test/path_consistency"] == 1
        assert metrics["test/documents_with_gold"] == 4


def test_a_document_without_labels_counts_as_wrong(data_dir, capsys):
    some = "id,labels\n" + "".join(f'{name},"{labels}"\n' for name, labels in list(TEST_GOLD.items())[:3])
    _, metrics = evaluated(data_dir, some, capsys)
    assert metrics["test/example_f1"] == pytest.approx(0.75)
    assert metrics["test/documents_with_labels"] == 3


def test_the_other_split_has_its_own_gold_and_names(data_dir, capsys):
    _, metrics = evaluated(data_dir, 'id,labels\na,"10,11"\n', capsys, "--split", "train")
    assert metrics["train/documents_with_gold"] == 7
    assert metrics["train/example_f1"] == pytest.approx(1 / 7)


def test_a_table_is_printed_without_json(data_dir, capsys):
    (data_dir / "labels.csv").write_text("id,labels\n0,10\n")
    assert main(["evaluate", "--data_dir", str(data_dir), "--labels", str(data_dir / "labels.csv")]) == 0
    assert "test/example_f1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("id,classes\n0,10\n", "labels.csv, line 1: expected a header with id and labels or class_ids"),
        ("id,labels\n0,10\n0,11\n", "labels.csv, line 3: document id '0' stands already in line 2"),
        ("id,labels\n0,99\n", "labels.csv, line 2: class 99 is not in the class file"),
        ("id,labels\n0,ten\n", "labels.csv, line 2: class id 'ten' is not a whole number"),
        ('id,labels\n0,"10\n', "labels.csv: is not valid CSV"),
    ],
)
def test_faults_name_file_and_line(data_dir, capsys, content, says):
    status, printed = evaluated(data_dir, content, capsys)
    assert status == 2
    assert says in printed


def test_without_gold_it_says_so(data_dir, capsys):
    (data_dir / "test" / "test_labels.txt").unlink()
    status, printed = evaluated(data_dir, "id,labels\n0,10\n", capsys)
    assert status == 2
    assert "no gold" in printed
