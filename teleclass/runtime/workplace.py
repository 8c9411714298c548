"""What every phase is handed: the output folder, the ranks, the tracker and the seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from teleclass.runtime.artifacts import Artifacts
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.llm import LanguageModel, LlmConfig
from teleclass.runtime.memory import MemoryPeak
from teleclass.runtime.standstill import SupervisionConfig
from teleclass.runtime.tracking import Tracker


@dataclass(frozen=True)
class PhaseTiming:
    """Wall seconds that a phase took, in this run or, where it was reused, in the run that made its results."""

    name: str
    seconds: float
    is_reused: bool = False


@dataclass
class Workplace:
    """Where a phase works.

    Attributes
    ----------
    worker_peak : the highest memory peak of worker processes that a phase started.
    notes : what a phase wants said in its closing line.
    tags : what a phase decided, for MLflow's tags.
    is_reusable : set to False by a phase whose result a second attempt could improve, as where a server failed.
    timings : the phases that are behind us, in order.
    lineage : the running phase's fingerprint without its layout; what it left unfinished is of use if this is the same.
    supervision : when workers are given up.
    """

    artifacts: Artifacts
    ranks: Ranks
    tracker: Tracker
    seed: int
    worker_peak: MemoryPeak = field(default_factory=lambda: MemoryPeak(0.0, 0.0))
    notes: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    is_reusable: bool = True
    timings: list[PhaseTiming] = field(default_factory=list)
    lineage: str = ""
    supervision: SupervisionConfig = field(default_factory=SupervisionConfig)

    _language_model: LanguageModel | None = None

    @property
    def reused(self) -> list[str]:
        """The phases so far that were fresh and not run."""
        return [timing.name for timing in self.timings if timing.is_reused]

    def language_model(self, config: LlmConfig) -> LanguageModel | None:
        """The language model that is configured, one for all phases: the budget is the experiment's.

        Its answers are kept in the output folder unless ``llm.answers`` names another file.
        """
        if config.enabled and (self._language_model is None or self._language_model.config != config):
            kept = Path(config.answers) if config.answers else self.artifacts.folder / "llm_answers.jsonl"
            self._language_model = LanguageModel(config, kept)
        return self._language_model
