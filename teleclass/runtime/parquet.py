"""Tables with a row a document, written and read a few thousand rows at a time: a million are never held whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow

ROWS = 16_384
"""Rows of a group, which is the least that can be read."""

KINDS = {"string": "string", "int": "int64", "float": "float32", "double": "float64"}


class RowGroups:
    """Collects blocks of rows and writes them by groups of :data:`ROWS`."""

    def __init__(self, path: Path, columns: dict[str, str]):
        import pyarrow
        from pyarrow import parquet

        self._schema = pyarrow.schema([(name, _kind(kind)) for name, kind in columns.items()])
        self._writer = parquet.ParquetWriter(path, self._schema)
        self._waiting: list[pyarrow.RecordBatch] = []
        self._n_waiting = 0

    def add(self, **columns: Any) -> None:
        """Add rows: a sequence or an array a column, or ``(values, starts)`` for a column of lists."""
        import pyarrow

        arrays = [_array(columns[field.name], field.type) for field in self._schema]
        self._waiting.append(pyarrow.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._n_waiting += len(arrays[0])
        if self._n_waiting >= ROWS:
            self._flush()

    def close(self) -> None:
        if self._waiting:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow

        self._writer.write_table(pyarrow.Table.from_batches(self._waiting, self._schema), row_group_size=1 << 30)
        self._waiting, self._n_waiting = [], 0


@contextmanager
def writing_rows(path: Path, columns: dict[str, str]) -> Iterator[RowGroups]:
    """A parquet file to add rows to.

    Parameters
    ----------
    columns : each column's kind by its name, one of :data:`KINDS`, with ``[]`` after it for lists.
    """
    groups = RowGroups(path, columns)
    try:
        yield groups
    finally:
        groups.close()


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[pyarrow.RecordBatch]:
    """Some columns of a parquet file, batch by batch."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        yield from file.iter_batches(ROWS, columns=list(columns))


def read_column(path: Path, name: str) -> np.ndarray:
    """A column of numbers, whole."""
    parts = [batch.column(0).to_numpy(zero_copy_only=False) for batch in read_rows(path, [name])]
    return np.concatenate(parts) if parts else np.zeros(0)


def read_lists(path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A column of lists of numbers, whole: their values, and where each row's begin, (rows + 1,)."""
    values, sizes = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for batch in read_rows(path, [name]):
        lists = batch.column(0)
        values.append(lists.flatten().to_numpy(zero_copy_only=False))
        sizes.append(lists.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64))
    return np.concatenate(values[1:] or values), starts_of(np.concatenate(sizes))


def starts_of(sizes: np.ndarray) -> np.ndarray:
    """Where each of some lists begins in their values, and where the last one ends, (lists + 1,)."""
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])


def _kind(name: str) -> Any:
    import pyarrow

    kind = pyarrow.type_for_alias(KINDS[name.removesuffix("[]")])
    return pyarrow.list_(kind) if name.endswith("[]") else kind


def _array(values: Any, kind: Any) -> Any:
    import pyarrow

    if isinstance(values, tuple):
        flat, starts = values
        return pyarrow.ListArray.from_arrays(
            pyarrow.array(starts, pyarrow.int32()), pyarrow.array(flat, kind.value_type), type=kind
        )
    return pyarrow.array(values, kind)
