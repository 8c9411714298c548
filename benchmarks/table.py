"""Measurements as Markdown, one table a data set."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from benchmarks.results import Result

COLUMNS = {
    "example_f1": "example_f1",
    "precision_at_1": "P@1",
    "precision_at_3": "P@3",
    "mrr": "MRR",
    "macro_f1": "macro-F1",
}


def table(title: str, results: Sequence[Result]) -> str:
    """One data set's table, a row a method in the order that the results first name it.

    A cell holds the mean over seeds, and with two seeds or more the standard deviation (n − 1) of methods that draw
    anything. A method that was left out has its reason in place of numbers.
    """
    levels = {name for one in results for name in one.metrics if re.fullmatch(r"level_\d+_f1", name)}
    in_order = sorted(levels, key=lambda name: int(name.split("_")[1]))
    columns = COLUMNS | {name: f"level {name.split('_')[1]}" for name in in_order}
    lines = [
        f"### {title}",
        "",
        f"| method | {' | '.join(columns.values())} |",
        f"|---|{'---:|' * len(columns)}",
    ]
    for method in dict.fromkeys(one.method for one in results):
        own = [one for one in results if one.method == method]
        measured = [one for one in own if one.metrics]
        if measured:
            cells = [_cell([one.metrics[name] for one in measured if name in one.metrics]) for name in columns]
        else:
            cells = [own[0].left_out.replace("|", "/"), *[""] * (len(columns) - 1)]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"
