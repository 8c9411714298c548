"""Gold labels by document id, as class positions."""

from __future__ import annotations

import pytest
from conftest import TRAIN_GOLD

from teleclass.data.gold import gold_file, read_gold
from teleclass.data.layout import COURSE, REFERENCE, find_layout
from teleclass.errors import InputError


def gold_of(folder, taxonomy, content: str):
    file = folder / "gold.txt"
    file.write_bytes(content.encode())
    return read_gold(file, taxonomy)


@pytest.mark.parametrize("split", ["train", "test"])
def test_both_layouts_hold_the_same_gold(data_dir, reference_dir, taxonomy, split):
    course = gold_file(data_dir, find_layout(data_dir), split)
    reference = gold_file(reference_dir, find_layout(reference_dir), split)
    assert course == data_dir / split / f"{split}_labels.txt"
    assert reference == reference_dir / split / "doc2labels.txt"
    assert read_gold(course, taxonomy) == read_gold(reference, taxonomy)


def test_the_layouts_name_their_gold_differently(tmp_path):
    assert gold_file(tmp_path, COURSE, "train").name != gold_file(tmp_path, REFERENCE, "train").name


def test_labels_become_positions(data_dir, taxonomy):
    gold = read_gold(gold_file(data_dir, COURSE, "train"), taxonomy)
    assert gold["e"] == {3, 4, 6}  # 20, 21, 30: tools, knives, bread_knives
    assert list(gold) == list(TRAIN_GOLD)


def test_documents_without_a_label_are_left_out(tmp_path, taxonomy):
    assert gold_of(tmp_path, taxonomy, "a\t10\nb\t\nc\t ,, \nd\t11\n") == {"a": {0}, "d": {1}}


def test_spaces_repeated_labels_and_windows_line_ends_do_no_harm(tmp_path, taxonomy):
    assert gold_of(tmp_path, taxonomy, "\ufeffa\t10, 11 ,10,\r\nb\t12\r\n") == {"a": {0, 1}, "b": {2}}


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        ("a\t10\nb\t10,99\n", 2, "class 99 is not in the class file"),
        ("a\t10\nb\t10,food\n", 2, "class id 'food' is not a whole number"),
        ("a\t10\nb\t1_0\n", 2, "class id '1_0' is not a whole number"),
        ("a\t10\nb\t10;11\n", 2, "class id '10;11' is not a whole number"),
        ("a\t10\nb 11\n", 2, "expected id<TAB>class,class"),
        ("a\t10\n\nb\t11\na\t12\n", 4, "document id 'a' stands already in line 1"),
        ("a\t\na\t12\n", 2, "document id 'a' stands already in line 1"),
    ],
)
def test_broken_gold_is_told_with_file_and_line(tmp_path, taxonomy, content, line, problem):
    with pytest.raises(InputError) as fault:
        gold_of(tmp_path, taxonomy, content)
    assert (fault.value.file, fault.value.line) == (str(tmp_path / "gold.txt"), line)
    assert problem in fault.value.problem
