"""label: the label model on many documents and many classes, each size in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchmarks.interleave import Figure, Measure, Method, Outcome, Work, alone
from benchmarks.speed_table import Comparison, Row, Section

Size = tuple[int, int]
SIZES: tuple[Size, ...] = ((50_000, 531), (1_000_000, 531), (50_000, 10_000))
LONG: Size = (1_000_000, 10_000)
MINIATURE: tuple[Size, ...] = ((200, 7), (400, 7), (200, 14))

COLUMNS = {"cpu_seconds": "CPU s", "wall_seconds": "wall s", "peak_mb": "peak MB"}


def measure(sizes: Sequence[Size] = SIZES) -> Section:
    """Seconds and memory by documents and classes, and how they grow from the first size on."""
    outcomes = {size: alone(Method("label", partial(label, *size))) for size in sizes}
    return section_of(outcomes)


def section_of(outcomes: dict[Size, Outcome]) -> Section:
    """The rows, and growth over the first size."""
    section = Section("label", "documents × classes, seed 0, a process a size, one round")
    values: dict[Size, dict[str, float]] = {}
    for size, outcome in outcomes.items():
        section.rounds[_name(size)] = outcome.rounds
        values[size] = outcome.rounds[0].values if outcome.rounds else {}
        # The named ones first, then whatever else was measured.
        names = [*(name for name in COLUMNS if name in values[size]), *(n for n in values[size] if n not in COLUMNS)]
        figures = {COLUMNS.get(name, name.replace("_", " ")): Figure.of([values[size][name]]) for name in names}
        section.rows.append(Row(_name(size), figures, outcome.failure, failed=bool(outcome.failure)))
    first, *others = outcomes
    for size in others:
        for name, column in COLUMNS.items():
            if values[first].get(name) and name in values[size]:
                grown = Figure.of([values[size][name] / values[first][name]])
                section.comparisons.append(Comparison(f"{column}: {_name(size)} ÷ {_name(first)}", grown))
    asked = (1_000_000, 531)
    if values.get(asked):
        for name, limit in (("cpu_seconds", 15), ("peak_mb", 300)):
            figure = Figure.of([values[asked][name]])
            section.comparisons.append(Comparison(f"{COLUMNS[name]}: {_name(asked)}", figure, at_most=limit))
    return section


def label(rows: int, classes: int) -> Measure:
    """One size; what is measured is told by the function itself, which makes its own input."""

    def once() -> Work:
        from benchmarks.label import measure as measure_label

        values = {name: float(value) for name, value in measure_label(rows, classes, seed=0).items()}
        return Work(rows, values["cpu_seconds"], values["wall_seconds"], values=values)

    return once


def _name(size: Size) -> str:
    return f"{size[0]:,} × {size[1]:,}"
