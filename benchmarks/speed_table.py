"""Measurements of speed: their rows, the targets beside them, one JSON file, and Markdown."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.interleave import Figure, Outcome, Round


@dataclass(frozen=True)
class Row:
    """One method's figures, by the name of their column.

    Attributes
    ----------
    note : in place of figures, why there are none.
    failed : the measurement was tried and broke.
    """

    name: str
    figures: dict[str, Figure] = field(default_factory=dict)
    note: str = ""
    failed: bool = False


@dataclass(frozen=True)
class Comparison:
    """What is compared, and the target where there is one: at least, or at most.

    Attributes
    ----------
    of_least : the same of the fastest turns, where there were several; told beside the figure, never judged.
    """

    name: str
    figure: Figure | None
    at_least: float | None = None
    at_most: float | None = None
    of_least: float | None = None

    @property
    def is_met(self) -> bool | None:
        """None where nothing was measured or nothing is asked for."""
        if self.figure is None or (self.at_least is None and self.at_most is None):
            return None
        above = self.at_least is None or self.figure.median >= self.at_least
        return above and (self.at_most is None or self.figure.median <= self.at_most)


@dataclass
class Section:
    """One measurement: its rows, what follows from them, and how it was done."""

    name: str
    title: str
    rows: list[Row] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    rounds: dict[str, list[Round]] = field(default_factory=dict)

    @property
    def has_failed(self) -> bool:
        return any(row.failed for row in self.rows)

    def add(self, outcomes: dict[str, Outcome], columns: dict[str, Callable[[Round], float]]) -> None:
        """A row a method, a column a quantity; every round is kept."""
        for name, outcome in outcomes.items():
            self.rounds[name] = outcome.rounds
            figures = {
                column: Figure.of(map(quantity, outcome.rounds))
                for column, quantity in columns.items()
                if outcome.rounds
            }
            self.rows.append(Row(name, figures, outcome.failure, failed=bool(outcome.failure)))


SPEED_COLUMNS: dict[str, Callable[[Round], float]] = {
    "CPU ms a document": lambda one: 1000 * one.cpu_a_document,
    "documents/s (wall)": lambda one: one.documents_per_second,
}


def markdown(sections: Sequence[Section]) -> str:
    """Every section as a table, its comparisons as a second one, and its remarks."""
    return "\n".join(_section(one) for one in sections)


def _section(section: Section) -> str:
    columns = list(dict.fromkeys(column for row in section.rows for column in row.figures))
    lines = [f"### {section.name}: {section.title}", ""]
    lines += [f"| method | {' | '.join([*columns, 'note'])} |", f"|---|{'---:|' * len(columns)}---|"]
    for row in section.rows:
        note = f"failed: {row.note}" if row.failed else row.note
        cells = [_cell(row.figures.get(column)) for column in columns]
        lines.append(f"| {_plain(row.name)} | {' | '.join([*cells, _plain(note)])} |")
    if section.comparisons:
        lines += ["", *_compared(section.comparisons)]
    lines += [""] + [f"- {remark}" for remark in section.remarks]
    return "\n".join(lines).rstrip() + "\n"


def _compared(comparisons: Sequence[Comparison]) -> list[str]:
    """The lines of the table of comparisons; what the fastest turns tell has a column where any had several."""
    has_least = any(one.of_least is not None for one in comparisons)
    columns = ["value", *(["fastest turns"] if has_least else []), "target"]
    lines = [f"| comparison | {' | '.join(columns)} | met |", f"|---|{'---:|' * len(columns)}---|"]
    for one in comparisons:
        values = [_cell(one.figure) or "not measured"]
        if has_least:
            values.append("" if one.of_least is None else number(one.of_least))
        met = {True: "yes", False: "no", None: ""}[one.is_met]
        lines.append(f"| {_plain(one.name)} | {' | '.join([*values, _target(one)])} | {met} |")
    return lines


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return ""
    if figure.low == figure.high:
        return number(figure.median)
    return f"{number(figure.median)} ({number(figure.low)}–{number(figure.high)})"


def number(value: float) -> str:
    """Three digits that tell something, without an exponent where people would not write one."""
    if value != 0 and abs(value) < 0.001:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _target(one: Comparison) -> str:
    asked = [("≥", one.at_least), ("≤", one.at_most)]
    return ", ".join(f"{sign} {number(value)}" for sign, value in asked if value is not None)


def _plain(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")


def file_name(machine: str) -> str:
    """A machine's description as the name of a file."""
    return re.sub(r"[^a-z0-9]+", "_", machine.lower()).strip("_") + ".json"


def write_json(file: Path, sections: Sequence[Section], about: dict[str, Any]) -> None:
    """Write sections over those of the same names in the file; others that it holds stay."""
    earlier = json.loads(file.read_text("utf-8")).get("measurements", {}) if file.exists() else {}
    new = {one.name: asdict(one) | about for one in sections}
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(json.dumps({"measurements": earlier | new}, indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.replace(partial, file)
