"""The sparse matrix of paths: scipy's, or where only torch is installed, the little of it that filing needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np


class Rows:
    """A sparse matrix by rows with scipy's names, in numpy alone: products take three times as long.

    Parameters
    ----------
    parts : values, their columns, and where each row starts.
    shape : rows and columns.
    """

    def __init__(self, parts: tuple[np.ndarray, np.ndarray, np.ndarray], shape: tuple[int, int]):
        self.data, self.indices, self.indptr = parts
        self.shape = shape

    def __matmul__(self, dense: np.ndarray) -> np.ndarray:
        out = np.zeros((self.shape[0], *dense.shape[1:]), dtype=np.result_type(self.data, dense))
        filled = np.flatnonzero(np.diff(self.indptr))  # reduceat would give an empty row the next one's first value
        if len(filled):
            terms = self.data.reshape(-1, *([1] * (dense.ndim - 1))) * dense[self.indices]
            out[filled] = np.add.reduceat(terms, self.indptr[filled], axis=0)
        return out

    def __getitem__(self, rows: np.ndarray) -> Rows:
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.atleast_1d(rows)
        counts = np.diff(self.indptr)[rows]
        starts = np.concatenate([[0], np.cumsum(counts)])
        places = np.repeat(self.indptr[rows] - starts[:-1], counts) + np.arange(starts[-1])
        return Rows((self.data[places], self.indices[places], starts), (len(rows), self.shape[1]))

    @property
    def T(self) -> Rows:
        order = np.argsort(self.indices, kind="stable")
        rows = np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))[order]
        counts = np.bincount(self.indices, minlength=self.shape[1])
        return Rows((self.data[order], rows, np.concatenate([[0], np.cumsum(counts)])), self.shape[::-1])

    def tocsr(self) -> Rows:
        return self


if TYPE_CHECKING:
    csr_matrix: Any
else:
    try:
        from scipy.sparse import csr_matrix
    except ImportError:
        csr_matrix = Rows
