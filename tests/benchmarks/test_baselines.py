"""Every baseline against what is worked out by hand, and the tree search against its definition read literally."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.baselines import best_leaf, cosine_threshold, cosine_top_3, search_candidates, supervised, tree_search
from benchmarks.evaluation import Gold, LeftOut, chosen_first
from teleclass.data.corpus import Corpus
from teleclass.data.dataset import Dataset
from teleclass.data.layout import COURSE
from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.decoding import DecodingConfig
from teleclass.labelling.metrics import example_f1, ranking_metrics, top_classes
from teleclass.labelling.similarity import unit

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)
COSINES = np.array(
    [
        # food, fruit, bread, tools, knives, ladders, bread_knives
        [0.60, 0.50, 0.57, 0.20, 0.10, 0.40, 0.30],
        [0.10, 0.20, 0.50, 0.30, 0.53, 0.40, 0.55],
    ],
    dtype=np.float32,
)


def test_the_three_most_similar_classes():
    filed = cosine_top_3(COSINES)
    assert filed.labels == [{FOOD, BREAD, FRUIT}, {BREAD_KNIVES, KNIVES, BREAD}]
    assert filed.scores is COSINES
    assert cosine_top_3(COSINES[:, :2]).labels == [{0, 1}, {0, 1}]


def test_every_class_within_the_margin_of_the_most_similar_one():
    assert cosine_threshold(COSINES).labels == [{FOOD, BREAD}, {BREAD_KNIVES, KNIVES, BREAD}]


def test_the_best_leaf_brings_its_ancestors_over_all_parents_though_an_inner_class_is_nearer(taxonomy):
    """The first document is nearest to food, its best leaf is fruit; bread knives have five classes."""
    filed = best_leaf(COSINES, taxonomy)
    assert filed.labels == [{FOOD, FRUIT}, {FOOD, BREAD, TOOLS, KNIVES, BREAD_KNIVES}]
    assert top_classes(filed.scores, 7)[0] == [FOOD, FRUIT, BREAD, LADDERS, BREAD_KNIVES, TOOLS, KNIVES]


def test_chosen_classes_come_before_all_others_and_keep_their_order():
    filed = chosen_first([{1, 2}], np.array([[0.9, -0.9, 0.1, -0.2]]))
    assert top_classes(filed.scores, 4) == [[2, 1, 0, 3]]


def test_the_tree_search_takes_the_most_similar_of_the_classes_that_it_meets():
    """Four roots, of which the least similar holds the most similar class: it is never met."""
    tree = Taxonomy(range(6), list("abcdef"), [(3, 4), (0, 5)])
    similarity = np.array([[0.3, 0.2, 0.25, 0.1, 0.9, 0.4]], dtype=np.float32)
    assert search_candidates(similarity[0], tree) == pytest.approx({0: 0.3, 1: 0.2, 2: 0.25, 5: 0.12})
    filed = tree_search(similarity, tree)
    assert filed.labels == [{0, 5}]
    assert top_classes(filed.scores, 6) == [[5, 0, 2, 1, 4, 3]]


def test_a_class_below_two_kept_parents_takes_the_better_path(taxonomy):
    kept = search_candidates(COSINES[1], taxonomy)
    assert kept[BREAD_KNIVES] == pytest.approx(0.3 * 0.53 * 0.55)
    assert set(kept) == set(range(7))


def random_dag(rng: np.random.Generator, n_classes: int) -> Taxonomy:
    """Classes on three to five levels, with up to three parents each, numbered without order."""
    level = np.concatenate([[0, 0, 0, 0, 0], rng.integers(1, 5, n_classes - 5)])
    number = rng.permutation(n_classes)
    edges = set()
    for child in range(n_classes):
        above = np.flatnonzero(level < level[child])
        for parent in rng.choice(above, min(len(above), int(rng.integers(1, 4))), replace=False) if len(above) else []:
            edges.add((int(number[parent]), int(number[child])))
    return Taxonomy(range(n_classes), [f"c{node}" for node in range(n_classes)], sorted(edges))


def definition_of_tree_search(similarity: np.ndarray, taxonomy: Taxonomy) -> dict[int, float]:
    """The same by whole paths: a path survives a level if its last class is kept there and it was offered."""
    alive: list[tuple[int, ...]] = [()]
    kept: dict[int, float] = {}
    for level in itertools.count():
        longer = []
        for path in alive:
            children = taxonomy.children(path[-1]) if path else taxonomy.roots
            ranked = sorted(children, key=lambda node: (-similarity[node], node))
            longer += [(*path, child) for child in ranked[: level + 3]]
        if not longer:
            return kept
        score = {path: float(np.prod([max(0.0, float(similarity[node])) for node in path])) for path in longer}
        best_of = {path[-1]: max(score[one] for one in longer if one[-1] == path[-1]) for path in longer}
        survivors = sorted(best_of, key=lambda node: (-best_of[node], node))[: (level + 2) ** 2]
        for node in survivors:
            kept[node] = max(kept.get(node, 0.0), best_of[node])
        alive = [path for path in longer if path[-1] in survivors]
    raise AssertionError


@pytest.mark.parametrize("seed", range(6))
def test_the_tree_search_is_its_definition_on_a_small_dag(seed):
    rng = np.random.default_rng(seed)
    taxonomy = random_dag(rng, 45)
    met = 0
    for similarity in rng.uniform(-0.2, 1, size=(10, 45)):
        kept = search_candidates(similarity, taxonomy)
        assert kept == pytest.approx(definition_of_tree_search(similarity, taxonomy))
        met += len(kept)
    assert met < 10 * 45  # something was pruned


def data_of(taxonomy, tmp_path, n_train: int, n_test: int) -> Dataset:
    ids = [str(number) for number in range(n_train + n_test)]
    return Dataset(tmp_path, COURSE, taxonomy, Corpus(ids, ["x"] * len(ids), n_train))


@pytest.fixture
def separable(taxonomy):
    """Sixty documents that lie close to the vector of one leaf's path, and their gold."""
    rng = np.random.default_rng(3)
    sets = [{FOOD, FRUIT}, {TOOLS, LADDERS}, {TOOLS, KNIVES, BREAD_KNIVES}]
    centres = unit(rng.normal(size=(3, 24)))
    gold = [sets[row % 3] for row in range(60)]
    documents = unit(centres[np.arange(60) % 3] + 0.01 * rng.normal(size=(60, 24)))
    return documents, gold


