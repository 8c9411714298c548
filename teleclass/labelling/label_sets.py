"""Label sets of many documents in two arrays: a million Python lists take some 300 MB, these 16 MB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True, eq=False)
class LabelSets:
    """The classes of N documents; a list by row, and lists when iterated.

    Attributes
    ----------
    classes : class positions, document after document, most probable first.
    starts : (N + 1,), document i has ``classes[starts[i]:starts[i + 1]]``.
    """

    classes: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]]) -> LabelSets:
        """From a list a document."""
        counts = [len(one) for one in lists]
        flat = np.fromiter((node for one in lists for node in one), dtype=np.int32, count=sum(counts))
        return cls(flat, np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]))

    @classmethod
    def joined(cls, parts: Sequence[LabelSets]) -> LabelSets:
        """The documents of all parts, one part after the other."""
        counts = np.concatenate([np.diff(part.starts) for part in parts]) if parts else np.zeros(0, dtype=np.int64)
        classes = np.concatenate([part.classes for part in parts]) if parts else np.zeros(0, dtype=np.int32)
        return cls(classes, np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]))

    @property
    def rows(self) -> np.ndarray:
        """The document of each class, as long as ``classes``."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> list[int]:
        if not -len(self) <= row < len(self):
            raise IndexError(f"document {row} of {len(self)}")
        row %= len(self)
        return self.classes[self.starts[row] : self.starts[row + 1]].tolist()

    def __iter__(self) -> Iterator[list[int]]:
        for start, stop in pairwise(self.starts.tolist()):
            yield self.classes[start:stop].tolist()
