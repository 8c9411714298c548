"""teleclass check on the seven-class data set, with one fault or surprise at a time."""

from __future__ import annotations

import json

import pytest
from conftest import CLASSES, TEST, TRAIN, write_lines

from teleclass.cli import main
from teleclass.config import make_config
from teleclass.folder_check import FolderCheck

# Enough documents a class, and no empty one.
MORE = {f"m{number}": f"{text} number {number}" for number, text in enumerate(list(TRAIN.values()) * 4) if text}


@pytest.fixture
def clean_dir(data_dir):
    """The seven classes with nothing to say against."""
    train = {name: text for name, text in TRAIN.items() if text} | MORE
    write_lines(data_dir / "train" / "train_corpus.txt", train)
    write_lines(data_dir / "class_related_keywords.txt", dict.fromkeys(CLASSES.values(), "ripe,loaf"), ":")
    write_lines(data_dir / "train" / "train_labels.txt", dict.fromkeys(train, "10,11"))
    return data_dir


@pytest.fixture
def check(tiny_model, capsys):
    """Run the command; returns its exit status and what it printed."""

    def run(folder, *options):
        status = main(["check", str(folder), "--model", str(tiny_model), "--no_estimate", *options])
        return status, capsys.readouterr().out

    return run


def test_a_clean_folder_is_clean_and_has_status_0(check, clean_dir):
    status, printed = check(clean_dir)
    assert (status, printed.splitlines()[-1]) == (0, "clean"), printed
    assert "\x1b" not in printed
    for line in ("files", "classes", "documents", "tokens", "gold", "  ok       course layout: every file can be read"):
        assert line in printed.splitlines()
    assert "4 paths" in printed
    assert "the encoder reads 64 tokens of a document" in printed


def test_the_reference_layout_is_checked_too(check, reference_dir):
    status, printed = check(reference_dir)
    assert status == 1
    assert "reference layout" in printed
    assert "train/corpus.txt, line 7: 1 document is empty: g (line 7)" in printed
    assert "train/llm_enrichment.txt: 4 classes of 7 without keywords" in printed


WARNINGS = {
    "long": (lambda d: (d / "test" / "test_corpus.txt").open("a").write("9\t" + "ripe " * 63 + "\n"),
             "1 document is longer: test 9"),
    "unknown": (lambda d: (d / "test" / "test_corpus.txt").open("a").write("9\tкрасный спелый pear\n"),
                "1 document consists mostly of words or signs that"),
    "overlap": (lambda d: (d / "test" / "test_corpus.txt").open("a").write("9\t" + TRAIN["a"].upper() + "\n"),
                "1 test document has the text of a training document: test 9 (line 5) = training a (line 1)"),
    "gold unknown": (lambda d: (d / "test" / "test_labels.txt").open("a").write("17\t10\n"),
                     "test/test_labels.txt: 1 id of the gold file in no corpus: 17"),
    "gold missing": (lambda d: (d / "test" / "test_labels.txt").write_text("0\t10,11\n"),
                     "test/test_labels.txt: 3 test documents without a gold label: 1, 2, 3"),
    "gold not closed": (lambda d: write_lines(d / "test" / "test_labels.txt", dict.fromkeys(TEST, "30")),
                        "4 test documents with a gold class but none of its parents: 0, 1, 2, 3"),
    "alone": (lambda d: (d / "classes.txt").open("a").write("40\tfor sale\n"), "1 class stands in no edge"),
}  # fmt: skip


@pytest.mark.parametrize("name", WARNINGS)
def test_a_surprise_is_a_warning_and_status_1(check, clean_dir, name):
    surprise, says = WARNINGS[name]
    surprise(clean_dir)
    status, printed = check(clean_dir)
    assert status == 1, printed
    assert says in printed
    assert [line for line in printed.splitlines() if line.startswith("  warning") and says in line]
    assert "0 errors" in printed


