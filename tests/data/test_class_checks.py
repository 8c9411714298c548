"""What would surprise in a taxonomy."""

from __future__ import annotations

import pytest
from conftest import CLASSES, EDGES, KEYWORDS, write_lines

from teleclass.data.class_checks import check_classes, similar_names
from teleclass.data.findings import OK, WARNING
from teleclass.data.layout import COURSE
from teleclass.data.taxonomy import read_taxonomy


def findings_of(folder):
    return check_classes(read_taxonomy(folder, COURSE), COURSE, folder)


def warnings_of(folder):
    return [finding for finding in findings_of(folder) if finding.kind == WARNING]


def give_all_keywords(folder):
    write_lines(folder / COURSE.keywords, dict.fromkeys(CLASSES.values(), "a,b"), ":")


def test_counts_of_the_seven_classes_are_told(data_dir):
    texts = [finding.text for finding in findings_of(data_dir)]
    assert "7 classes" in texts
    assert "3 levels: 2 on level 1, 4 on level 2, 1 on level 3" in texts
    assert "2 roots, 3 leaves, 4 paths from a root to a leaf" in texts


def test_a_class_with_two_parents_is_told_and_is_no_warning(data_dir):
    (several,) = [finding for finding in findings_of(data_dir) if "several parents" in finding.text]
    assert (several.kind, several.items) == (OK, ("bread_knives",))


def test_a_class_without_keywords_beside_some_that_have_them_is_a_warning(data_dir):
    (warning,) = warnings_of(data_dir)
    assert warning.text == "4 classes of 7 without keywords"
    assert warning.file == COURSE.keywords
    assert set(warning.items) == set(CLASSES.values()) - set(KEYWORDS)


def test_no_keywords_at_all_are_no_warning(data_dir):
    (data_dir / COURSE.keywords).unlink()
    assert warnings_of(data_dir) == []


def test_one_description_is_a_warning_and_all_are_none(data_dir):
    give_all_keywords(data_dir)
    (data_dir / COURSE.descriptions).write_text("fruit\tgrows on trees\n")
    (warning,) = warnings_of(data_dir)
    assert warning.text == "6 classes of 7 without a description"
    write_lines(data_dir / COURSE.descriptions, dict.fromkeys(CLASSES.values(), "text"))
    assert warnings_of(data_dir) == []


def write_edges(folder, edges):
    (folder / COURSE.hierarchy).write_text("".join(f"{parent}\t{child}\n" for parent, child in edges))


@pytest.mark.parametrize(
    ("edges", "says", "items"),
    [
        (EDGES[:3] + EDGES[4:], "1 class stands in no edge", ("ladders",)),
        ([], "no class has a parent", ()),
        ([*EDGES, EDGES[0]], "1 edge stands more than once", ("10 > 11",)),
        ([*EDGES, (10, 30)], "1 edge skips a class that lies between", ("food > bread_knives",)),
    ],
)
def test_odd_edges_are_warnings(data_dir, edges, says, items):
    give_all_keywords(data_dir)
    write_edges(data_dir, edges)
    (warning,) = warnings_of(data_dir)
    assert warning.text.startswith(says)
    assert warning.items == items
    assert warning.file == COURSE.hierarchy


def test_nothing_is_concluded_from_a_hierarchy_that_could_not_be_read(data_dir):
    give_all_keywords(data_dir)
    write_edges(data_dir, [])
    taxonomy = read_taxonomy(data_dir, COURSE)
    assert not [one for one in check_classes(taxonomy, COURSE, data_dir, has_edges=False) if one.kind == WARNING]


def test_underscores_are_told_and_names_without_a_word_are_warned_of(data_dir):
    write_lines(data_dir / COURSE.classes, CLASSES | {22: "3_4"})
    give_all_keywords(data_dir)
    (data_dir / COURSE.keywords).write_text("")
    (wordless,) = warnings_of(data_dir)
    assert wordless.items == ("3_4",)
    (underscored,) = [finding for finding in findings_of(data_dir) if "underscores" in finding.text]
    assert (underscored.kind, underscored.items) == (OK, ("3_4", "bread_knives"))


@pytest.mark.parametrize(
    ("names", "similar"),
    [
        (["fruits", "fruit"], True),
        (["gummy_candies", "gummy candy"], True),
        (["Dolls & accessories", "doll_accessories"], True),
        (["pots and pans", "pans_pots"], True),
        (["headphones", "headphnes"], True),
        (["cleansers", "cleaners"], True),
        (["cats", "bats"], False),
        (["size 10 shoes", "size 12 shoes"], False),
        (["bread", "bread_knives"], False),
        (["ladders", "letters"], False),
    ],
)
def test_names_are_similar_when_they_differ_in_endings_order_or_a_letter(names, similar):
    assert similar_names(names) == ([tuple(names)] if similar else [])


def test_similar_names_are_a_warning(data_dir):
    write_lines(data_dir / COURSE.classes, CLASSES | {22: "ladder", 11: "ladders"})
    (data_dir / COURSE.keywords).write_text("")
    (warning,) = warnings_of(data_dir)
    assert warning.items == ("ladders / ladder",)
