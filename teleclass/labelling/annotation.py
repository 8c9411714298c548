"""Core classes that are known of some documents, from a language model or a file, as evidence on their paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from teleclass.labelling.decoding import Decoder
from teleclass.labelling.paths import PathIndex


@dataclass(frozen=True)
class Annotations:
    """Core classes of some of the N documents.

    Attributes
    ----------
    core_classes : class positions by document row; only rows with at least one class.
    allowed : (N, P), 1 where the path runs through one of the document's core classes; rows without are empty.
    odds : how many times as likely a path through a core class becomes, against one that avoids them all;
        ``inf`` takes the annotation for certain.
    """

    core_classes: Mapping[int, Sequence[int]]
    allowed: sparse.csr_matrix
    odds: float

    @classmethod
    def of(
        cls, core_classes: Mapping[int, Sequence[int]], n_documents: int, paths: PathIndex, odds: float
    ) -> Annotations:
        kept = {row: list(nodes) for row, nodes in sorted(core_classes.items()) if len(nodes)}
        rows = np.repeat(list(kept), [len(nodes) for nodes in kept.values()]) if kept else np.empty(0, dtype=int)
        nodes = np.concatenate([np.asarray(nodes) for nodes in kept.values()]) if kept else np.empty(0, dtype=int)
        core = sparse.csr_matrix(
            (np.ones(len(rows), dtype=np.float32), (rows, nodes)), shape=(n_documents, paths.n_classes)
        )
        allowed = (core @ paths.membership.T).tocsr()
        allowed.data = np.minimum(allowed.data, 1)
        return cls(kept, allowed, odds)

    def __len__(self) -> int:
        return len(self.core_classes)

    def sharpen(self, posterior: np.ndarray, rows: slice | np.ndarray) -> np.ndarray:
        """Posteriors of the documents ``rows`` with the evidence of their core classes, shape (rows, P)."""
        allowed = self.allowed[rows]
        annotated = np.diff(allowed.indptr) > 0
        if not annotated.any():
            return posterior
        factor = allowed[annotated].toarray()
        if np.isfinite(self.odds):
            factor = 1 / self.odds + (1 - 1 / self.odds) * factor
        sharpened = posterior.copy()
        weighted = np.maximum(posterior[annotated], 1e-9) * factor
        sharpened[annotated] = weighted / weighted.sum(axis=1, keepdims=True)
        return sharpened

    def decode(self, row: int, posterior: np.ndarray, decoder: Decoder, paths: PathIndex) -> list[int]:
        """Labels of an annotated document: the best set through each core class, united; empty where none is probable.

        Parameters
        ----------
        posterior : (P,), the document's, sharpened.
        """
        through = [np.asarray(paths.membership[:, [node]].toarray()).ravel() for node in self.core_classes[row]]
        if float(posterior[np.any(through, axis=0)].sum()) < 0.5:
            return []
        restricted = np.stack([np.maximum(posterior, 1e-9) * mask for mask in through])
        sets = decoder.decode(restricted / restricted.sum(axis=1, keepdims=True))
        return list(dict.fromkeys(node for classes in sets for node in classes))
