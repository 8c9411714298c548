"""Tables at the terminal: by rich where it can show them, in plain columns elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

STYLES = {"fresh": "green", "to do": "yellow"}
"""Cells that rich colours."""


@dataclass(frozen=True)
class Table:
    """Rows of text under headings.

    Attributes
    ----------
    right : columns by their number that are aligned to the right; all but the first when None.
    folded : columns by their number that take several lines where the terminal is too narrow.
    marked : rows by their number that stand out; a plain table puts a star before them.
    total : so many rows at the end are set off.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Collection[int] | None = None
    folded: Collection[int] = (0,)
    marked: Collection[int] = ()
    total: int = 0

    def is_right(self, column: int) -> bool:
        return column > 0 if self.right is None else column in self.right


def wants_rich(stream: TextIO) -> bool:
    """Whether the stream is a terminal that shows rich text; not for pipes, CI, NO_COLOR and dumb terminals."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("CI") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not plain


def rich_console(stream: TextIO) -> Any | None:
    """rich's console on a stream that wants it, else None."""
    if not wants_rich(stream):
        return None
    from rich.console import Console

    return Console(file=stream, highlight=False)


def print_table(table: Table, stream: TextIO | None = None, prefix: str = "") -> None:
    """Print a table to standard output or another stream; ``prefix`` comes before every line of a plain one."""
    stream = stream or sys.stdout
    console = rich_console(stream)
    if console is None:
        print_lines(plain_table(table), stream, prefix)
    else:
        console.print(_rich_table(table))


def print_lines(lines: Sequence[str], stream: TextIO, prefix: str = "") -> None:
    """Print lines, each after ``prefix``."""
    for line in lines:
        print(f"{prefix}{line}".rstrip(), file=stream, flush=True)


def plain_table(table: Table) -> list[str]:
    """A table as lines of aligned columns."""
    stars = ["* " if number in table.marked else "  " for number in range(len(table.rows))]
    cells = [list(table.headings), *(list(row) for row in table.rows)]
    if table.marked:
        for row, star in zip(cells, ["  ", *stars], strict=True):
            row[0] = star + row[0]
    widths = [max(len(row[column]) for row in cells) for column in range(len(table.headings))]
    lines = []
    for row in cells:
        padded = [
            text.rjust(width) if table.is_right(column) else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def _rich_table(table: Table) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(header_style="bold", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column, heading in enumerate(table.headings):
        widest = max((len(row[column]) for row in table.rows), default=0)
        drawn.add_column(
            Text(heading),
            justify="right" if table.is_right(column) else "left",
            overflow="fold",
            min_width=6 if column in table.folded else widest,
        )
    first_total = len(table.rows) - table.total
    for number, row in enumerate(table.rows):
        if table.total and number == first_total:
            drawn.add_section()
        style = "bold green" if number in table.marked else "bold" if number >= first_total else ""
        drawn.add_row(*(Text(text, style=STYLES.get(text, "")) for text in row), style=style)
    return drawn
