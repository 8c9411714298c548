"""Lines, pairs and class ids: what counts as a line, and that every fault names its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleclass.data.textfile import class_id, lines, pairs
from teleclass.errors import InputError


def written(folder: Path, content: bytes) -> Path:
    file = folder / "rows.txt"
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xef\xbb\xbf7\tseven\n", [(1, "7", "seven")]),  # BOM: the id is 7, not \ufeff7
        (b"1\ta\r\n2\tb\r\n", [(1, "1", "a"), (2, "2", "b")]),  # CRLF
        (b"1\ta\rb\n2\tc\n", [(1, "1", "a\rb"), (2, "2", "c")]),  # a lone CR ends no line
        ("1\ta\u2028b\u2029c\n2\td\n".encode(), [(1, "1", "a\u2028b\u2029c"), (2, "2", "d")]),
        (b"1\ta\x0bb\x0cc\x1cd\xc2\x85e\n2\tf\n", [(1, "1", "a\x0bb\x0cc\x1cd\x85e"), (2, "2", "f")]),
        (b"1\ta\n\n\r\n2\tb", [(1, "1", "a"), (4, "2", "b")]),  # empty lines are passed over and counted
        (b"1\ta\tb\n", [(1, "1", "a\tb")]),  # split once, at the first tab
        (b"1\t\n", [(1, "1", "")]),  # an empty text is a text
        (b" 1 \t  a  \n", [(1, "1", "a")]),
        (b"", []),
        (b"\xef\xbb\xbf", []),
    ],
)
def test_a_line_ends_at_a_newline_alone(tmp_path, content, expected):
    assert list(pairs(written(tmp_path, content))) == expected


# what \n, NUL, a mark at the very start and a carriage return before \n mean is covered above
TEXT = st.text(st.characters(exclude_characters="\n\0\r\ufeff", exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(TEXT, st.sampled_from(["\n", "\r\n"]))), mark=st.booleans())
def test_whatever_stands_between_newlines_comes_back_with_its_line_number(tmp_path_factory, rows, mark):
    content = ("\ufeff" if mark else "") + "".join(text + end for text, end in rows)
    file = written(tmp_path_factory.mktemp("lines"), content.encode())
    assert list(lines(file)) == [(number, text) for number, (text, _) in enumerate(rows, start=1) if text]


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b"1\tgood\n2\tna\xefve\n", 2, "byte 5 is not valid UTF-8"),  # Latin-1: 2, tab, n, a, then the byte
        (b"1\tgood\n\n3\t\xed\xa0\x80\n", 3, "byte 3 is not valid UTF-8"),  # an encoded lone surrogate
        (b"1\tcut \xe2\x82\n", 1, "byte 7 is not valid UTF-8"),  # a character cut short, at the 7th byte
        ("1\ta\n".encode("utf-16"), 1, "byte 1 is not valid UTF-8"),
        (b"1\tgood\n2\tgood\n3\tb\0d\n", 3, "NUL"),
        (b"1\tgood\n2 spaces for a tab\n", 2, r"found no '\t' in '2 spaces for a tab'"),
    ],
)
def test_a_broken_line_is_told_with_file_and_line(tmp_path, content, line, problem):
    file = written(tmp_path, content)
    with pytest.raises(InputError) as fault:
        list(pairs(file))
    assert (fault.value.file, fault.value.line) == (str(file), line)
    assert problem in fault.value.problem
    assert str(fault.value).startswith(f"{file}, line {line}: ")


def test_the_lines_before_a_broken_one_are_read(tmp_path):
    rows = pairs(written(tmp_path, b"1\ta\n2\t\xff\n"))
    assert next(rows) == (1, "1", "a")
    with pytest.raises(InputError):
        next(rows)


def test_a_fault_shows_the_start_of_a_long_line_alone(tmp_path):
    with pytest.raises(InputError) as fault:
        list(pairs(written(tmp_path, b"x" * 5_000), ":", "name:keyword"))
    assert "expected name:keyword, found no ':' in '" + "x" * 39 + "…'" in fault.value.problem


@pytest.mark.parametrize("make", [lambda file: None, Path.mkdir], ids=["missing", "a folder"])
def test_a_file_that_cannot_be_opened_is_told_by_name(tmp_path, make):
    file = tmp_path / "rows.txt"
    make(file)
    with pytest.raises(InputError) as fault:
        list(lines(file))
    assert fault.value.file == str(file)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("17", 17), ("00", 0), ("007", 7)])
def test_a_class_id_is_written_in_the_ten_digits(text, number):
    assert class_id(text, Path("classes.txt"), 1) == number


@pytest.mark.parametrize(
    "text",
    ["١", "３", "²", "1_000", "+3", "-3", "3.0", "1e3", "0x1", " 3", "3 ", "3\n", "3\r", "", "abc", "\ufeff3", "1,000"],
)
def test_whatever_else_int_takes_is_no_class_id(text):
    with pytest.raises(InputError, match="is not a whole number") as fault:
        class_id(text, Path("classes.txt"), 12)
    assert (fault.value.file, fault.value.line) == ("classes.txt", 12)


def test_a_class_id_of_thousands_of_digits_is_told_with_its_line():
    """``int`` refuses more than 4,300 digits with a ValueError of its own."""
    with pytest.raises(InputError) as fault:
        class_id("9" * 5_000, Path("classes.txt"), 12)
    assert (fault.value.file, fault.value.line) == ("classes.txt", 12)
