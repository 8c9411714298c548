"""ranks: the same training on one process and on two, by ZeRO over gloo."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.interleave import Method, Outcome, Round, in_turn, rank_environments, ratio, ratio_of_least
from benchmarks.own_training import TrainingTask
from benchmarks.speed_data import Documents, mean_length
from benchmarks.speed_table import Comparison, Section
from benchmarks.speed_train import columns, cpu_of_mean_length, own

ONE = "1 rank"
TWO = "2 ranks"


@dataclass(frozen=True)
class Sizes:
    """Documents a rank and step, steps of a turn, and turns of a round.

    The C library keeps freed memory only once the heap has settled, hence the steps of the warm-up.
    """

    batch: int = 16
    warm_up: int = 16
    steps: int = 3
    turns: int = 4
    max_tokens: int = 512
    documents: int = 960


MINIATURE = Sizes(batch=2, warm_up=1, steps=2, turns=1, max_tokens=32, documents=12)


def measure(documents: Documents, model: Path, rounds: int, sizes: Sizes = Sizes()) -> Section:
    """CPU a document, documents a second and optimizer state, on one rank and on two with one thread each."""
    texts = tuple(documents.first(sizes.documents))
    task = TrainingTask(texts, model, documents.n_classes, sizes.max_tokens, sizes.batch)
    prepare = partial(own, task, sizes.warm_up, sizes.steps)
    outcomes = in_turn(
        [
            Method(ONE, prepare, environments=rank_environments(1), rotates=True),
            Method(TWO, prepare, environments=rank_environments(2)),
        ],
        rounds,
        turns=sizes.turns,
    )
    section = Section("ranks", f"{task.n_classes} classes, {sizes.batch} documents a rank and step, 1 thread a rank")
    length = mean_length(texts, model, sizes.max_tokens)
    section.add(outcomes, columns(length) | {"optimizer state, MB a rank": lambda one: state_bytes(one) / 1e6})
    section.comparisons += comparisons(outcomes, length)
    section.remarks.append(
        f"{sizes.warm_up} steps come first: freed memory is kept from step to step only once the heap has settled. "
        f"Then {sizes.turns} × {sizes.steps} a round, of one rank on each core in turn. A document is one of the mean "
        f"length, {length:.0f} tokens."
    )
    if len(os.sched_getaffinity(0)) < 2:
        section.remarks.append("One core alone: two ranks share it, and their wall time tells nothing.")
    return section


def state_bytes(one: Round) -> float:
    """The first rank's optimizer state."""
    return one.values["state_bytes"]


def comparisons(outcomes: dict[str, Outcome], length: float) -> list[Comparison]:
    """Two ranks ÷ one, each as a quotient of the same quantity."""
    one, two = outcomes[ONE], outcomes[TWO]
    cpu = partial(cpu_of_mean_length, length=length)
    return [
        Comparison(
            "2 ranks ÷ 1, CPU a document", ratio(one, two, cpu), at_most=1.07, of_least=ratio_of_least(one, two, cpu)
        ),
        Comparison("2 ranks ÷ 1, documents/s (wall)", ratio(one, two, _pace)),
        Comparison("2 ranks ÷ 1, optimizer state a rank", ratio(one, two, state_bytes), at_most=0.52),
    ]


def _pace(one: Round) -> float:
    return one.tokens / one.wall_seconds
