"""Which documents are shown, and how they are cut."""

from hypothesis import given
from hypothesis import strategies as st

from teleclass.data.taxonomy import Taxonomy
from teleclass.report.examples import MOST_CHARACTERS, as_paths, drawn, shortened, spread_over_roots

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)


def test_roots_take_turns_the_larger_first():
    rows = [10, 11, 12, 13, 14, 15]
    roots = [1, 1, 1, 2, 3, 3]
    assert spread_over_roots(rows, roots, 4) == [10, 14, 13, 11]
    assert spread_over_roots(rows, roots, 99) == [10, 14, 13, 11, 15, 12]
    assert spread_over_roots([], [], 10) == []


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(0, 12))
def test_no_document_is_shown_twice_and_no_root_twice_before_each_had_its_turn(roots, number):
    chosen = spread_over_roots(range(len(roots)), roots, number)
    assert len(chosen) == len(set(chosen)) == min(number, len(roots))
    first = [roots[row] for row in chosen[: len(set(roots))]]
    assert len(first) == len(set(first))


def test_the_lot_is_always_the_same_and_not_the_order_of_the_file():
    rows = list(range(50))
    assert drawn(rows) == drawn(rows) != rows
    assert sorted(drawn(rows)) == rows


def test_texts_are_cut_between_words():
    text = "word " * 200
    cut = shortened(text)
    assert cut.endswith("word …")
    assert len(cut) <= MOST_CHARACTERS + 2
    assert shortened("a\n short\ttext ") == "a short text"


def test_a_text_without_blanks_is_cut_too():
    assert len(shortened("x" * 1000)) <= MOST_CHARACTERS + 2


def test_a_set_is_read_as_paths_that_hold_every_class(taxonomy):
    assert as_paths({FOOD, FRUIT}, taxonomy) == [[FOOD, FRUIT]]
    assert as_paths({FOOD, FRUIT, BREAD}, taxonomy) == [[FOOD, FRUIT], [FOOD, BREAD]]
    assert as_paths(set(), taxonomy) == []
    both_parents = as_paths({FOOD, BREAD, TOOLS, KNIVES, BREAD_KNIVES}, taxonomy)
    assert both_parents == [[FOOD, BREAD, BREAD_KNIVES], [TOOLS, KNIVES]]


def test_a_set_with_gaps_is_read_too():
    chain = Taxonomy([1, 2, 3], ["a", "b", "c"], [(0, 1), (1, 2)])
    assert as_paths({0, 2}, chain) == [[0], [2]]
