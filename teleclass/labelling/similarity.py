"""Vectors of unit length and matrix work in blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK_ROWS = 4096


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to length one, shape (rows, D); a zero row stays zero."""
    vectors = np.asarray(vectors, dtype=np.float32)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def blocks(n_rows: int, size: int = BLOCK_ROWS) -> Iterator[slice]:
    """Slices that cover ``n_rows``, so that no N×C matrix is ever held whole."""
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def softmax(scores: np.ndarray) -> np.ndarray:
    """Row-wise softmax, shape (rows, columns)."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
