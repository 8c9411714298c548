"""Core classes as evidence on paths."""

from __future__ import annotations

import numpy as np
import pytest
from planted import flat_paths

from teleclass.labelling.annotation import Annotations
from teleclass.labelling.paths import PathIndex, index_paths

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)


@pytest.fixture
def paths(taxonomy) -> PathIndex:
    """food > fruit, food > bread > bread_knives, tools > knives > bread_knives, tools > ladders, in any order."""
    return index_paths(taxonomy)


def through(paths: PathIndex, *nodes: int) -> list[int]:
    """1 where a path runs through one of the classes."""
    return [int(any(paths.membership[row, node] for node in nodes)) for row in range(paths.n_paths)]


def posterior_of(n_rows: int, n_paths: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(n_paths), size=n_rows).astype(np.float32)


# --- Annotations.of


def test_a_document_is_allowed_the_paths_through_its_core_classes(paths):
    core = {4: [LADDERS], 0: [FOOD], 2: [BREAD_KNIVES], 3: [FRUIT, LADDERS]}
    annotations = Annotations.of(core, 5, paths, 10.0)
    assert annotations.allowed.shape == (5, paths.n_paths)
    assert annotations.allowed.toarray().astype(int).tolist() == [
        through(paths, FOOD),
        [0] * paths.n_paths,
        through(paths, BREAD_KNIVES),
        through(paths, FRUIT, LADDERS),
        through(paths, LADDERS),
    ]
    assert [sum(through(paths, node)) for node in (FOOD, BREAD_KNIVES, LADDERS)] == [2, 2, 1]
    assert (len(annotations), annotations.odds) == (4, 10.0)


def test_a_path_through_several_core_classes_counts_once(paths):
    """food and bread lie on one path, bread is named twice: entries are 1, not 2 or 3."""
    annotations = Annotations.of({0: [FOOD, BREAD, BREAD]}, 1, paths, 10.0)
    assert annotations.allowed.toarray().astype(int).tolist() == [through(paths, FOOD)]
    assert annotations.allowed.data.tolist() == [1.0, 1.0]


def test_documents_without_a_class_are_left_out_and_the_others_sorted(paths):
    core = {3: np.array([KNIVES]), 1: (), 0: [FRUIT], 2: np.array([], dtype=int)}
    annotations = Annotations.of(core, 4, paths, 10.0)
    assert list(annotations.core_classes.items()) == [(0, [FRUIT]), (3, [KNIVES])]
    assert len(annotations) == 2
    assert np.diff(annotations.allowed.indptr).tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("core", [{}, {1: []}])
@pytest.mark.parametrize("n_documents", [0, 3])
def test_no_annotation_at_all(paths, core, n_documents):
    annotations = Annotations.of(core, n_documents, paths, 10.0)
    assert len(annotations) == 0
    assert annotations.allowed.shape == (n_documents, paths.n_paths)
    posterior = posterior_of(n_documents, paths.n_paths)
    np.testing.assert_array_equal(annotations.sharpen(posterior, slice(0, n_documents)), posterior)


def test_a_document_that_does_not_exist_is_refused(paths):
    with pytest.raises(ValueError, match="index 3 exceeds"):
        Annotations.of({3: [FOOD]}, 3, paths, 10.0)


# --- sharpen


def test_the_odds_by_hand():
    """(.2, .5, .3) and odds 4 for the first: .2, .5 / 4, .3 / 4, that is .2, .125, .075 of .4."""
    annotations = Annotations.of({0: [0]}, 1, flat_paths(3), 4.0)
    sharpened = annotations.sharpen(np.array([[0.2, 0.5, 0.3]], np.float32), slice(0, 1))
    np.testing.assert_allclose(sharpened, [[0.5, 0.3125, 0.1875]], atol=1e-6)


@pytest.mark.parametrize("odds", [1.0, 3.0, 20.0, 1e6])
def test_a_path_through_a_core_class_becomes_as_many_times_as_likely(paths, odds):
    """Against one that avoids them, whatever it was before; among either kind nothing changes."""
    posterior = posterior_of(1, paths.n_paths)
    sharpened = Annotations.of({0: [FOOD]}, 1, paths, odds).sharpen(posterior, slice(0, 1))
    ratio = sharpened[0] / posterior[0]
    inside = np.array(through(paths, FOOD), dtype=bool)
    assert 0 < inside.sum() < paths.n_paths
    np.testing.assert_allclose(ratio[inside], ratio[inside][0], rtol=1e-4)
    np.testing.assert_allclose(ratio[~inside], ratio[~inside][0], rtol=1e-4)
    assert ratio[inside][0] / ratio[~inside][0] == pytest.approx(odds, rel=1e-4)
    assert sharpened.sum() == pytest.approx(1, abs=1e-5)