def test_the_supervised_bound_is_reached_on_separable_documents(taxonomy, tmp_path, separable):
    documents, gold = separable
    data = data_of(taxonomy, tmp_path, 30, 30)
    filed = supervised(documents, Gold(np.arange(30), gold[:30]), data, DecodingConfig())
    assert example_f1(filed.labels, gold[30:]) == 1.0
    assert ranking_metrics(filed.scores, gold[30:])["mrr"] == 1.0


def test_without_a_test_corpus_no_document_is_filed_by_a_regression_that_saw_it(taxonomy, tmp_path, separable):
    """Gold drawn by chance can be learnt by heart, and by a regression that did would come out right."""
    documents, gold = separable
    every = np.arange(60)
    data = data_of(taxonomy, tmp_path, 60, 0)
    assert example_f1(supervised(documents, Gold(every, gold), data, DecodingConfig()).labels, gold) == 1.0
    rng = np.random.default_rng(1)
    by_chance, documents = [gold[row] for row in rng.permutation(60)], unit(rng.normal(size=(60, 64)))
    filed = supervised(documents, Gold(every, by_chance), data, DecodingConfig())
    assert example_f1(filed.labels, by_chance) < 0.7


def test_training_documents_without_gold_are_not_trained_on(taxonomy, tmp_path, separable):
    """The gold rows given are every second document; the labels must be matched to those."""
    documents, gold = separable
    rows = np.arange(0, 30, 2)
    data = data_of(taxonomy, tmp_path, 30, 30)
    filed = supervised(documents, Gold(rows, [gold[row] for row in rows]), data, DecodingConfig())
    assert example_f1(filed.labels, gold[30:]) == 1.0


def test_without_any_training_gold_there_is_no_bound(taxonomy, tmp_path, separable):
    data = data_of(taxonomy, tmp_path, 30, 30)
    with pytest.raises(LeftOut, match="no gold for training documents"):
        supervised(separable[0], Gold(np.array([], dtype=np.int64), []), data, DecodingConfig())
