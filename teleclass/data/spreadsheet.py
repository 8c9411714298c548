"""Text in CSV files that people open in spreadsheets, where a cell that begins with ``=`` is run as a formula."""

from __future__ import annotations

STARTS = ("=", "+", "-", "@", "\t", "\r")
GUARD = "'"
"""What spreadsheets take for "this is text"."""


def guarded(text: str) -> str:
    """A text that no spreadsheet takes for a formula: ``=1+1`` becomes ``'=1+1``; numbers stay as they are."""
    return GUARD + text if text.startswith(STARTS) and not _is_number(text) else text


def unguarded(text: str) -> str:
    """What :func:`guarded` was given."""
    return text[1:] if text.startswith(tuple(GUARD + start for start in STARTS)) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text[-1].isdigit()
