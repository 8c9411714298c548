"""New texts from files of every kind, and the faults of each."""

from contextlib import suppress

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleclass.data.documents import DocumentFile
from teleclass.errors import InputError


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_every_line_of_a_text_file_is_a_row(tmp_path):
    path = write(tmp_path / "new.txt", b"\xef\xbb\xbfone\r\n\ntwo\xe2\x80\xa8still two\n\n")
    assert list(DocumentFile(path)) == [("0", "one"), ("1", ""), ("2", "two\u2028still two"), ("3", "")]


def test_tabbed_lines_bring_their_ids(tmp_path):
    assert list(DocumentFile(write(tmp_path / "new.tsv", "a\tone\ttwo\nb\t\n"))) == [("a", "one\ttwo"), ("b", "")]


def test_csv_takes_named_columns_and_quoted_line_breaks(tmp_path):
    path = write(tmp_path / "new.csv", 'name,body\nx,"one\ntwo"\ny,\n')
    assert list(DocumentFile(path, "body", "name")) == [("x", "one\ntwo"), ("y", "")]
    assert list(DocumentFile(path, "body")) == [("0", "one\ntwo"), ("1", "")]


def test_csv_takes_a_field_of_a_megabyte(tmp_path):
    path = write(tmp_path / "new.csv", f'text\n"{"a" * 1_000_000}"\n')
    assert len(next(iter(DocumentFile(path)))[1]) == 1_000_000


def test_parquet_is_read_by_column(tmp_path):
    frame = pd.DataFrame({"text": ["one", None, "three"], "number": [7, 8, 9]})
    frame.to_parquet(tmp_path / "new.parquet")
    assert list(DocumentFile(tmp_path / "new.parquet", id_column="number")) == [("7", "one"), ("8", ""), ("9", "three")]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"good\n\xff\n", "a.txt, line 2: byte 1 is not valid UTF-8"),
        ("a.tsv", "good\tone\nbad\n", "a.tsv, line 2: expected id<TAB>text"),
        ("a.csv", "body\nx\n", "a.csv, line 2: has no column 'text'; it has body"),
        ("a.csv", 'text\n"open\n', "a.csv, line 1: is not valid CSV: unexpected end"),
        ("a.csv", b"text\n\xff\n", "a.csv: is not valid UTF-8"),
        ("a.jsonl", '{"text": "x"}\n[1]\n', "a.jsonl, line 2: expected an object"),
        ("a.jsonl", '{"text": 5}\n', "a.jsonl, line 1: column 'text' holds no text but int"),
        ("a.jsonl", "[" * 100_000, "a.jsonl, line 1: is not valid JSON"),
        ("a.parquet", b"PAR1 no", "a.parquet: is not valid parquet"),
    ],
)
def test_faults_name_file_and_line(tmp_path, name, content, says):
    with pytest.raises(InputError, match="^" + ".*" + says.replace("(", r"\(")):
        list(DocumentFile(write(tmp_path / name, content)))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([".txt", ".tsv", ".csv", ".jsonl", ".parquet"]))
def test_any_bytes_give_rows_or_an_input_error(tmp_path_factory, content, ending):
    path = write(tmp_path_factory.getbasetemp() / f"fuzzed{ending}", content)
    rows: list = []
    with suppress(InputError):
        rows = list(DocumentFile(path))
    assert all(isinstance(identity, str) and isinstance(text, str) for identity, text in rows)
