"""Training rows: what is ignored, and what a row weighs."""

from __future__ import annotations

import numpy as np
import pytest

from teleclass.labelling.expansion import (
    ExpansionConfig,
    confidence_weight,
    generated_weight,
    ignored_classes,
    mean_one,
)

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)


@pytest.mark.parametrize(
    ("positives", "ignored"),
    [
        ([FOOD], {FRUIT, BREAD, BREAD_KNIVES}),
        ([FOOD, BREAD], {BREAD_KNIVES}),  # fruit is a negative: the label went on to bread
        ([FOOD, FRUIT], set()),  # nothing below fruit
        ([FOOD, FRUIT, TOOLS], {KNIVES, LADDERS, BREAD_KNIVES}),  # tools is deepest on its side
        ([FOOD, BREAD, BREAD_KNIVES], set()),  # knives lies above a positive, not below a deepest
        ([FOOD, BREAD, BREAD_KNIVES, TOOLS], {KNIVES, LADDERS}),  # a positive is never ignored
        ([], set()),
    ],
)
def test_the_descendants_of_the_deepest_classes_are_ignored(taxonomy, positives, ignored):
    assert ignored_classes(iter(positives), taxonomy) == ignored


def test_the_weight_rises_from_the_floor_to_one_with_the_margin():
    """.2 + .8 · margin."""
    np.testing.assert_allclose(confidence_weight(np.array([0, 0.25, 0.5, 1]), 0.2), [0.2, 0.4, 0.6, 1])
    np.testing.assert_allclose(confidence_weight(np.array([-1e-6, 1 + 1e-6]), 0.2), [0.2, 1], atol=1e-9)
    np.testing.assert_allclose(confidence_weight(np.array([0, 0.5]), 1.0), [1, 1])


@pytest.mark.parametrize(
    ("n_corpus", "n_generated", "weight"), [(100, 400, 0.25), (100, 100, 1), (400, 100, 1), (100, 0, 0), (0, 5, 0)]
)
def test_generated_documents_weigh_no_more_together_than_the_corpus(n_corpus, n_generated, weight):
    assert generated_weight(n_corpus, n_generated) == weight
    assert n_generated * weight <= n_corpus


def test_weights_are_scaled_to_a_mean_of_one():
    """(1, 2, 3) has the mean 2."""
    np.testing.assert_allclose(mean_one(np.array([1.0, 2.0, 3.0])), [0.5, 1, 1.5])


def test_rows_that_all_weigh_nothing_count_alike_and_no_rows_stay_none():
    np.testing.assert_array_equal(mean_one(np.zeros(3)), np.ones(3))
    assert len(mean_one(np.array([]))) == 0


@pytest.mark.parametrize("floor", [-0.1, 1.1])
def test_a_floor_out_of_range_is_refused(floor):
    with pytest.raises(ValueError, match=r"expansion\.weight_floor"):
        ExpansionConfig(weight_floor=floor)
