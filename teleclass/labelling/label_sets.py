"""Label sets of many documents in two arrays: a million Python lists take some 300 MB, these 16 MB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

import numpy as np

BLOCK = 4096
"""Documents whose classes are turned into Python numbers at a time."""


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

    def chosen(self, rows: np.ndarray) -> LabelSets:
        """Those of some documents, in the order of ``rows``."""
        counts = np.diff(self.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        places = np.arange(starts[-1]) + np.repeat(self.starts[:-1][rows] - starts[:-1], counts)
        return LabelSets(self.classes[places], starts)

    @property
    def as_sets(self) -> SetView:
        """The same as Python sets, each made when it is asked for."""
        return SetView(self)

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
        for block in range(0, len(self), BLOCK):
            starts = self.starts[block : block + BLOCK + 1]
            classes, first = self.classes[starts[0] : starts[-1]].tolist(), int(starts[0])
            for start, stop in pairwise(starts.tolist()):
                yield classes[start - first : stop - first]


class SetView(Sequence[set[int]]):
    """Label sets as a sequence of Python sets that are made when they are asked for and then forgotten."""

    def __init__(self, labels: LabelSets):
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, row: int) -> set[int]: ...

    @overload
    def __getitem__(self, row: slice) -> SetView: ...

    def __getitem__(self, row: int | slice) -> set[int] | SetView:
        if isinstance(row, slice):
            return SetView(self.labels.chosen(np.arange(len(self))[row]))
        return set(self.labels[row])

    def __iter__(self) -> Iterator[set[int]]:
        return map(set, iter(self.labels))