def test_infinite_odds_take_the_annotation_for_certain(paths):
    posterior = posterior_of(2, paths.n_paths)
    sharpened = Annotations.of({0: [FRUIT], 1: [TOOLS]}, 2, paths, np.inf).sharpen(posterior, slice(0, 2))
    np.testing.assert_allclose(sharpened[0], through(paths, FRUIT), atol=1e-6)
    inside = np.array(through(paths, TOOLS))
    np.testing.assert_allclose(sharpened[1], posterior[1] * inside / (posterior[1] * inside).sum(), rtol=1e-4)
    assert (sharpened[1][inside == 0] == 0).all()


@pytest.mark.parametrize("odds", [20.0, np.inf])
def test_several_core_classes_share_the_document_and_none_rules_the_other_out(paths, odds):
    posterior = posterior_of(1, paths.n_paths)
    sharpened = Annotations.of({0: [FRUIT, LADDERS]}, 1, paths, odds).sharpen(posterior, slice(0, 1))[0]
    fruit, ladders = (through(paths, node).index(1) for node in (FRUIT, LADDERS))
    assert sharpened[fruit] / sharpened[ladders] == pytest.approx(posterior[0, fruit] / posterior[0, ladders], rel=1e-4)
    assert sharpened[fruit] + sharpened[ladders] > posterior[0, fruit] + posterior[0, ladders]


def test_rows_without_an_annotation_and_the_posterior_handed_in_stay_as_they_are(paths):
    posterior = posterior_of(4, paths.n_paths)
    before = posterior.copy()
    sharpened = Annotations.of({1: [FOOD], 2: []}, 4, paths, 20.0).sharpen(posterior, slice(0, 4))
    np.testing.assert_array_equal(posterior, before)
    np.testing.assert_array_equal(sharpened[[0, 2, 3]], before[[0, 2, 3]])
    assert np.abs(sharpened[1] - before[1]).max() > 0.01
    assert sharpened.dtype == posterior.dtype


@pytest.mark.parametrize(
    "rows", [slice(3, 8), np.array([6, 1, 9]), np.array([4, 4]), np.arange(10) % 3 == 0, slice(0, 0)], ids=str
)
def test_rows_are_a_slice_or_an_array_of_documents(paths, rows):
    """Each row is sharpened by its own document's classes, in the order asked for."""
    core = {1: [FRUIT], 3: [TOOLS], 4: [BREAD_KNIVES], 6: [LADDERS], 9: [FOOD]}
    annotations = Annotations.of(core, 10, paths, 20.0)
    posterior = posterior_of(10, paths.n_paths)
    whole = annotations.sharpen(posterior, slice(0, 10))
    np.testing.assert_allclose(annotations.sharpen(posterior[rows], rows), whole[rows], atol=1e-7)


@pytest.mark.parametrize("stop_at_inner", [False, True])
def test_every_path_through_a_class_is_favoured(taxonomy, stop_at_inner):
    """bread_knives lie under bread and under knives; with inner ends, bread is on two paths."""
    paths = index_paths(taxonomy, stop_at_inner)
    uniform = np.full((7, paths.n_paths), 1 / paths.n_paths, np.float32)
    sharpened = Annotations.of({node: [node] for node in range(7)}, 7, paths, np.inf).sharpen(uniform, slice(0, 7))
    for node in range(7):
        on_class = np.array(through(paths, node))
        np.testing.assert_allclose(sharpened[node], on_class / on_class.sum(), atol=1e-6)
    assert np.count_nonzero(sharpened[BREAD_KNIVES]) == 2
    assert np.count_nonzero(sharpened[BREAD]) == (2 if stop_at_inner else 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("odds", [1.0, 20.0, 1e12, 1e40, np.inf])
def test_a_posterior_that_is_certain_of_another_path_never_gives_nan(paths, odds, dtype):
    """Every class against every one-hot posterior and one of zeros: rows stay probabilities."""
    certain = np.vstack([np.eye(paths.n_paths), np.zeros((1, paths.n_paths))]).astype(dtype)
    posterior = np.tile(certain, (7, 1))
    core = {row: [row // len(certain)] for row in range(len(posterior))}
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        sharpened = Annotations.of(core, len(posterior), paths, odds).sharpen(posterior, slice(0, len(posterior)))
    assert np.isfinite(sharpened).all()
    assert (sharpened >= 0).all()
    np.testing.assert_allclose(sharpened.sum(axis=1), 1, atol=1e-5)


def test_certain_annotations_win_over_a_certain_posterior_and_weak_ones_do_not():
    posterior = np.array([[0, 1]], np.float32)
    for odds, best in ((20.0, 1), (np.inf, 0)):
        sharpened = Annotations.of({0: [0]}, 1, flat_paths(2), odds).sharpen(posterior, slice(0, 1))
        assert sharpened[0, best] == pytest.approx(1, abs=1e-6)
