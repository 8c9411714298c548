"""Tables written and read in blocks are those that pandas reads."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from teleclass.runtime import parquet
from teleclass.runtime.parquet import read_column, read_lists, read_rows, writing_rows

COLUMNS = {"name": "string", "number": "int", "share": "float", "exact": "double", "nodes": "int[]"}


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Seven rows in blocks of 3, 1 and 3, groups of two or more."""
    monkeypatch.setattr(parquet, "ROWS", 2)
    path = tmp_path / "table.parquet"
    with writing_rows(path, COLUMNS) as rows:
        rows.add(name=["a", None, "c"], number=np.arange(3, dtype=np.int32), share=np.float32([0, 0.1, 0.2]),
                 exact=[0.1, 0.2, 0.3], nodes=[[1], [], [2, 3]])  # fmt: skip
        rows.add(name=["d"], number=[3], share=[0.5], exact=[0.5], nodes=(np.array([4, 5]), np.array([0, 2])))
        rows.add(name=["e", "f", "g"], number=[4, 5, 6], share=[1, 2, 3], exact=[1, 2, 3],
                 nodes=(np.zeros(0, dtype=np.int64), np.zeros(4, dtype=np.int64)))  # fmt: skip
    return path


def test_pandas_reads_what_was_written(file):
    table = pd.read_parquet(file)
    assert list(table) == list(COLUMNS)
    assert [None if one != one or one is None else one for one in table["name"]] == ["a", None, "c", "d", "e", "f", "g"]
    assert table["number"].tolist() == list(range(7))
    assert (table["number"].dtype, table["share"].dtype, table["exact"].dtype) == (np.int64, np.float32, np.float64)
    assert [nodes.tolist() for nodes in table["nodes"]] == [[1], [], [2, 3], [4, 5], [], [], []]


def test_columns_are_read_whole_and_rows_in_batches(file):
    assert read_column(file, "exact").tolist() == [0.1, 0.2, 0.3, 0.5, 1, 2, 3]
    values, starts = read_lists(file, "nodes")
    assert (values.tolist(), starts.tolist()) == ([1, 2, 3, 4, 5], [0, 1, 1, 3, 5, 5, 5, 5])
    sizes = [batch.num_rows for batch in read_rows(file, ["number"])]
    assert sum(sizes) == 7
    assert max(sizes) <= 2


def test_a_table_without_rows_has_its_columns(tmp_path):
    with writing_rows(tmp_path / "none.parquet", COLUMNS):
        pass
    assert list(pd.read_parquet(tmp_path / "none.parquet")) == list(COLUMNS)
    assert len(read_column(tmp_path / "none.parquet", "number")) == 0
    values, starts = read_lists(tmp_path / "none.parquet", "nodes")
    assert (len(values), starts.tolist()) == (0, [0])
