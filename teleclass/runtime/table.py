"""Tables in the terminal: with rules and colour where it can show them, else in plain columns."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import TextIO


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    numbers: Collection[int] | None = None,
    folded: Collection[int] = (0,),
    marked: Collection[int] = (),
    stream: TextIO | None = None,
) -> None:
    """Print rows under a header.

    Parameters
    ----------
    numbers : columns by their number that are set to the right; all but the first when None.
    folded : columns by their number that take several lines where the terminal is too narrow.
    marked : rows by their number that stand out; a plain table puts a star before them.
    stream : standard output when None.
    """
    stream = stream or sys.stdout
    numbers = range(1, len(header)) if numbers is None else numbers
    if stream.isatty():
        _print_rich(header, rows, title, numbers, folded, marked, stream)
        return
    stars = ["* " if number in marked else "  " for number in range(len(rows))] if marked else [""] * len(rows)
    cells = [[("  " if marked else "") + header[0], *header[1:]]]
    cells += [[star + row[0], *row[1:]] for star, row in zip(stars, rows, strict=True)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    if title:
        print(title, file=stream)
    for row in cells:
        padded = [
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(padded).rstrip(), file=stream)


def _print_rich(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str,
    numbers: Collection[int],
    folded: Collection[int],
    marked: Collection[int],
    stream: TextIO,
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title or None, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False,
        padding=(0, 1, 0, 0),
    )  # fmt: skip
    for number, name in enumerate(header):
        table.add_column(
            Text(name.replace("/", "/\n")),  # on two lines, as the numbers below are short
            justify="right" if number in numbers else "left",
            overflow="fold",
            min_width=6 if number in folded else max((len(row[number]) for row in rows), default=0),
        )
    for number, row in enumerate(rows):
        table.add_row(*(Text(cell) for cell in row), style="bold green" if number in marked else None)
    Console(file=stream).print(table)
