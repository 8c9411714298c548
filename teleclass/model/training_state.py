"""The whole state of a training: what a checkpoint holds of it, and how it is put back."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from teleclass.errors import TeleclassError
from teleclass.model.optimization import seed_all
from teleclass.model.rank_batches import RankBatches
from teleclass.model.training_set import TrainingDocuments
from teleclass.runtime.checkpoints import Checkpoint
from teleclass.runtime.console import log
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.learning_curve import LearningCurve

ENGINE = "engine"
"""Folder of a checkpoint that DeepSpeed writes and reads."""


@dataclass
class TrainingState:
    """A training between two steps, on one rank.

    Attributes
    ----------
    round : self-training rounds that were begun.
    round_epoch : the epoch with which this round began.
    """

    engine: Any
    documents: TrainingDocuments
    batches: RankBatches
    curve: LearningCurve
    ranks: Ranks
    seed: int
    round: int = 0
    round_epoch: int = 0
    _draws: dict[str, Any] | None = field(default=None, repr=False)

    def begin_round(self, documents: TrainingDocuments) -> None:
        """Go on with documents that have new labels."""
        self.documents = documents
        self.round += 1
        self.round_epoch = self.batches.epoch

    def write(self, folder: Path) -> list[str]:
        """Write this rank's files; every rank calls this, and none waits for one whose disk is full.

        Raises
        ------
        OSError, RuntimeError : a file could not be written.
        """
        engine = self.engine
        writer = engine.checkpoint_engine = _Writer(engine.checkpoint_engine)
        engine._copy_recovery_script = lambda folder: None  # rank 0 alone does it, and where it fails the others wait
        try:
            engine.save_checkpoint(str(folder), tag=ENGINE, save_latest=False)
        finally:
            engine.checkpoint_engine = writer.inner
        if writer.problem:
            raise writer.problem
        own = f"rank_{self.ranks.rank}.pt"
        with (folder / own).open("wb") as stream:
            torch.save({"draws": _draws(), "pending": self.curve.pending()}, stream)
        names = [own, *(str(Path(file).relative_to(folder)) for file in writer.files)]
        if self.ranks.is_first:
            shared = {
                "batches": self.batches.state(),
                "round": self.round,
                "round_epoch": self.round_epoch,
                "curve": self.curve.state(),
            }
            (folder / "training.json").write_text(json.dumps(shared), "utf-8")
            names.append("training.json")
            if self.round:
                labels: Any = self.documents.labels()
                np.savez(folder / "labels.npz", **labels)
                names.append("labels.npz")
        return names

    def put_back(self, checkpoint: Checkpoint, last_step: Callable[[int], int]) -> None:
        """Go on from a checkpoint, which another number of ranks may have written; every rank calls this.

        With the same number all that follows is the same to the bit. With another one the weights and the optimizer
        are the same, dropout draws anew, and where a step takes other documents than before steps are counted anew.

        Parameters
        ----------
        last_step : the step with which a round ends, by the round's number.

        Raises
        ------
        TeleclassError : the checkpoint cannot be loaded, though it is as it was written.
        """
        same_ranks = checkpoint.facts["world_size"] == self.ranks.world_size
        self._load_engine(checkpoint, is_universal=self.engine.load_universal_checkpoint())
        shared = json.loads((checkpoint.folder / "training.json").read_text("utf-8"))
        self.round, self.round_epoch = shared["round"], shared["round_epoch"]
        if self.round:
            with np.load(checkpoint.folder / "labels.npz") as labels:
                self.documents = self.documents.with_labels(labels)
        batches = self.batches
        batches.put_back(shared["batches"])
        then = now = self.engine.global_steps
        if shared["batches"]["n_steps"] != batches.n_steps:
            taken = (1 + batches.epoch - self.round_epoch) * batches.n_steps - batches.steps_left
            now = min((last_step(self.round - 1) if self.round else 0) + taken, last_step(self.round))
            self._count_steps(then, now)
        own: dict[str, Any] = {}
        if same_ranks:
            own = torch.load(checkpoint.folder / f"rank_{self.ranks.rank}.pt", weights_only=True)
            self._draws = own["draws"]
            if batches.steps_left == batches.n_steps:  # else the epoch's loader, when it begins, makes a draw first
                self.put_draws_back()
        else:
            seed_all(int(np.random.SeedSequence([self.seed, then, self.ranks.rank]).generate_state(1)[0]))
        self.curve.put_back(shared["curve"], own.get("pending"), now / max(then, 1), self.engine.device)

    def put_draws_back(self) -> None:
        """Set the random generators as they were, once."""
        if self._draws is not None:
            _set_draws(self._draws)
            self._draws = None

    def _count_steps(self, then: int, now: int) -> None:
        """Count steps as a training with this total batch would; the schedule stands where its share says."""
        self.engine.global_steps = now
        scheduler = self.engine.lr_scheduler
        if hasattr(scheduler, "last_batch_iteration"):
            scheduler.last_batch_iteration = round(scheduler.last_batch_iteration * now / max(then, 1))
        log.info("  a step takes %s documents now: step %s is counted as step %s", f"{self.batches.step_size:,}",
                 f"{then:,}", f"{now:,}")  # fmt: skip

    def _load_engine(self, checkpoint: Checkpoint, is_universal: bool) -> None:
        with _plain_path(checkpoint.folder / ENGINE) as source, tempfile.TemporaryDirectory() as spare:
            converted = self.ranks.from_first(str(checkpoint.folder.parent / ".universal.partial"))
            if is_universal:
                problem = convert(source, Path(converted)) if self.ranks.is_first else ""
                problem = self.ranks.from_first(problem)
                if problem:
                    raise TeleclassError(f"{checkpoint.folder} cannot be made fit for {self.ranks.world_size} ranks "
                                         f"({problem}); remove it to train from the beginning")  # fmt: skip
                source = Path(spare) / ENGINE
                source.symlink_to(Path(converted).resolve(), target_is_directory=True)
            try:
                with contextlib.redirect_stdout(io.StringIO()):  # DeepSpeed's bf16 optimizer prints there
                    path, _ = self.engine.load_checkpoint(str(source.parent), tag=source.name)
            except (OSError, RuntimeError, ValueError, KeyError, AssertionError) as error:
                raise TeleclassError(_unloadable(checkpoint, str(error))) from error
            if path is None:
                raise TeleclassError(_unloadable(checkpoint, "DeepSpeed found nothing in it"))
            self.ranks.barrier()
            if is_universal and self.ranks.is_first:
                shutil.rmtree(converted, ignore_errors=True)


def convert(source: Path, target: Path) -> str:
    """Make DeepSpeed's universal checkpoint, for any number of ranks; returns what went wrong, empty if nothing did."""
    command = [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", "--input_folder", str(source),
               "--output_folder", str(target), "--inject_missing_state", "--num_extract_workers", "1",
               "--num_merge_workers", "1"]  # fmt: skip
    shutil.rmtree(target, ignore_errors=True)
    process = subprocess.run(command, capture_output=True, text=True, errors="replace")
    lines = [line for line in process.stderr.splitlines() if line.strip()]
    return "" if not process.returncode else (lines or [f"status {process.returncode}"])[-1]


