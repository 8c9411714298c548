"""Reading the tab-separated text files that users give, with the line of every fault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from teleclass.data.mending import CHARACTERS, LINE, NULS, STRICT, Mender
from teleclass.errors import InputError

_CLASS_ID = re.compile(r"[0-9]{1,18}")


def lines(path: Path, with_empty: bool = False, mender: Mender = STRICT) -> Iterator[tuple[int, str]]:
    """Yield ``(line number, text)`` of every line that is not empty, one at a time.

    A line ends at ``\\n`` alone: Python's own text mode would also split at a lone carriage return and
    ``str.splitlines`` at U+2028, which shifts documents against their labels.

    Parameters
    ----------
    with_empty : yield the empty lines too.
    mender : replaces what is not UTF-8 by U+FFFD and removes NUL characters, where it mends.

    Raises
    ------
    InputError : the file is missing, is not UTF-8, or holds a NUL character.
    """
    try:
        with path.open("rb") as stream:
            for number, piece in enumerate(stream, start=1):
                if number == 1:
                    piece = piece.removeprefix(b"\xef\xbb\xbf")
                piece = piece.removesuffix(b"\n").removesuffix(b"\r")
                if piece or with_empty:
                    yield number, _decoded(piece, path, number, mender)
    except FileNotFoundError:
        raise InputError("the file does not exist; check the data folder", path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path) from None


def _decoded(piece: bytes, path: Path, number: int, mender: Mender) -> str:
    try:
        text = piece.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"byte {error.start + 1} is not valid UTF-8; save the file as UTF-8"
        mender.mend(InputError(problem, path, number), CHARACTERS)
        text = piece.decode("utf-8", "replace")
    if "\0" in text:
        mender.mend(InputError("holds a NUL character; remove it", path, number), NULS)
        text = text.replace("\0", "")
    return text


def pairs(
    path: Path, separator: str = "\t", expected: str = "id<TAB>text", mender: Mender = STRICT
) -> Iterator[tuple[int, str, str]]:
    """Yield ``(line number, left, right)`` of every line split once at ``separator``.

    Parameters
    ----------
    mender : leaves out lines without the separator, besides what it does in :func:`lines`, where it mends.

    Raises
    ------
    InputError : a line without the separator, besides the faults of :func:`lines`.
    """
    for number, text in lines(path, mender=mender):
        left, found, right = text.partition(separator)
        if not found:
            problem = f"expected {expected}, found no {separator!r} in {_shorten(text)!r}"
            mender.mend(InputError(problem, path, number), LINE)
            continue
        yield number, left.strip(), right.strip()


def class_id(text: str, path: Path, line: int) -> int:
    """Parse a class id, which is written in at most 18 of the digits 0 to 9.

    ``int`` would also take ``+3``, ``1_000`` and digits of other scripts.
    """
    if not _CLASS_ID.fullmatch(text):
        raise InputError(f"class id {_shorten(text)!r} is not a whole number", path, line)
    return int(text)


def _shorten(text: str, width: int = 40) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
