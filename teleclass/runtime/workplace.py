"""What every phase is handed: the output folder, the ranks, the tracker and the seed."""

from __future__ import annotations

from dataclasses import dataclass, field

from teleclass.runtime.artifacts import Artifacts
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.memory import MemoryPeak
from teleclass.runtime.tracking import Tracker


@dataclass
class Workplace:
    """Where a phase works.

    Attributes
    ----------
    worker_peak : the highest memory peak of worker processes that a phase started.
    notes : what a phase wants said in its closing line.
    tags : what a phase decided, for MLflow's tags.
    """

    artifacts: Artifacts
    ranks: Ranks
    tracker: Tracker
    seed: int
    worker_peak: MemoryPeak = field(default_factory=lambda: MemoryPeak(0.0, 0.0))
    notes: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
