"""Texts that stay in their file: of each only its place is kept, and it is read when it is asked for.

A million documents as Python strings take a gigabyte in every process. Their places take 20 MB, and the pages of the
file are the same for all processes of a machine.
"""

from __future__ import annotations

import os
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np

from teleclass.errors import InputError

BLOCK = 1024
"""Texts that are read at a time when all are asked for in turn."""


class _Source(Protocol):
    def read(self, start: int, size: int) -> bytes: ...


class Texts(Sequence[str]):
    """N texts by their places in one or more sources.

    A slice, or an array of rows, is another :class:`Texts`; an integer is the text itself.

    Attributes
    ----------
    characters : (N,), the length of each text, known without reading it.

    Raises
    ------
    InputError : when a text is asked for and its file was changed since.
    """

    def __init__(
        self,
        sources: tuple[_Source, ...],
        source: np.ndarray,
        starts: np.ndarray,
        sizes: np.ndarray,
        characters: np.ndarray,
    ):
        self._sources = sources
        self._source, self._starts, self._sizes = source, starts, sizes
        self.characters = characters

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Texts that are kept in memory, as one byte string."""
        if isinstance(texts, Texts):
            return texts
        builder = TextBuilder()
        for text in texts:
            builder.add(text)
        return builder.texts()

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice | np.ndarray) -> Texts: ...

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (slice, np.ndarray)):
            own = (self._source, self._starts, self._sizes, self.characters)
            return Texts(self._sources, *(values[index] for values in own))
        source = self._sources[self._source[index]]
        return source.read(int(self._starts[index]), int(self._sizes[index])).decode("utf-8")

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), BLOCK):
            yield from self._block(slice(start, start + BLOCK))

    def __add__(self, other: Iterable[str]) -> Texts:
        more = Texts.of(other)
        both = zip(
            (self._source, self._starts, self._sizes, self.characters),
            (more._source + len(self._sources), more._starts, more._sizes, more.characters),
            strict=True,
        )
        return Texts(self._sources + more._sources, *(np.concatenate(pair) for pair in both))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # equal to a list, which has none

    def __repr__(self) -> str:
        few = ", ".join(repr(text[:40]) for text in self[:3])
        return f"Texts of {len(self):,}: {few}{', …' if len(self) > 3 else ''}"

    def _block(self, rows: slice) -> list[str]:
        """Some texts; those that lie near each other in a file are read together."""
        source, starts, sizes = self._source[rows], self._starts[rows], self._sizes[rows]
        found = [""] * len(starts)
        for number in np.unique(source):
            mine = np.flatnonzero(source == number)
            first, last = int(starts[mine].min()), int((starts[mine] + sizes[mine]).max())
            read = self._sources[number].read
            places = zip(mine.tolist(), starts[mine].tolist(), sizes[mine].tolist(), strict=True)
            if last - first <= 2 * int(sizes[mine].sum()) + (1 << 16):
                whole = read(first, last - first)
                for row, start, size in places:
                    found[row] = whole[start - first : start - first + size].decode("utf-8")
            else:
                for row, start, size in places:
                    found[row] = read(start, size).decode("utf-8")
        return found


class TextBuilder:
    """Collects texts: by their places where a file is given and holds them as they are, else in memory.

    Parameters
    ----------
    path : the file that the texts are lines of, or parts of lines; it is read along.
    """

    def __init__(self, path: Path | None = None):
        self._path = path
        self._file: _FileSource | None = None
        self._memory = bytearray()
        self._source, self._starts, self._sizes, self._characters = array("b"), array("q"), array("i"), array("i")
        self._line = self._line_start = 0
        self._raw = b""

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, text: str, line: int = 0) -> None:
        """Add a text of a line (from 1, ascending); one that is not there byte by byte is kept in memory."""
        encoded = text.encode("utf-8")
        at = self._place(encoded, line) if self._path is not None and line else -1
        self._source.append(0 if at < 0 else 1)
        if at < 0:
            at = len(self._memory)
            self._memory += encoded
        self._starts.append(at)
        self._sizes.append(len(encoded))
        self._characters.append(len(text))

    def texts(self) -> Texts:
        """What was collected."""
        sources: list[_Source] = [_MemorySource(bytes(self._memory))]
        if self._file is not None:
            self._stream.close()
            sources.append(self._file)
        arrays = (
            np.frombuffer(values, dtype=kind) if values else np.zeros(0, dtype=kind)
            for values, kind in (
                (self._source, np.int8), (self._starts, np.int64), (self._sizes, np.int32), (self._characters, np.int32)
            )
        )  # fmt: skip
        return Texts(tuple(sources), *arrays)

    def _place(self, encoded: bytes, line: int) -> int:
        if self._file is None:
            assert self._path is not None
            self._file = _FileSource(self._path)
            self._stream = self._path.open("rb")
        while self._line < line:
            self._line_start += len(self._raw)
            self._raw = self._stream.readline()
            self._line += 1
        at = self._raw.rfind(encoded)
        return -1 if at < 0 else self._line_start + at


class _MemorySource:
    def __init__(self, content: bytes):
        self._content = content

    def read(self, start: int, size: int) -> bytes:
        return self._content[start : start + size]


class _FileSource:
    """A file that is read in places. It is not mapped: a file that another program cuts short would kill by SIGBUS."""

    def __init__(self, path: Path):
        self._path = path
        self._number = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._number)
        self._state = self._now()

    def read(self, start: int, size: int) -> bytes:
        found = os.pread(self._number, size, start)
        if len(found) != size or self._now() != self._state:
            raise InputError("was changed while it was in use; run the same command again", self._path)
        return found

    def _now(self) -> tuple[int, int]:
        status = os.fstat(self._number)
        return status.st_size, status.st_mtime_ns
