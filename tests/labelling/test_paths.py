"""Paths as matrices: scores and marginals, by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.paths import index_paths, path_margins

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)
FRUIT_PATH = (FOOD, FRUIT)
LADDER_PATH = (TOOLS, LADDERS)
BY_BREAD = (FOOD, BREAD, BREAD_KNIVES)
BY_KNIVES = (TOOLS, KNIVES, BREAD_KNIVES)


def row_of(taxonomy, stop_at_inner: bool = False) -> dict[tuple[int, ...], int]:
    return {path: row for row, path in enumerate(taxonomy.paths(stop_at_inner))}


def test_every_path_is_indexed_with_its_root_its_end_and_its_length(taxonomy):
    paths, row = index_paths(taxonomy), row_of(taxonomy)
    assert (paths.n_paths, paths.n_classes) == (4, 7)
    for path, number in row.items():
        assert set(np.flatnonzero(paths.membership[[number]].toarray()[0])) == set(path)
        assert (paths.roots[number], paths.ends[number], paths.lengths[number]) == (path[0], path[-1], len(path))


def test_stop_at_inner_adds_the_paths_that_end_early(taxonomy):
    assert set(index_paths(taxonomy).ends) == {FRUIT, LADDERS, BREAD_KNIVES}
    paths = index_paths(taxonomy, stop_at_inner=True)
    assert paths.n_paths == 8
    assert sorted(paths.ends) == [FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES, BREAD_KNIVES]


def test_the_path_score_is_a_weighted_mean_from_the_leaf_up(taxonomy):
    """Weights 1, .25, .1 from the deepest class up, over their sum: 1.25 for two classes, 1.35 for three."""
    scores = np.array([[0.1, 0.6, 0.3, 0.2, 0.5, 0.4, 0.9]])
    by_hand = {
        FRUIT_PATH: (1 * 0.6 + 0.25 * 0.1) / 1.25,
        LADDER_PATH: (1 * 0.4 + 0.25 * 0.2) / 1.25,
        BY_BREAD: (1 * 0.9 + 0.25 * 0.3 + 0.1 * 0.1) / 1.35,
        BY_KNIVES: (1 * 0.9 + 0.25 * 0.5 + 0.1 * 0.2) / 1.35,
    }
    found = index_paths(taxonomy).path_scores(scores)
    for path, row in row_of(taxonomy).items():
        assert found[0, row] == pytest.approx(by_hand[path], abs=1e-6)


@pytest.mark.parametrize("child_first", [False, True])
def test_weights_of_a_long_path_halve_towards_the_root_wherever_classes_stand_in_the_file(child_first):
    """Seven classes in a chain: 1, .25, .1, .05, .025 and then half of the last, .0125 and .00625."""
    order = list(range(7))[:: -1 if child_first else 1]  # root to leaf
    chain = Taxonomy(range(7), [f"c{node}" for node in range(7)], list(pairwise(order)))
    weights = index_paths(chain).weights.toarray()[0][order[::-1]]
    by_hand = np.array([1, 0.25, 0.1, 0.05, 0.025, 0.0125, 0.00625])
    np.testing.assert_allclose(weights, by_hand / by_hand.sum(), rtol=1e-6)


def test_the_marginal_sums_the_paths_through_a_class(taxonomy):
    """fruit .4, ladders .1, bread knives by bread .3 and by knives .2; two documents, the second sure of fruit."""
    posterior = np.zeros((2, 4))
    for path, share in {FRUIT_PATH: 0.4, LADDER_PATH: 0.1, BY_BREAD: 0.3, BY_KNIVES: 0.2}.items():
        posterior[0, row_of(taxonomy)[path]] = share
    posterior[1, row_of(taxonomy)[FRUIT_PATH]] = 1
    #            food       fruit  bread tools      knives ladders bread knives
    by_hand = [[0.4 + 0.3, 0.4, 0.3, 0.1 + 0.2, 0.2, 0.1, 0.3 + 0.2], [1, 1, 0, 0, 0, 0, 0]]
    np.testing.assert_allclose(index_paths(taxonomy).marginals(posterior), by_hand, atol=1e-9)


def test_equal_class_scores_give_every_path_that_score(taxonomy):
    """Weights sum to 1, so long and short paths are on one scale."""
    np.testing.assert_allclose(index_paths(taxonomy, True).path_scores(np.full((3, 7), 0.37)), 0.37, atol=1e-6)


def test_the_margin_is_the_gap_between_the_two_best_paths_wherever_they_stand():
    """.5 − .3; a tie; a sure document."""
    posterior = np.array([[0.1, 0.5, 0.1, 0.3], [0.4, 0.1, 0.1, 0.4], [0, 0, 0, 1]])
    np.testing.assert_allclose(path_margins(posterior), [0.2, 0, 1], atol=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_posterior_stays_as_it_was(order):
    posterior = np.array([[0.1, 0.5, 0.1, 0.3], [0.4, 0.1, 0.1, 0.4]], order=order)
    before = posterior.copy()
    path_margins(posterior)
    np.testing.assert_array_equal(posterior, before)


def test_the_only_path_is_a_sure_one():
    assert path_margins(np.ones((2, 1))).tolist() == [1, 1]


@st.composite
def taxonomies(draw) -> Taxonomy:
    """A random DAG of up to ten classes that stand in any order in the file."""
    order = draw(st.permutations(range(draw(st.integers(2, 10)))))
    forward = [(order[low], order[high]) for high in range(len(order)) for low in range(high)]
    edges = draw(st.lists(st.sampled_from(forward), unique=True, max_size=20))
    return Taxonomy(range(len(order)), [f"c{node}" for node in range(len(order))], edges)


@settings(max_examples=60, deadline=None)
@given(taxonomy=taxonomies(), inner=st.booleans(), seed=st.integers(0, 1000))
def test_any_taxonomy_has_weights_that_sum_to_one_and_marginals_that_are_probabilities(taxonomy, inner, seed):
    """The marginal of a class is the sum over the paths that hold it; those of all roots sum to 1."""
    paths, listed = index_paths(taxonomy, inner), taxonomy.paths(inner)
    np.testing.assert_allclose(paths.weights.sum(axis=1), 1, atol=1e-6)
    assert ((paths.weights > 0) != (paths.membership > 0)).nnz == 0
    posterior = np.random.default_rng(seed).dirichlet(np.ones(len(listed)), size=3)
    marginals = paths.marginals(posterior)
    for node in range(taxonomy.n_classes):
        through = [row for row, path in enumerate(listed) if node in path]
        np.testing.assert_allclose(marginals[:, node], posterior[:, through].sum(axis=1), atol=1e-9)
    np.testing.assert_allclose(marginals[:, taxonomy.roots].sum(axis=1), 1, atol=1e-9)
