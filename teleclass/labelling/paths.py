"""Taxonomy paths as sparse matrices: scores and posteriors of paths, and what they say of classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.sparse import csr_matrix

LEVEL_WEIGHTS = (1.0, 0.25, 0.1, 0.05, 0.025)
"""Weight of a class in its path's score, from the deepest class up; classes further up weigh the last one's half."""


@dataclass(frozen=True, eq=False)
class PathIndex:
    """The P candidate paths of a taxonomy over its C classes.

    Attributes
    ----------
    membership : (P, C), 1 where the class lies on the path.
    weights : (P, C), the weight of each class in the path's score; rows sum to 1.
    ends, roots : (P,), the deepest and the first class of each path.
    lengths : (P,), number of classes on each path.
    """

    membership: csr_matrix
    weights: csr_matrix
    ends: np.ndarray
    roots: np.ndarray
    lengths: np.ndarray

    @cached_property
    def _by_class(self) -> csr_matrix:
        return self.membership.T.tocsr()

    @property
    def n_paths(self) -> int:
        return len(self.ends)

    @property
    def n_classes(self) -> int:
        return self.membership.shape[1]

    def path_scores(self, class_scores: np.ndarray) -> np.ndarray:
        """Weighted mean of the class scores along each path: (rows, C) to (rows, P).

        Like scores, posteriors and marginals everywhere, the result has the documents of a path side by side in
        memory: sparse products and sums over paths then run over whole documents, ten times as fast.
        """
        return (self.weights @ class_scores.T).T

    def marginals(self, posterior: np.ndarray) -> np.ndarray:
        """Probability that a class lies on the document's path: (rows, P) to (rows, C)."""
        return (self._by_class @ posterior.T).T


def path_margins(posterior: np.ndarray) -> np.ndarray:
    """A document's own confidence, shape (rows,): the gap between its best and its second-best path, 0 to 1."""
    if posterior.shape[1] < 2:
        return np.ones(len(posterior), dtype=np.float32)
    by_path = np.ascontiguousarray(posterior.T)  # a path's documents side by side: no copy where they are already
    best = by_path.max(axis=0)
    places = np.flatnonzero(by_path == best)
    taken = by_path.ravel()[places]
    by_path.ravel()[places] = -np.inf
    second = by_path.max(axis=0)
    by_path.ravel()[places] = taken
    n_best = np.bincount(places % len(best), minlength=len(best))
    return np.where(n_best > 1, 0, best - second).astype(posterior.dtype)


def index_paths(taxonomy: Taxonomy, stop_at_inner: bool = False) -> PathIndex:
    """Index every root-to-leaf path, or with ``stop_at_inner`` every path from a root to any class."""
    paths = taxonomy.paths(stop_at_inner)
    lengths = np.array([len(path) for path in paths])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    columns = np.concatenate([np.array(path) for path in paths])
    raw = np.concatenate([_weights_of(length) for length in lengths])
    shape = (len(paths), taxonomy.n_classes)
    return PathIndex(
        membership=csr_matrix((np.ones(len(columns), np.float32), columns, starts), shape=shape),
        weights=csr_matrix((raw.astype(np.float32), columns, starts), shape=shape),
        ends=np.array([path[-1] for path in paths]),
        roots=np.array([path[0] for path in paths]),
        lengths=lengths,
    )


def _weights_of(length: int) -> np.ndarray:
    from_the_end = [
        LEVEL_WEIGHTS[step] if step < len(LEVEL_WEIGHTS) else LEVEL_WEIGHTS[-1] * 0.5 ** (step + 1 - len(LEVEL_WEIGHTS))
        for step in range(length)
    ]
    weights = np.array(from_the_end[::-1])
    return weights / weights.sum()
