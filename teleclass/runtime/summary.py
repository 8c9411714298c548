"""What the terminal shows when an experiment is over: its phases and its main metrics."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from teleclass.runtime.console import duration, log
from teleclass.runtime.table import Table, print_table
from teleclass.runtime.tracking import shown_uri
from teleclass.runtime.workplace import PhaseTiming, Workplace

SHOWN = ("label/example_f1", "test/example_f1", "test/precision_at_1", "test/mrr", "test/path_consistency")
"""The main metrics, by their MLflow names."""


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
    return Table(("phase", "time", "share", ""), tuple(rows), right=(1, 2), folded=(), total=1)


def metric_lines(metrics: dict[str, float]) -> list[str]:
    """The main metrics, a line each."""
    return [f"  {name} = {metrics[name]:.4f}" for name in SHOWN if name in metrics]


def log_table(table: Table) -> None:
    """Print a table where the log goes: standard error, on the first rank."""
    if log.isEnabledFor(logging.INFO):
        print_table(table, sys.stderr, "  ")


def say_goodbye(work: Workplace, metrics: dict[str, float], total: float) -> None:
    """The last words of an experiment: its phases, its main metrics, and where its results are."""
    log_table(phase_table(work.timings, total))
    lines = [*metric_lines(metrics), f"finished in {duration(total)}; results in {work.artifacts.folder}/, labels in "
             f"{work.artifacts.path('submission')}"]  # fmt: skip
    if work.tracker.run_id and work.tracker.journal is None:
        lines.append(f"MLflow run {work.tracker.run_id} in {shown_uri()}; look at it with: teleclass ui")
    log.info("%s", "\n".join(lines))


def _share(seconds: float, total: float) -> str:
    return f"{100 * seconds / total:.0f} %" if seconds and total else "–"
