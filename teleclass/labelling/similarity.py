"""Vectors of unit length and matrix work in blocks of rows."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from functools import cache

import numpy as np

from teleclass.runtime.devices import has_onednn_products

BLOCK_ROWS = 1024
"""Documents of a block: with some five hundred classes its matrices of 2 MB stay in the cache. Half a million documents
were decoded in 3.6 s of CPU time, in 4.1 s by blocks of 4,096."""

BLOCK_VALUES = 2**22
"""Values that a matrix of a block's documents and some columns holds at most: 16 MB in fp32."""


LARGEST_EXPONENT = 85.0
"""Of e, for numbers of fp32 whose reciprocals are not denormal either."""

_rounding = threading.Lock()
"""torch has one precision for the whole process: two threads of a server would each take the other's for what was."""


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to length one, shape (rows, D); a zero row stays zero."""
    vectors = np.asarray(vectors, dtype=np.float32)
    length = np.sqrt(np.einsum("...d,...d->...", vectors, vectors))[..., None]  # norm() writes the squares down first
    return vectors / np.where(length > 0, length, 1)


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Matrix product of fp32 arrays, (n, k) by (k, m), by oneDNN where that is faster: with AMX factors become bf16.

    Sums stay fp32. 1,000,000 documents were labelled in 13 s instead of 22 (one thread of a Xeon with AMX), scores of
    unit vectors wrong by 7e-5, and by 6e-4 at worst; an encoder in bf16 moves more labels than that (docs/log.md).
    Without AMX all of it stays fp32: on an AMD EPYC, where numpy's BLAS has no kernel for AVX-512, in half of its time.
    """
    if not has_onednn_products():
        return left @ right
    import torch

    _have_torch_warn()
    factors = [torch.from_numpy(one) for one in (left, right)]
    with _rounding:
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")
        try:
            return torch.mm(*factors).numpy()
        finally:
            torch.set_float32_matmul_precision(precision)


@cache
def _have_torch_warn() -> None:
    """torch warns once of an array that may only be read, as a mapped file's; nothing is written into ours."""
    import torch

    array = np.zeros(1, dtype=np.float32)
    array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.from_numpy(array)


def blocks(n_rows: int, n_columns: int = 1) -> Iterator[slice]:
    """Slices that cover ``n_rows``, so that no matrix of them and ``n_columns`` is ever held whole."""
    size = max(1, min(BLOCK_ROWS, BLOCK_VALUES // n_columns))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def sample_rows(n_rows: int, size: int) -> np.ndarray:
    """At most ``size`` of ``n_rows`` rows, drawn by a fixed seed, ascending; all of them where there are no more."""
    if n_rows <= size:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(0).choice(n_rows, size, replace=False))


def softmax(scores: np.ndarray, mass: float = 1.0, bound: float = np.inf) -> np.ndarray:
    """Row-wise softmax, shape (rows, columns), in the place of the scores.

    Parameters
    ----------
    mass : what rows sum to.
    bound : no score is further from 0, as far as is known before they are looked at; exp takes scores that it can take
        as they are.
    """
    largest = LARGEST_EXPONENT - np.log(scores.shape[1])
    if not bound < largest and not max(scores.max(initial=0), -scores.min(initial=0)) < largest:
        scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores *= mass / scores.sum(axis=1, keepdims=True)
    return scores
