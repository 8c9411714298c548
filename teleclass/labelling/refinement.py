"""Core class refinement of TELEClass (Zhang et al., WWW 2025, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from teleclass.labelling.similarity import blocks, unit


@dataclass(frozen=True)
class RefinementConfig:
    """How core classes are chosen anew.

    Parameters
    ----------
    mode
        "auto" refines core classes of a language model or a file that are taken for certain (annotation.odds 0) where
        they are weak; "on" and "off" are as they say.
    weak_below
        agreement (mean Example-F1) of core classes and label model below which a start counts as weak.
    gaps
        a document's classes are cut at the largest of so many first gaps in similarity.
    keep
        share of the documents that is kept, the most confident ones.
    """

    mode: str = "auto"
    weak_below: float = 0.75
    gaps: int = 3
    keep: float = 0.75

    def __post_init__(self) -> None:
        if self.mode not in ("auto", "on", "off"):
            raise ValueError("refinement.mode must be auto, on or off")
        if not 0 <= self.weak_below <= 1:
            raise ValueError("refinement.weak_below must lie between 0 and 1")
        if self.gaps < 1:
            raise ValueError("refinement.gaps must be 1 or more")
        if not 0 < self.keep <= 1:
            raise ValueError("refinement.keep must lie above 0 and not above 1")


@dataclass(frozen=True)
class RefinedCoreClasses:
    """Core classes after refinement.

    Attributes
    ----------
    core : (N, C) bool, not closed over ancestors; also of the documents that are not kept.
    confidence : (N,) float32, the gap in cosine behind a document's core classes.
    kept : (N,) bool, whether the document is one of the confident ones.
    """

    core: sparse.csr_matrix
    confidence: np.ndarray
    kept: np.ndarray


def refine_core_classes(
    embeddings: np.ndarray,
    core: sparse.csr_matrix,
    mentions: sparse.csr_matrix,
    class_vectors: np.ndarray,
    config: RefinementConfig,
    candidates: sparse.csr_matrix | None = None,
) -> RefinedCoreClasses:
    """Choose each document's core classes anew, by its similarity to the documents of each class.

    A document of equal similarity to all of its first classes (an empty text) gets no core class. One with a single
    candidate has no gap: its confidence is the cosine, as if the next class were unrelated.

    Parameters
    ----------
    embeddings : (N, D); rows of any length, a memory map too.
    core : (N, C) bool, the classes that a document counts for. The released code closes them over ancestors; left
        open, an inner class that is nobody's core class keeps its text vector.
    mentions : (N, C) bool, whether a document mentions a term of the class.
    class_vectors : (C, D), from class texts, for classes without documents.
    candidates : (N, C) bool, the classes to be ranked for each document; every class unless given.
    """
    vectors = class_representations(embeddings, core, mentions, class_vectors)
    n_documents, n_classes = core.shape
    confidence = np.zeros(n_documents, dtype=np.float32)
    rows_of: list[np.ndarray] = []
    classes_of: list[np.ndarray] = []
    width = min(config.gaps + 1, n_classes)
    for rows in blocks(n_documents, n_classes):
        scores = unit(embeddings[rows]) @ vectors.T
        allowed = np.full(len(scores), n_classes)
        if candidates is not None:
            offered = candidates[rows].toarray().astype(bool)
            scores[~offered] = -np.inf
            allowed = offered.sum(axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :width]
        gap, cut = _largest_gap(np.take_along_axis(scores, order, axis=1), allowed)
        confidence[rows] = gap
        offsets, ranks = np.nonzero((np.arange(width) <= cut[:, None]) & (gap > 0)[:, None])
        rows_of.append(rows.start + offsets)
        classes_of.append(order[offsets, ranks])
    row, column = np.concatenate(rows_of or [np.zeros(0, int)]), np.concatenate(classes_of or [np.zeros(0, int)])
    refined = sparse.csr_matrix((np.ones(len(row), dtype=bool), (row, column)), shape=(n_documents, n_classes))
    least = np.quantile(confidence, 1 - config.keep) if n_documents else 0
    return RefinedCoreClasses(refined, confidence, (confidence >= least) & (confidence > 0))


def class_representations(
    embeddings: np.ndarray, core: sparse.csr_matrix, mentions: sparse.csr_matrix, class_vectors: np.ndarray
) -> np.ndarray:
    """Mean embedding of each class's documents that mention one of its terms, unit rows, shape (C, D).

    A class none of whose documents mentions a term keeps the mean of them all, and one without documents its text
    vector: the released code drops both from the taxonomy without a word.
    """
    core = sparse.csr_matrix(core, dtype=np.float32)
    mentioning = sparse.csr_matrix(core.multiply(sparse.csr_matrix(mentions, dtype=np.float32)))
    without = (np.asarray(mentioning.sum(axis=0)).ravel() == 0).astype(np.float32)
    counted = sparse.csr_matrix(mentioning + core @ sparse.diags(without))
    sums = np.zeros(class_vectors.shape, dtype=np.float64)
    for rows in blocks(len(embeddings)):
        sums += counted[rows].T @ embeddings[rows]
    vectors = unit(sums)
    has_none = ~vectors.any(axis=1)
    vectors[has_none] = unit(class_vectors)[has_none]
    return vectors


def _largest_gap(ranked: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest gap of each row and the rank before it.

    Parameters
    ----------
    ranked : (rows, ranks), cosines, best first; -inf beyond the candidates.
    allowed : (rows,), number of candidates.
    """
    rows, width = ranked.shape
    gaps = np.zeros((rows, max(1, width - 1)), dtype=np.float32)
    if width > 1:
        real = np.arange(1, width) < allowed[:, None]
        gaps[real] = (ranked[:, :-1] - np.where(real, ranked[:, 1:], 0))[real]
    alone = allowed == 1
    gaps[alone, 0] = np.maximum(0, ranked[alone, 0])
    cut = gaps.argmax(axis=1)
    return gaps[np.arange(rows), cut], cut
