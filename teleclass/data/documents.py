"""New texts to be filed, read row by row: text, CSV, JSON lines and parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teleclass.data.textfile import lines, pairs
from teleclass.errors import InputError

csv.field_size_limit(1 << 30)  # a document may be longer than the 128 kB that csv allows


@dataclass(frozen=True)
class DocumentFile:
    """A file of texts; how it is read follows from its ending.

    Parameters
    ----------
    path : ``.txt`` a text a line; ``.tsv`` ``id⇥text``, as the corpus files; ``.csv`` with a header; ``.jsonl`` an
        object a line; ``.parquet``.
    text_column, id_column : names in the last three; without an id column rows are numbered from 0.

    Raises
    ------
    InputError : another ending, or no such file.
    """

    path: Path
    text_column: str = "text"
    id_column: str = ""

    def __post_init__(self) -> None:
        if self.path.suffix.lower() not in READERS:
            raise InputError(f"ends in none of {', '.join(READERS)}; convert it to one of them", self.path)
        if not self.path.is_file():
            raise InputError("the file does not exist", self.path)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield ``(id, text)``; one row is held at a time.

        Raises
        ------
        InputError : a broken row, with its line.
        """
        return READERS[self.path.suffix.lower()](self)

    def values(self, row: Any, number: int, line: int | None) -> tuple[str, str]:
        """Id and text of a row that has named columns."""
        for name in filter(None, (self.text_column, self.id_column)):
            if name not in row:
                raise InputError(
                    f"has no column {name!r}; it has {', '.join(map(str, row))[:200]}; name another with --text_column "
                    "or --id_column", self.path, line
                )  # fmt: skip
        text = row[self.text_column]
        if text is None:
            text = ""
        if not isinstance(text, str):
            raise InputError(f"column {self.text_column!r} holds no text but {type(text).__name__}", self.path, line)
        identity = str(row[self.id_column]) if self.id_column else str(number)
        return _sound(identity), _sound(text)


def _sound(text: str) -> str:
    """Text that can be encoded: half a surrogate pair, which JSON can escape, is no character."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _text(file: DocumentFile) -> Iterator[tuple[str, str]]:
    for line, text in lines(file.path, with_empty=True):  # row i of the labels is line i of the file
        yield str(line - 1), text


def _tabbed(file: DocumentFile) -> Iterator[tuple[str, str]]:
    for _, identity, text in pairs(file.path):
        yield identity, text


def _csv(file: DocumentFile) -> Iterator[tuple[str, str]]:
    with file.path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        try:
            for number, row in enumerate(reader):
                yield file.values(row, number, reader.line_num)
        except csv.Error as error:
            raise InputError(f"is not valid CSV: {error}", file.path, reader.line_num) from None
        except UnicodeDecodeError:
            raise InputError("is not valid UTF-8; save the file as UTF-8", file.path) from None


def _json_lines(file: DocumentFile) -> Iterator[tuple[str, str]]:
    for number, (line, text) in enumerate(lines(file.path)):
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"is not valid JSON: {str(error)[:100]}", file.path, line) from None
        if not isinstance(row, dict):
            raise InputError(f'expected an object such as {{"{file.text_column}": "…"}}', file.path, line)
        yield file.values(row, number, line)


def _parquet(file: DocumentFile) -> Iterator[tuple[str, str]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise InputError("parquet needs pyarrow: pip install pyarrow", file.path) from None
    try:
        opened = parquet.ParquetFile(file.path)
        names = [name for name in (file.text_column, file.id_column) if name]
        file.values(dict.fromkeys(opened.schema_arrow.names), 0, None)  # the columns are there
        number = 0
        for batch in opened.iter_batches(1024, columns=names):
            for row in batch.to_pylist():
                yield file.values(row, number, None)
                number += 1
    except (ArrowException, OSError) as error:
        raise InputError(f"is not valid parquet: {str(error).splitlines()[0][:100]}", file.path) from None


READERS = {".txt": _text, ".tsv": _tabbed, ".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}
"""How a file is read, by its ending."""
