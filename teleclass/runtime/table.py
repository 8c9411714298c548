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
    text_columns: int = 1,
    marked: Collection[int] = (),
    stream: TextIO | None = None,
) -> None:
    """Print rows under a header.

    Parameters
    ----------
    text_columns : how many columns, from the left, are set to the left; those of numbers are set to the right.
    marked : rows by their number that stand out; a plain table puts a star before them.
    stream : standard output when None.
    """
    stream = stream or sys.stdout
    if stream.isatty():
        _print_rich(header, rows, title, text_columns, marked, stream)
        return
    stars = ["* " if number in marked else "  " for number in range(len(rows))] if marked else [""] * len(rows)
    cells = [[("  " if marked else "") + header[0], *header[1:]]]
    cells += [[star + row[0], *row[1:]] for star, row in zip(stars, rows, strict=True)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    if title:
        print(title, file=stream)
    for row in cells:
        padded = [
            cell.ljust(width) if column < text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(padded).rstrip(), file=stream)


def _print_rich(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str,
    text_columns: int,
    marked: Collection[int],
    stream: TextIO,
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(header):
        is_text = number < text_columns
        # "test/example_f1" takes two lines, as its numbers are short.
        table.add_column(Text(name.replace("/", "/\n")), justify="left" if is_text else "right", no_wrap=not is_text)
    for number, row in enumerate(rows):
        table.add_row(*(Text(cell) for cell in row), style="bold green" if number in marked else None)
    Console(file=stream).print(table)
