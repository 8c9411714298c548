"""Every metric on tiny cases by hand, against scikit-learn, and on the published annotation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from teleclass.data.gold import read_gold
from teleclass.data.layout import find_layout
from teleclass.data.taxonomy import Taxonomy, read_taxonomy
from teleclass.labelling.metrics import (
    calibration_error,
    class_table,
    example_f1,
    indicator,
    level_table,
    mean_reciprocal_rank,
    path_consistency,
    precision_at,
    ranking_metrics,
    reliability,
    set_metrics,
    top_classes,
)

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)

# Four documents: right; one of two right; all wrong; a set too large.
GOLD = [{FOOD, FRUIT}, {FOOD, FRUIT}, {TOOLS, LADDERS}, {FOOD, BREAD, BREAD_KNIVES}]
PREDICTED = [{FOOD, FRUIT}, {FOOD, BREAD}, {FOOD, FRUIT}, {FOOD, BREAD, BREAD_KNIVES, FRUIT}]


def test_the_indicator_has_a_one_for_each_label():
    assert indicator([{2, 0}, set(), {1}], 3).toarray().tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_example_f1_is_the_mean_over_documents():
    """2·2/(2+2) = 1, 2·1/(2+2) = .5, 0, 2·3/(4+3) = 6/7."""
    assert example_f1(PREDICTED, GOLD) == pytest.approx((1 + 0.5 + 0 + 6 / 7) / 4)


def test_predictions_and_gold_of_different_length_are_refused():
    with pytest.raises(ValueError, match="zip"):
        example_f1(PREDICTED, GOLD[:-1])


label_sets = st.sets(st.integers(0, 5), min_size=1)


@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(label_sets, label_sets), min_size=1, max_size=8))
def test_example_f1_is_scikit_learns_samples_average(pairs):
    predicted, gold = (list(sets) for sets in zip(*pairs, strict=True))
    theirs = f1_score(indicator(gold, 6), indicator(predicted, 6), average="samples")
    assert example_f1(predicted, gold) == pytest.approx(theirs, abs=1e-12)


def test_set_metrics_by_hand(taxonomy):
    """Pairs predicted 10, gold 9, in both 2 + 1 + 0 + 3 = 6.

    By class, (right, predicted, gold): food (3, 4, 3), fruit (1, 3, 2), bread (1, 2, 1), tools (0, 0, 1),
    ladders (0, 0, 1), bread knives (1, 1, 1); knives is neither predicted nor gold.
    Macro F1 takes the six classes with gold: 6/7, 2/5, 2/3, 0, 0, 1.
    Level 1: food and tools, 2·3/(4 + 4). Level 2: fruit, bread, knives, ladders, 2·2/(5 + 4). Level 3: 1.
    """
    found = set_metrics(PREDICTED, GOLD, taxonomy)
    assert found == pytest.approx(
        {
            "example_f1": (1 + 0.5 + 0 + 6 / 7) / 4,
            "micro_precision": 6 / 10,
            "micro_recall": 6 / 9,
            "micro_f1": 12 / 19,
            "macro_f1": (6 / 7 + 2 / 5 + 2 / 3 + 0 + 0 + 1) / 6,
            "exact_match": 1 / 4,
            "path_consistency": 1,
            "level_1_f1": 6 / 8,
            "level_2_f1": 4 / 9,
            "level_3_f1": 1,
        }
    )


def test_macro_f1_leaves_out_a_class_that_is_predicted_and_has_no_gold(taxonomy):
    """Food and fruit are right (F1 1 and 1); ladders is predicted wrongly, and counts in micro alone: 2·2/(4 + 2)."""
    found = set_metrics([{FOOD, FRUIT, TOOLS, LADDERS}], [{FOOD, FRUIT}], taxonomy)
    assert found["macro_f1"] == 1
    assert found["micro_f1"] == pytest.approx(4 / 6)


def test_a_set_with_a_label_too_few_or_too_many_is_no_exact_match(taxonomy):
    predicted = [{FOOD}, {FOOD, FRUIT, BREAD}, {FOOD, FRUIT}, {TOOLS}]
    assert set_metrics(predicted, [{FOOD, FRUIT}] * 4, taxonomy)["exact_match"] == 1 / 4


def test_a_level_without_gold_or_prediction_counts_zero(taxonomy):
    assert set_metrics([{FOOD}], [{FOOD}], taxonomy)["level_3_f1"] == 0


def test_the_metrics_of_a_taxonomy_of_one_class():
    alone = Taxonomy([7], ["all"], [])
    found = set_metrics([{0}, {0}], [{0}, {0}], alone)
    assert found["micro_f1"] == found["macro_f1"] == found["level_1_f1"] == found["example_f1"] == 1


def test_the_tables_of_a_taxonomy_of_one_class_have_one_row():
    alone = Taxonomy([7], ["all"], [])
    assert class_table([{0}, {0}], [{0}, {0}], alone) == {
        "class": [7], "name": ["all"], "level": [1], "gold_documents": [2], "predicted_documents": [2],
        "precision": [1], "recall": [1], "f1": [1],
    }  # fmt: skip
    assert level_table([{0}], [{0}], alone) == {
        "level": [1], "classes": [1], "precision": [1], "recall": [1], "f1": [1]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "consistent"),
    [
        ({FOOD, FRUIT}, 1),
        ({FRUIT}, 0),
        ({TOOLS, KNIVES, BREAD_KNIVES}, 1),  # one of the two parents is enough
        ({TOOLS, FOOD, BREAD_KNIVES}, 0),
        ({FOOD, FRUIT, LADDERS}, 0),  # one orphan spoils the document
    ],
)
def test_path_consistency_asks_for_one_parent_of_every_label(taxonomy, labels, consistent):
    assert path_consistency([labels], taxonomy) == consistent
    assert path_consistency([labels, {FOOD}], taxonomy) == (consistent + 1) / 2


# --- rankings


def test_top_classes_are_ranked_and_ties_go_to_the_lower_position():
    assert top_classes(np.array([[0.1, 0.5, 0.5, 0.9]]), 3) == [[3, 1, 2]]


def test_precision_divides_by_k_even_where_there_are_fewer_gold_labels():
    """Rankings 3, 1, 2, 0 and 0, 1, 2, 3; gold {3} and {1, 3}: at 1 (1 + 0)/2, at 3 (1/3 + 1/3)/2."""
    scores = np.array([[0.1, 0.5, 0.3, 0.9], [0.9, 0.5, 0.3, 0.1]])
    assert precision_at(scores, [{3}, {1, 3}], 1) == pytest.approx(1 / 2)
    assert precision_at(scores, [{3}, {1, 3}], 3) == pytest.approx(1 / 3)


def test_a_rank_is_taken_among_the_labels_that_are_not_gold():
    """Ranking 0, 1, 2, 3 with gold {0, 2}: above 0 no other label, above 2 only label 1: 1 and 1/2."""
    scores = np.array([[0.9, 0.7, 0.5, 0.3]])
    assert mean_reciprocal_rank(scores, [{0, 2}]) == pytest.approx((1 + 1 / 2) / 2)


def test_ties_count_against_a_gold_label():
    """Gold 1 ties with two labels that are not gold, so its rank is 3; gold labels never push each other down."""
    assert mean_reciprocal_rank(np.array([[0.5, 0.5, 0.5, 0.1]]), [{1}]) == pytest.approx(1 / 3)
    assert mean_reciprocal_rank(np.array([[0.5, 0.5, 0.5, 0.1]]), [{0, 1}]) == pytest.approx(1 / 2)
    assert mean_reciprocal_rank(np.array([[0.5, 0.5, 0.5]]), [{0, 1, 2}]) == 1


def test_the_mean_rank_is_taken_over_pairs_and_not_over_documents():
    """One document with a gold label at 1/3, one with three at 1: 3.33/4, where the mean of documents is 2/3."""
    scores = np.array([[0.9, 0.8, 0.1, 0.0], [0.9, 0.8, 0.7, 0.1]])
    assert mean_reciprocal_rank(scores, [{2}, {0, 1, 2}]) == pytest.approx((1 / 3 + 3) / 4)


def test_ranking_metrics_by_hand():
    """Top three of both documents {0, 1, 2}; gold {0, 1} and {3}: example F1 (4/5 + 0)/2, P@1 1/2, P@3 (2/3)/2.

    Ranks: 0 and 1 stand first among the others, 3 behind three: (1 + 1 + 1/4)/3.
    """
    scores = np.array([[0.9, 0.8, 0.7, 0.1]] * 2)
    assert ranking_metrics(scores, [{0, 1}, {3}]) == pytest.approx(
        {"example_f1_top3": 2 / 5, "precision_at_1": 1 / 2, "precision_at_3": 1 / 3, "mrr": 2.25 / 3}
    )


def test_two_classes_have_a_top_three_of_two_and_still_divide_by_three():
    found = ranking_metrics(np.array([[0.9, 0.1]]), [{0}])
    assert found["precision_at_3"] == pytest.approx(1 / 3)
    assert found["example_f1_top3"] == pytest.approx(2 / 3)


# --- tables


def test_the_class_table_by_hand(taxonomy):
    table = class_table(PREDICTED, GOLD, taxonomy)
    assert {len(column) for column in table.values()} == {7}
    rows = [
        tuple(table[name][node] for name in ("class", "name", "level", "gold_documents", "predicted_documents"))
        for node in (FOOD, KNIVES, BREAD_KNIVES)
    ]
    assert rows == [(10, "food", 1, 3, 4), (21, "knives", 2, 0, 0), (30, "bread_knives", 3, 1, 1)]
    # right / predicted, right / gold; tools and ladders are never predicted, knives neither predicted nor gold
    assert table["precision"] == pytest.approx([3 / 4, 1 / 3, 1 / 2, 0, 0, 0, 1])
    assert table["recall"] == pytest.approx([3 / 3, 1 / 2, 1 / 1, 0, 0, 0, 1])
    assert table["f1"] == pytest.approx([6 / 7, 2 / 5, 2 / 3, 0, 0, 0, 1])


def test_the_level_table_by_hand(taxonomy):
    """Right, predicted, gold: level 1 (3, 4, 4), level 2 (2, 5, 4), level 3 (1, 1, 1)."""
    table = level_table(PREDICTED, GOLD, taxonomy)
    assert table["level"] == [1, 2, 3]
    assert table["classes"] == [2, 4, 1]
    assert table["precision"] == pytest.approx([3 / 4, 2 / 5, 1])
    assert table["recall"] == pytest.approx([3 / 4, 2 / 4, 1])
    assert table["f1"] == pytest.approx([3 / 4, 4 / 9, 1])


# --- the published annotation of the 29,487 Amazon reviews


class Published:
    def __init__(self, folder: Path):
        self.folder = folder
        self.taxonomy = read_taxonomy(folder, find_layout(folder))
        self.gold = read_gold(folder / "train" / "doc2labels.txt", self.taxonomy)

    def annotation(self, file: str) -> dict:
        return json.loads((self.folder / "train" / file).read_text("utf-8"))

    def positions(self, ids: list[str]) -> set[int]:
        return {self.taxonomy.position[int(number)] for number in ids}


@pytest.fixture(scope="module")
def published(shared_data) -> Published:
    folder = shared_data / "amazon_531_reference"
    if not folder.is_dir():
        pytest.skip("the published files are not here")
    return Published(folder)


def test_the_first_annotation_reaches_the_published_example_f1(published):
    """.653 over all 29,487 reviews, the 179 without an annotation counting 0; .657 over the annotated ones."""
    annotated = {
        document: published.positions(one["with ancestors"])
        for document, one in published.annotation("init_core_classes.json").items()
    }
    assert len(published.gold) == 29_487
    guess = [annotated.get(document, set()) for document in published.gold]
    gold = list(published.gold.values())
    assert round(example_f1(guess, gold), 3) == 0.653
    answered = [(p, g) for p, g in zip(guess, gold, strict=True) if p]
    assert len(answered) == 29_308
    assert round(example_f1(*zip(*answered, strict=True)), 3) == 0.657


def test_the_refined_annotation_reaches_the_published_example_f1_only_with_ancestors(published):
    """.718 on the 22,115 reviews it keeps; .424 as the file has it."""
    refined = {
        document: published.positions(ids)
        for document, ids in published.annotation("refined_core_classes.json").items()
    }
    gold = [published.gold[document] for document in refined]
    assert len(refined) == 22_115
    assert round(example_f1([published.taxonomy.close(p) for p in refined.values()], gold), 3) == 0.718
    assert round(example_f1(list(refined.values()), gold), 3) == 0.424


def test_reliability_bins_labels_by_probability_and_the_error_is_the_mean_distance():
    """Bins of two: (.2, .4) with none right, (.6, .8) with one, (.9) alone and right; errors .3, .2, .1."""
    bins = reliability(np.array([0.9, 0.2, 0.8, 0.4, 0.6]), np.array([1, 0, 1, 0, 0]), n_bins=3)
    assert bins["labels"].tolist() == [2, 2, 1]
    assert bins["probability"] == pytest.approx([0.3, 0.7, 0.9])
    assert bins["accuracy"].tolist() == [0, 0.5, 1]
    assert calibration_error(bins) == pytest.approx((2 * 0.3 + 2 * 0.2 + 0.1) / 5)


def test_fewer_labels_than_bins_leave_no_bin_empty():
    assert reliability(np.array([0.5]), np.array([1.0]))["labels"].tolist() == [1]
