"""Labels of new texts, written row by row: CSV, JSON lines and parquet."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from teleclass.data.spreadsheet import guarded
from teleclass.errors import InputError

COLUMNS = ("id", "classes", "class_ids", "probabilities", "paths", "confidence")
SEPARATOR = "; "
"""Between the values of one field in CSV; the other formats have lists."""

BLOCK = 1024
"""Rows that parquet takes at a time."""


class Writer(Protocol):
    """Takes one row a call, by the names in :data:`COLUMNS`."""

    def write(self, row: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


@contextmanager
def label_file(path: Path) -> Iterator[Writer]:
    """A file of labels that is written beside and takes its name when all rows are in it.

    Raises
    ------
    InputError : another ending than ``.csv``, ``.jsonl`` or ``.parquet``, or a folder that cannot be written.
    """
    check_label_file(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        writer = WRITERS[path.suffix.lower()](partial)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", path) from None
    try:
        try:
            yield writer
        finally:
            writer.close()
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def check_label_file(path: Path) -> None:
    """Find what would stop :func:`label_file` before the work begins.

    Raises
    ------
    InputError : see there.
    """
    if path.suffix.lower() not in WRITERS:
        raise InputError(f"ends in none of {', '.join(WRITERS)}; give the output another name", path)
    if not path.parent.is_dir():
        raise InputError("its folder does not exist; make it first", path)
    if path.is_dir():
        raise InputError("is a folder; name a file", path)


class _Csv:
    def __init__(self, path: Path):
        self._stream = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._stream, lineterminator="\n")
        self._writer.writerow(COLUMNS)

    def write(self, row: Mapping[str, Any]) -> None:
        self._writer.writerow([_plain(row[name]) for name in COLUMNS])

    def close(self) -> None:
        self._stream.close()


class _JsonLines:
    def __init__(self, path: Path):
        self._stream = path.open("w", encoding="utf-8")

    def write(self, row: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps({name: row[name] for name in COLUMNS}, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._stream.close()


class _Parquet:
    def __init__(self, path: Path):
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise InputError("parquet needs pyarrow: pip install pyarrow", path) from None
        kinds = [
            pyarrow.string(),
            pyarrow.list_(pyarrow.string()),
            pyarrow.list_(pyarrow.int64()),
            pyarrow.list_(pyarrow.float32()),
            pyarrow.list_(pyarrow.string()),
            pyarrow.float32(),
        ]
        self._schema = pyarrow.schema(list(zip(COLUMNS, kinds, strict=True)))
        self._file = parquet.ParquetWriter(path, self._schema)
        self._table = pyarrow.Table
        self._waiting: list[Mapping[str, Any]] = []

    def write(self, row: Mapping[str, Any]) -> None:
        self._waiting.append(row)
        if len(self._waiting) == BLOCK:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        self._file.write_table(self._table.from_pylist(self._waiting, schema=self._schema))
        self._waiting.clear()


WRITERS: dict[str, Callable[[Path], Writer]] = {".csv": _Csv, ".jsonl": _JsonLines, ".parquet": _Parquet}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return guarded(SEPARATOR.join(f"{one:.4f}" if isinstance(one, float) else str(one) for one in value))
    return f"{value:.4f}" if isinstance(value, float) else guarded(value)
