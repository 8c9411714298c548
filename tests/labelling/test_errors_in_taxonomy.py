"""Kinds of errors on the seven-class taxonomy, by hand, and as partitions of anything."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teleclass.labelling.errors_in_taxonomy import (
    CLASS_KINDS,
    DOCUMENT_KINDS,
    class_kind,
    document_kind,
    taxonomy_errors,
)

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)


@pytest.mark.parametrize(
    ("predicted", "gold", "kind"),
    [
        ({FOOD, FRUIT}, {FOOD, FRUIT}, "right"),
        ({FOOD}, {FOOD, FRUIT}, "too_short"),
        (set(), {FOOD, FRUIT}, "too_short"),
        ({FOOD, BREAD}, {FOOD, BREAD, TOOLS, KNIVES, BREAD_KNIVES}, "too_short"),
        ({FOOD, FRUIT}, {FOOD}, "too_long"),
        ({FOOD, FRUIT, TOOLS, LADDERS}, {FOOD, FRUIT}, "too_long"),
        ({FOOD, FRUIT}, {FOOD, BREAD}, "sibling"),
        ({FOOD, FRUIT}, {FOOD, BREAD, BREAD_KNIVES}, "sibling"),
        ({TOOLS, LADDERS}, {FOOD, BREAD}, "other_root"),
        ({TOOLS, KNIVES, BREAD_KNIVES}, {FOOD, BREAD, BREAD_KNIVES}, "other_root"),  # the class has both roots above it
        ({FOOD, BREAD, BREAD_KNIVES}, {FOOD, FRUIT}, "other_branch"),  # one wrong step and a second one below it
        ({FOOD, FRUIT, TOOLS}, {FOOD, BREAD}, "other_branch"),  # a sibling, and another root beside
    ],
)
def test_a_document_has_the_first_kind_that_holds(taxonomy, predicted, gold, kind):
    assert document_kind(predicted, gold, taxonomy) == kind


@pytest.mark.parametrize(
    ("wrong", "gold", "missed", "kind"),
    [
        (TOOLS, {FOOD, FRUIT}, {FRUIT}, "other_root"),
        (BREAD, {FOOD, FRUIT}, {FRUIT}, "sibling"),
        (BREAD, {FOOD, FRUIT}, set(), "extra_child"),
        (BREAD, {FOOD}, set(), "extra_child"),
        (LADDERS, {FOOD, FRUIT}, {FRUIT}, "below_a_wrong_class"),
        (BREAD_KNIVES, {TOOLS, KNIVES}, set(), "extra_child"),  # one gold parent of two is enough
        (BREAD_KNIVES, {TOOLS, LADDERS}, {LADDERS}, "below_a_wrong_class"),
    ],
)
def test_a_wrong_class_has_the_first_kind_that_holds(taxonomy, wrong, gold, missed, kind):
    assert class_kind(wrong, gold, missed, taxonomy) == kind


def test_wrong_classes_are_counted_by_level_and_siblings_by_pair(taxonomy):
    """Fruit for bread twice, once with a class below it; tools for food, with ladders below."""
    gold = [{FOOD, BREAD}, {FOOD, FRUIT}, {FOOD, FRUIT}, {FOOD, FRUIT}]
    predicted = [{FOOD, FRUIT}, {FOOD, BREAD}, {FOOD, BREAD, BREAD_KNIVES}, {TOOLS, LADDERS}]
    found = taxonomy_errors(predicted, gold, taxonomy)
    assert found.kinds == ["sibling", "sibling", "other_branch", "other_root"]
    assert found.wrong_classes == {
        ("sibling", 2): 3,
        ("below_a_wrong_class", 3): 1,
        ("other_root", 1): 1,
        ("below_a_wrong_class", 2): 1,
    }
    assert found.confused == {(BREAD, FRUIT): 1, (FRUIT, BREAD): 2, (FOOD, TOOLS): 1}


def test_an_extra_class_is_not_confused_with_one_that_was_found(taxonomy):
    assert taxonomy_errors([{FOOD, FRUIT, BREAD}], [{FOOD, FRUIT}], taxonomy).confused == {}


closed_sets = st.frozensets(st.integers(0, 6), min_size=1, max_size=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.tuples(closed_sets, closed_sets), max_size=5))
def test_every_document_and_every_wrong_class_has_exactly_one_kind(taxonomy, pairs):
    predicted, gold = [taxonomy.close(one) for one, _ in pairs], [taxonomy.close(one) for _, one in pairs]
    found = taxonomy_errors(predicted, gold, taxonomy)
    assert len(found.kinds) == len(pairs)
    assert set(found.kinds) <= set(DOCUMENT_KINDS)
    assert {kind for kind, _ in found.wrong_classes} <= set(CLASS_KINDS)
    assert found.wrong_classes.total() == sum(len(p - g) for p, g in zip(predicted, gold, strict=True))
    for kind, guess, truth in zip(found.kinds, predicted, gold, strict=True):
        assert (kind == "right") == (guess == truth)
