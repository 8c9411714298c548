"""Soft EM over taxonomy paths: class vectors are pulled towards the documents that seem to be theirs.

It extends TELEClass's corpus-based refinement of class representations (Zhang et al., WWW 2025, section 3.2) from
hard core classes to posteriors over whole paths. Two forms are known; :mod:`teleclass.labelling.selection` chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from teleclass.labelling.annotation import Annotations
from teleclass.labelling.label_model import LabelHead
from teleclass.labelling.paths import PathIndex
from teleclass.labelling.similarity import blocks, softmax, unit


@dataclass(frozen=True)
class CorpusSums:
    """Sums over the corpus of one pass: (P,) path mass, (C,) class mass, (C, D) posterior-weighted sums."""

    path_mass: np.ndarray
    class_mass: np.ndarray
    class_sums: np.ndarray

    def centroids(self) -> np.ndarray:
        """Unit centroid of each class, (C, D): a plain mean is shorter than a class text and would count for less."""
        return unit(self.class_sums / np.maximum(self.class_mass, 1e-9)[:, None])

    def balanced_mean(self, paths: PathIndex) -> np.ndarray:
        """Mean of the leaf classes' centroids, shape (D,): the plain mean would be the dominant class's."""
        leaves = np.unique(paths.ends)
        heavy = leaves[self.class_mass[leaves] > 2]
        if not len(heavy):
            heavy = leaves
        centroids = self.class_sums[heavy] / np.maximum(self.class_mass[heavy], 1e-9)[:, None]
        return centroids.mean(axis=0).astype(np.float32)


def soft_em(
    embeddings: np.ndarray,
    head: LabelHead,
    paths: PathIndex,
    iterations: int,
    corpus_weight: float,
    learn_prior: bool,
    shrinkage: float = 0.0,
    annotations: Annotations | None = None,
    tick: Callable[[int], Any] = lambda documents: None,
) -> tuple[LabelHead, CorpusSums]:
    """Run soft EM from ``head``'s class vectors.

    Parameters
    ----------
    embeddings : (N, D), of every document, training and test: no label is read.
    corpus_weight : largest share of the corpus centroid in a class vector.
    learn_prior : learn how common each path is (add-one smoothed), else keep it uniform.
    shrinkage : mass, in shares of the mean path's, at which a class takes half the corpus that it could: where few
        classes hold most documents, the others are fed by the errors of those.
    annotations : core classes that are known of some documents; they sharpen the posteriors of those.
    tick : told the number of documents as they are passed over, ``iterations + 1`` times each.

    Returns
    -------
    the head with its fitted class vectors and prior, and the last pass's sums.
    """
    text = head.class_vectors
    sums = pass_over(embeddings, head, paths, annotations, tick)
    for _ in range(iterations):
        log_prior = head.log_prior
        mass = sums.class_mass[:, None]
        shrunk = mass / (mass + shrinkage * len(embeddings) / paths.n_paths + 1e-9)
        share = corpus_weight * np.minimum(1, mass) * shrunk
        if learn_prior:
            log_prior = np.log((sums.path_mass + 1) / (sums.path_mass.sum() + paths.n_paths)).astype(np.float32)
        vectors = unit((1 - share) * text + share * sums.centroids())
        head = replace(head, class_vectors=vectors, log_prior=log_prior)
        sums = pass_over(embeddings, head, paths, annotations, tick)
    return head, sums


def pass_over(
    embeddings: np.ndarray,
    head: LabelHead,
    paths: PathIndex,
    annotations: Annotations | None = None,
    tick: Callable[[int], Any] = lambda documents: None,
) -> CorpusSums:
    """One expectation step over the corpus, in blocks."""
    path_mass = np.zeros(paths.n_paths)
    class_sums = np.zeros(head.class_vectors.shape, dtype=np.float64)
    for rows in blocks(len(embeddings)):
        documents = head.documents(embeddings[rows])
        scores = paths.path_scores(documents @ head.class_vectors.T)
        posterior = softmax(scores / head.temperature + head.log_prior)
        if annotations is not None:
            posterior = annotations.sharpen(posterior, rows)
        path_mass += posterior.sum(axis=0)
        class_sums += paths.marginals(posterior).T @ documents
        tick(len(documents))
    return CorpusSums(path_mass, paths.membership.T @ path_mass, class_sums)


def log_likelihood(embeddings: np.ndarray, head: LabelHead, paths: PathIndex) -> float:
    """Mean log likelihood of documents under the mixture of paths, in nats and up to a constant.

    The constant (the von Mises-Fisher normaliser) depends on the temperature alone, so heads of one temperature and
    one document shift can be compared.
    """
    log_prior = head.log_prior - np.log(np.exp(head.log_prior).sum())
    total = 0.0
    for rows in blocks(len(embeddings)):
        scores = paths.path_scores(head.class_scores(embeddings[rows])) / head.temperature + log_prior
        largest = scores.max(axis=1)
        total += float((largest + np.log(np.exp(scores - largest[:, None]).sum(axis=1))).sum())
    return total / max(1, len(embeddings))
