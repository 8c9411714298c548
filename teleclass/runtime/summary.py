"""Tables at the terminal: by rich where it can show them, in plain text elsewhere."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from teleclass.runtime.console import duration, log
from teleclass.runtime.workplace import PhaseTiming

SHOWN = ("label/example_f1", "test/example_f1", "test/precision_at_1", "test/mrr", "test/path_consistency")
"""The main metrics, by their MLflow names."""


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; the columns ``right`` are aligned to the right, the last ``total`` rows set off."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...] = ()
    total: int = 0


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


def phase_table(timings: Sequence[PhaseTiming], total: float) -> Table:
    """Phases with their seconds and share of the whole; reused ones with the time they once took."""
    rows = []
    for timing in timings:
        how = f"reused, took {duration(timing.seconds)}" if timing.is_reused else "done"
        spent = 0.0 if timing.is_reused else timing.seconds
        rows.append((timing.name, duration(spent) if spent else "–", _share(spent, total), how))
    around = max(0.0, total - sum(timing.seconds for timing in timings if not timing.is_reused))
    rows.append(("start, checks, logging", duration(around), _share(around, total), ""))
    rows.append(("total", duration(total), _share(total, total), ""))
    return Table(("phase", "time", "share", ""), tuple(rows), right=(1, 2), total=1)


def metric_lines(metrics: dict[str, float]) -> list[str]:
    """The main metrics, a line each."""
    return [f"  {name} = {metrics[name]:.4f}" for name in SHOWN if name in metrics]


def log_table(table: Table) -> None:
    """Print a table where the log goes: standard error, on the first rank."""
    if log.isEnabledFor(logging.INFO):
        print_table(table, sys.stderr, "  ")


def print_table(table: Table, stream: TextIO, prefix: str = "") -> None:
    console = rich_console(stream)
    if console is None:
        print_lines(plain_table(table), stream, prefix)
    else:
        console.print(_rich_table(table))


def print_lines(lines: Sequence[str], stream: TextIO, prefix: str = "") -> None:
    for line in lines:
        print(f"{prefix}{line}".rstrip(), file=stream, flush=True)


def plain_table(table: Table) -> list[str]:
    """A table as lines of aligned columns."""
    cells = [table.headings, *table.rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(table.headings))]
    lines = []
    for row in cells:
        padded = [
            text.rjust(width) if column in table.right else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def _rich_table(table: Table) -> Any:
    from rich.box import SIMPLE
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=SIMPLE, pad_edge=False)
    for column, heading in enumerate(table.headings):
        drawn.add_column(heading, justify="right" if column in table.right else "left")
    for number, row in enumerate(table.rows, start=1):
        is_total = number > len(table.rows) - table.total
        if is_total and number == len(table.rows) - table.total + 1:
            drawn.add_section()
        styles = {"fresh": "green", "to do": "yellow"}
        drawn.add_row(*(Text(text, style=styles.get(text, "")) for text in row), style="bold" if is_total else "")
    return drawn


def _share(seconds: float, total: float) -> str:
    return f"{100 * seconds / total:.0f} %" if seconds and total else "–"
