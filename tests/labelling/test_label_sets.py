"""Label sets in two arrays, used as lists."""

import numpy as np
import pytest

from teleclass.labelling.label_sets import BLOCK, LabelSets

LISTS = [[3, 0], [], [2], [5, 4, 1]]


def test_lists_come_out_as_they_went_in():
    sets = LabelSets.of(LISTS)
    assert list(sets) == LISTS
    assert [sets[row] for row in range(-4, 4)] == LISTS * 2
    assert len(sets) == 4
    assert sets.classes.dtype == np.int32


def test_rows_name_the_document_of_each_class():
    assert LabelSets.of(LISTS).rows.tolist() == [0, 0, 2, 3, 3, 3]


def test_parts_are_joined_in_order():
    joined = LabelSets.joined([LabelSets.of(LISTS[:1]), LabelSets.of(LISTS[1:]), LabelSets.of([])])
    assert list(joined) == LISTS
    assert list(LabelSets.joined([])) == list(LabelSets.of([])) == []


@pytest.mark.parametrize("row", [4, -5])
def test_a_document_that_is_not_there_is_refused(row):
    with pytest.raises(IndexError, match=r"of 4"):
        LabelSets.of(LISTS)[row]


def test_some_documents_in_any_order_and_as_sets():
    sets = LabelSets.of(LISTS)
    rows = np.array([3, 0, 3])
    assert list(sets.chosen(rows)) == [LISTS[3], LISTS[0], LISTS[3]]
    assert list(sets.chosen(rows[:0])) == []
    assert list(sets.as_sets) == [set(one) for one in LISTS]
    assert list(sets.as_sets[1:3]) == [set(one) for one in LISTS[1:3]]
    assert sets.as_sets[-1] == set(LISTS[-1])
    assert len(sets.as_sets) == len(LISTS)


def test_more_documents_than_are_turned_into_numbers_at_once():
    many = [[number % 5, 7] if number % 3 else [] for number in range(2 * BLOCK + 1)]
    assert list(LabelSets.of(many)) == many