ERRORS = {
    "class twice": ("classes.txt", "10\tmore\n", "classes.txt, line 8: class id 10 stands already in line 1"),
    "edge": ("class_hierarchy.txt", "10\t99\n", "class_hierarchy.txt, line 7: class 99 is not in the class file"),
    "cycle": ("class_hierarchy.txt", "30\t10\n", "class_hierarchy.txt: the class hierarchy has a cycle"),
    "keyword": ("class_related_keywords.txt", "pears:a\n", "class_related_keywords.txt, line 8: class 'pears'"),
    "document": ("train/train_corpus.txt", "a\tagain\n", "document id 'a' stands already in line 1"),
    "no tab": ("test/test_corpus.txt", "no tab\n", "test/test_corpus.txt, line 5: expected id<TAB>text"),
    "gold": ("train/train_labels.txt", "zz\t99\n", "class 99 is not in the class file"),
    "published": ("train/init_core_classes.json", "{", "train/init_core_classes.json, line 1: is not valid JSON"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_the_experiment_would_stop_at_is_an_error_and_status_2(check, clean_dir, name):
    file, added, says = ERRORS[name]
    with (clean_dir / file).open("a") as stream:
        stream.write(added)
    status, printed = check(clean_dir)
    assert status == 2, printed
    assert [line for line in printed.splitlines() if line.startswith("  error") and says in line], printed
    assert "1 error," in printed


def test_the_faults_of_all_files_are_told_at_once(check, clean_dir):
    for file, added, _ in ERRORS.values():
        with (clean_dir / file).open("a") as stream:
            stream.write(added)
    status, printed = check(clean_dir)
    assert status == 2
    for _, _, says in ERRORS.values():
        assert says in printed


def test_without_a_training_corpus_classes_and_gold_are_still_checked(check, clean_dir):
    (clean_dir / "train" / "train_corpus.txt").unlink()
    (clean_dir / "train" / "train_labels.txt").write_text("a\t99\n")
    status, printed = check(clean_dir)
    assert status == 2
    assert "train/train_corpus.txt: the file does not exist" in printed
    assert "train/train_labels.txt, line 1: class 99" in printed
    assert "7 classes" in printed


def test_a_folder_that_is_none_is_one_error(check, tmp_path):
    status, printed = check(tmp_path / "nowhere")
    assert status == 2
    assert "does not exist" in printed


def test_a_model_that_is_not_here_is_an_error_only_if_it_was_asked_for(clean_dir, tmp_path):
    config = make_config(data_dir=clean_dir, encoder={"model": str(tmp_path / "no")}, preset="offline")
    for is_chosen, kind in ((True, "error"), (False, "warning")):
        found = FolderCheck(config, is_model_chosen=is_chosen)
        found.run(with_estimate=False)
        (finding,) = [one for section in found.sections for one in section.findings if "does not exist" in one.text]
        assert finding.kind == kind


def test_json_holds_every_finding_and_all_of_its_items(check, data_dir):
    status, printed = check(data_dir, "--json")
    answer = json.loads(printed)
    assert (status, answer["status"], answer["layout"]) == (1, "warning", "course")
    (keywords,) = [
        finding for section in answer["sections"] for finding in section["findings"] if "keywords" in finding["text"]
    ]
    assert keywords["items"] == ["food", "tools", "knives", "bread_knives"]
    assert keywords["file"] == "class_related_keywords.txt"
    assert "estimate" not in answer


def test_all_names_every_item(check, data_dir):
    write_lines(data_dir / "train" / "train_corpus.txt", dict.fromkeys("abcdefgh", ""))
    assert "a (line 1), b (line 2), c (line 3), d (line 4), e (line 5) and 3 more" in check(data_dir)[1]
    assert "g (line 7), h (line 8)\n" in check(data_dir, "--all")[1]


def test_options_of_the_experiment_are_taken_and_unknown_ones_refused(check, clean_dir, tiny_model, capsys):
    assert "the classifier reads 9 tokens" in check(clean_dir, "--training.max_tokens", "9")[1]
    before = ["--training.max_tokens", "9", "--model", str(tiny_model), str(clean_dir), "--no_estimate"]
    assert main(["check", *before]) == 0, "options may stand before the folder"
    assert "the classifier reads 9 tokens" in capsys.readouterr().out
    assert main(["check", str(clean_dir), "--trainin.epochs", "9"]) == 2
    assert "did you mean --training.epochs?" in capsys.readouterr().err


def test_it_tells_what_repair_would_mend_and_takes_that_for_a_warning_with_it(check, clean_dir):
    with (clean_dir / "train" / "train_corpus.txt").open("a") as stream:
        stream.write("a\tstands already\n")
    status, printed = check(clean_dir)
    assert status == 2
    assert "--repair mends it: line left out" in printed
    status, printed = check(clean_dir, "--repair")
    assert status == 1
    assert "mended by --repair: line left out" in printed
    (clean_dir / "class_hierarchy.txt").write_text("10\t11\n11\t10\n")
    status, printed = check(clean_dir, "--repair")
    assert status == 2, "a cycle is not mended"


def test_the_time_is_estimated_for_every_phase(clean_dir, tiny_model):
    config = make_config(
        data_dir=clean_dir, preset="offline", encoder={"model": tiny_model}, training={"model": tiny_model}
    )
    found = FolderCheck(config)
    found.run()
    assert [section.title for section in found.sections][-1] == "time"
    assert found.as_json()["estimate"]["total"] == pytest.approx(sum(found.estimate.seconds.values()))
    told = found.sections[-1].findings[0].text
    for phase in ("encode", "label", "augment", "expand", "train", "predict", "evaluate"):
        assert f"{phase} " in told


def test_a_terminal_gets_marks_and_colours(clean_dir, tiny_model, monkeypatch, capsys):
    monkeypatch.setattr("teleclass.runtime.table.wants_rich", lambda stream: True)
    main(["check", str(clean_dir), "--model", str(tiny_model), "--no_estimate"])
    assert "✓" in capsys.readouterr().out
