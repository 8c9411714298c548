"""Core classes chosen anew from the documents of each class."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from teleclass.labelling.refinement import RefinementConfig, class_representations, refine_core_classes
from teleclass.labelling.similarity import BLOCK_ROWS, unit


def matrix(rows) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.asarray(rows, dtype=bool))


def rows_of(core: sparse.csr_matrix) -> list[list[int]]:
    return [sorted(core[row].indices.tolist()) for row in range(core.shape[0])]


def with_cosines(*rows) -> tuple[np.ndarray, sparse.csr_matrix, np.ndarray]:
    """Documents of the given cosines with classes along the axes, none of which has a document."""
    documents = np.array([[*row, np.sqrt(1 - np.square(row).sum())] for row in rows])
    n_classes = len(rows[0])
    return documents, sparse.csr_matrix((len(rows), n_classes), dtype=bool), np.eye(n_classes, n_classes + 1)


# --- class representations


def test_a_class_is_the_mean_of_its_documents_that_mention_one_of_its_terms():
    rng = np.random.default_rng(0)
    documents = unit(rng.normal(size=(5, 4)))
    core, mentions = matrix([[1], [1], [1], [0], [1]]), matrix([[1], [0], [1], [1], [0]])
    vectors = class_representations(documents, core, mentions, np.zeros((1, 4)))
    assert vectors == pytest.approx(unit(documents[[0, 2]].mean(axis=0, keepdims=True)), abs=1e-6)


def test_a_class_without_a_mention_keeps_all_its_documents_and_one_without_documents_its_text():
    rng = np.random.default_rng(0)
    documents, texts = unit(rng.normal(size=(4, 5))), rng.normal(size=(3, 5))
    core = matrix([[1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]])
    mentions = matrix([[1, 0, 1], [0, 0, 1], [0, 0, 0], [1, 1, 1]])
    vectors = class_representations(documents, core, mentions, texts)
    expected = unit(np.stack([documents[0], documents[[0, 1]].mean(axis=0), texts[2]]))
    assert vectors == pytest.approx(expected, abs=1e-6)


def test_documents_beyond_the_first_block_count():
    documents = np.zeros((BLOCK_ROWS + 2, 2), dtype=np.float32)
    documents[:, 0] = 1
    documents[-1] = 0, 1
    core = sparse.csr_matrix(([True], ([BLOCK_ROWS + 1], [0])), shape=(len(documents), 1))
    assert class_representations(documents, core, core, np.ones((1, 2))).tolist() == [[0, 1]]
    refined = refine_core_classes(documents, core, core, np.ones((1, 2)), RefinementConfig(keep=0.5))
    assert rows_of(refined.core)[-1] == [0]
    assert refined.confidence[[0, -1]].tolist() == [0, 1]
    assert np.flatnonzero(refined.kept).tolist() == [BLOCK_ROWS + 1]


# --- the cut


@pytest.mark.parametrize(
    ("cosines", "gaps", "classes", "confidence"),
    [
        ((0.6, 0.5, 0.1, 0.0, 0.25), 3, [0, 1], 0.25),  # .6 .5 | .25 .1 0
        ((0.1, 0.2, 0.7, 0.3, 0.25), 3, [2], 0.4),
        ((0.5, 0.49, 0.48, 0.45, 0.0), 3, [0, 1, 2], 0.03),  # the largest gap is the fourth: out of sight
        ((0.5, 0.49, 0.48, 0.45, 0.0), 4, [0, 1, 2, 3], 0.45),
        ((0.5, 0.4, 0.1, 0.0, 0.0), 1, [0], 0.1),
        ((-0.5, -0.4, -0.1, 0.2, -0.2), 3, [3], 0.3),
        ((0.5, 0.2), 3, [0], 0.3),  # fewer classes than gaps
        ((0.4,), 3, [0], 0.4),  # and a single one
    ],
)
def test_a_document_is_cut_at_the_largest_of_its_first_gaps(cosines, gaps, classes, confidence):
    documents, none, texts = with_cosines(cosines)
    refined = refine_core_classes(documents, none, none, texts, RefinementConfig(gaps=gaps, keep=1))
    assert rows_of(refined.core) == [classes]
    assert refined.core.dtype == bool
    assert refined.confidence.tolist() == pytest.approx([confidence], abs=1e-6)
    assert refined.kept.tolist() == [True]


def test_the_length_of_a_document_s_embedding_does_not_matter():
    documents, none, texts = with_cosines((0.6, 0.1), (0.6, 0.1))
    refined = refine_core_classes(documents * [[3], [1]], none, none, texts, RefinementConfig())
    assert refined.confidence.tolist() == pytest.approx([0.5, 0.5], abs=1e-6)


def test_only_candidates_are_ranked_where_they_are_given():
    documents, none, texts = with_cosines(*[(0.6, 0.5, 0.1, 0.25)] * 5)
    candidates = matrix([[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]])
    refined = refine_core_classes(documents, none, none, texts, RefinementConfig(keep=1), candidates)
    assert rows_of(refined.core) == [[0, 1], [1], [3], [2], []]
    assert refined.confidence.tolist() == pytest.approx([0.25, 0.25, 0.15, 0.1, 0], abs=1e-6)
    assert refined.kept.tolist() == [True] * 4 + [False]


def test_a_candidate_of_negative_similarity_is_still_a_candidate():
    documents, none, texts = with_cosines((-0.6, 0.5, -0.1), (-0.6, 0.5, 0.3))
    refined = refine_core_classes(documents, none, none, texts, RefinementConfig(), matrix([[1, 0, 1], [1, 0, 0]]))
    assert rows_of(refined.core) == [[2], []]  # a single one, and unrelated
    assert refined.confidence.tolist() == pytest.approx([0.5, 0], abs=1e-6)


def test_a_document_near_to_no_class_has_no_core_class_and_is_not_kept():
    documents, none, texts = with_cosines((0.0, 0.0, 0.0), (0.5, 0.1, 0.0))
    documents[0] = 0
    refined = refine_core_classes(documents, none, none, texts, RefinementConfig(keep=1))
    assert rows_of(refined.core) == [[], [0]]
    assert refined.kept.tolist() == [False, True]


@pytest.mark.parametrize("keep", [0.25, 0.5, 0.75, 1])
def test_the_most_confident_share_is_kept(keep):
    gaps = np.random.default_rng(4).permutation(np.linspace(0.1, 0.6, 40))
    documents, none, texts = with_cosines(*[(gap + 0.05, 0.05) for gap in gaps])
    refined = refine_core_classes(documents, none, none, texts, RefinementConfig(keep=keep))
    best = np.argsort(-gaps)[: int(40 * keep)]
    assert set(np.flatnonzero(refined.kept)) == set(best.tolist())


def test_a_wrong_start_is_repaired_by_the_documents_that_mention_a_term():
    """Two clear groups of documents; a third of the core classes are swapped, among those that mention no term."""
    rng = np.random.default_rng(6)
    truth = np.repeat([0, 1], 30)
    documents = unit(np.eye(2, 8)[truth] + 0.1 * rng.normal(size=(60, 8)))
    swapped = np.arange(60) % 3 == 0
    start = np.where(swapped, 1 - truth, truth)
    core, mentions = matrix(np.eye(2)[start]), matrix(np.eye(2)[truth])
    refined = refine_core_classes(documents, core, mentions, rng.normal(size=(2, 8)), RefinementConfig())
    assert rows_of(refined.core) == [[node] for node in truth]


def test_an_empty_corpus_is_no_fault():
    none = sparse.csr_matrix((0, 3), dtype=bool)
    refined = refine_core_classes(np.zeros((0, 4), np.float32), none, none, np.eye(3, 4), RefinementConfig())
    assert refined.core.shape == (0, 3)
    assert refined.confidence.shape == refined.kept.shape == (0,)


@pytest.mark.parametrize("setting", [{"gaps": 0}, {"keep": 0}, {"keep": 1.5}], ids=str)
def test_a_setting_out_of_range_is_refused_by_its_name(setting):
    with pytest.raises(ValueError, match=f"refinement.{next(iter(setting))}"):
        RefinementConfig(**setting)
