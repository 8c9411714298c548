"""Trains scenarios to their end, and once more with stops between; run by the tests of resuming, a process a rank."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from deepspeed.accelerator import get_accelerator
from experiments import options

from teleclass.config import parse_arguments
from teleclass.data.dataset import read_dataset
from teleclass.model import optimization
from teleclass.model.save_points import SavePoints
from teleclass.phases import train
from teleclass.runtime.artifacts import Artifacts
from teleclass.runtime.console import set_up_console
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.processes import Stopped
from teleclass.runtime.tracking import Tracker, TrackingConfig
from teleclass.runtime.workplace import Workplace
from teleclass.sections import relabelling

AFTER_STEP = SavePoints.after_step
TAKE_SHORTCUTS = optimization.take_shortcuts


def train_in(folder: Path, scenario: dict, ranks: Ranks, stop_after: int = 0, lineage: str = "own") -> str:
    """Train in an output folder; SIGTERM reaches the last rank after a step. SHA-256 of the model, empty if stopped."""
    config = parse_arguments(options(Path(scenario["data"]), Path(scenario["model"]), folder, *scenario["options"]))
    artifacts = Artifacts(folder)
    if ranks.is_first and not artifacts.path("training_set").exists():
        shutil.copytree(scenario["intermediate"], folder / "intermediate")
    ranks.barrier()

    def after_step(self, request, epoch_has_ended):
        if self.state.engine.global_steps == stop_after and ranks.rank == ranks.world_size - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        AFTER_STEP(self, request, epoch_has_ended)

    SavePoints.after_step = after_step
    work = Workplace(artifacts, ranks, Tracker(TrackingConfig(enabled=False)), seed=42, lineage=lineage)
    try:
        train.run(work, read_dataset(config.data_folder), config.training, config.deepspeed_file, relabelling(config))
    except Stopped:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return ""
    ranks.barrier()
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()


def main(plan: Path) -> None:
    get_accelerator().__class__.is_fp16_supported = lambda self: True
    train.supports_of = lambda device: lambda precision: True
    set_up_console()
    ranks = Ranks.from_environment()
    ranks.connect()
    results = {}
    for name, scenario in json.loads(plan.read_text()).items():
        folder = Path(scenario["folder"])
        found = {}
        if scenario.get("by_deepspeed_alone", False):
            optimization.take_shortcuts = lambda engine: None
            found["plain"] = train_in(folder / "plain", scenario, ranks)
            optimization.take_shortcuts = TAKE_SHORTCUTS
        if scenario.get("whole", True):
            found["whole"] = train_in(folder / "whole", scenario, ranks)
        for stop in scenario["stops"]:
            assert train_in(folder / "parts", scenario, ranks, stop) == "", "it was to be stopped"
        if scenario.get("ends", True):
            found["parts"] = train_in(folder / "parts", scenario, ranks)
        results[name] = found
    if ranks.is_first:
        plan.with_suffix(".results").write_text(json.dumps(results))
    ranks.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
