"""label: the label model on many documents and many classes, each size in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchmarks.interleave import Figure, Measure, Method, Outcome, Work, in_turn
from benchmarks.speed_table import Comparison, Row, Section

Size = tuple[int, int]
SIZES: tuple[Size, ...] = ((50_000, 531), (1_000_000, 531), (50_000, 10_000))
LONG: Size = (1_000_000, 10_000)
SLOW = 2_000
"""Classes from which a size takes a minute or more, and is measured once."""
MINIATURE: tuple[Size, ...] = ((200, 7), (400, 7), (200, 14))

COLUMNS = {"cpu_seconds": "CPU s", "wall_seconds": "wall s", "peak_mb": "peak MB"}


def measure(sizes: Sequence[Size] = SIZES, rounds: int = 1) -> Section:
    """Seconds and memory by documents and classes, and how they grow from the first size on."""
    return section_of({size: _alone(size, 1 if size[1] >= SLOW else rounds) for size in sizes})


def _alone(size: Size, rounds: int) -> Outcome:
    """Rounds on one core after the other, in a process that this size has for itself."""
    return in_turn([Method("label", partial(label, *size), rotates=True)], rounds)["label"]


def section_of(outcomes: dict[Size, Outcome]) -> Section:
    """The rows, and growth over the first size."""
    section = Section("label", "documents × classes, seed 0, a process a size, each round on another core")
    values: dict[Size, dict[str, Figure]] = {}
    for size, outcome in outcomes.items():
        section.rounds[_name(size)] = outcome.rounds
        told = outcome.rounds[0].values if outcome.rounds else {}
        values[size] = {name: Figure.of([one.values[name] for one in outcome.rounds]) for name in told}
        # The named ones first, then whatever else was measured.
        names = [*(name for name in COLUMNS if name in told), *(name for name in told if name not in COLUMNS)]
        figures = {COLUMNS.get(name, name.replace("_", " ")): values[size][name] for name in names}
        section.rows.append(Row(_name(size), figures, outcome.failure, failed=bool(outcome.failure)))
    first, *others = outcomes
    for size in others:
        for name, column in COLUMNS.items():
            if name in values[first] and name in values[size] and values[first][name].median:
                grown = Figure.of([values[size][name].median / values[first][name].median])
                section.comparisons.append(Comparison(f"{column}: {_name(size)} ÷ {_name(first)}", grown))
    asked = (1_000_000, 531)
    if values.get(asked):
        for name, limit in (("cpu_seconds", 15), ("peak_mb", 300)):
            name_of = f"{COLUMNS[name]}: {_name(asked)}"
            section.comparisons.append(Comparison(name_of, values[asked][name], at_most=limit))
    return section


def label(rows: int, classes: int) -> Measure:
    """One size; what is measured is told by the function itself, which makes its own input."""
    from benchmarks.label import prepare

    label_all = prepare(rows, classes, seed=0)

    def once() -> Work:
        values = {name: float(value) for name, value in label_all().items()}
        return Work(rows, values["cpu_seconds"], values["wall_seconds"], values=values)

    return once


def _name(size: Size) -> str:
    return f"{size[0]:,} × {size[1]:,}"