class _Writer:
    """DeepSpeed's checkpoint engine, but an error while writing is kept: else the other ranks wait for this one."""

    def __init__(self, inner: Any):
        self.inner = inner
        self.problem: Exception | None = None
        self.files: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self._keep_problem(lambda: os.makedirs(path, exist_ok=exist_ok))

    def save(self, state_dict: Any, path: str) -> None:
        self._keep_problem(lambda: self._save(state_dict, path))

    def _save(self, state: Any, path: str) -> None:
        with open(path, "wb") as stream:  # torch's own file raises in its destructor when the disk is full
            torch.save(state, stream)
        self.files.append(path)

    def _keep_problem(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (OSError, RuntimeError) as error:
            self.problem = self.problem or error


@contextlib.contextmanager
def _plain_path(folder: Path) -> Iterator[Path]:
    """A path to a folder without characters that DeepSpeed would take for a pattern."""
    with tempfile.TemporaryDirectory() as spare:
        link = Path(spare) / folder.name
        link.symlink_to(folder.resolve(), target_is_directory=True)
        yield link


def _unloadable(checkpoint: Checkpoint, problem: str) -> str:
    first = problem.partition("\n")[0]
    return (
        f"{checkpoint.folder} is whole but cannot be loaded ({first}); it may be of other versions of torch or "
        "DeepSpeed: remove it to train from the beginning"
    )


def _draws() -> dict[str, Any]:
    """The state of every random generator that training draws from, as tensors and plain values."""
    of_numpy: Any = np.random.get_state(legacy=True)
    kind, keys, *others = of_numpy
    version, internal, next_gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), *others],
        "python": [version, torch.tensor(internal, dtype=torch.int64), next_gauss],
    }


def _set_draws(draws: dict[str, Any]) -> None:
    torch.set_rng_state(draws["torch"])
    if draws["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(draws["cuda"])
    kind, keys, *others = draws["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *others))
    version, internal, next_gauss = draws["python"]
    random.setstate((version, tuple(internal.tolist()), next_gauss))
