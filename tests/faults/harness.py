"""Experiments that are killed: started by a fork of a loaded process, watched, and run again."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import write_course_layout
from experiments import FP32, LOADING, clean_environment, free_port, mlflow_runs, processes_in, write_ds_config
from faults.twins import CHILD
from forks import Fork, Zygote

from teleclass.config import PHASE_NAMES


@dataclass
class Bench:
    """A folder in which experiments of so many ranks are run and killed.

    ``options`` are their options but for the output folder and the devices. ``expected`` are the results of the
    experiment that nobody disturbed, which is in ``whole``.
    """

    zygote: Zygote
    cwd: Path
    options: list[str]
    ranks: int
    expected: tuple[bytes, bytes] = (b"", b"")
    count: int = 0

    @property
    def whole(self) -> Path:
        return self.cwd / "whole"

    @classmethod
    def of_seven_classes(cls, zygote: Zygote, cwd: Path, model: Path, ranks: int) -> Bench:
        write_course_layout(cwd / "data")
        write_ds_config(cwd / "ds.json", 4 // ranks, **FP32)
        words = ["--data_dir", str(cwd / "data"), "--encoder.model", str(model), "--training.model", str(model)]
        return cls(zygote, cwd, [*words, "--deepspeed_config", str(cwd / "ds.json")], ranks).disturbed_by_nobody()

    @classmethod
    def of_the_sample(cls, zygote: Zygote, cwd: Path, ranks: int) -> Bench:
        """What a user types first, but for the number of steps; a checkpoint every three seconds."""
        words = ["--training.max_steps=24", "--training.checkpoint_minutes=0.05"]
        return cls(zygote, cwd, words, ranks).disturbed_by_nobody()

    def disturbed_by_nobody(self) -> Bench:
        with pytest.MonkeyPatch.context() as patch:  # a twin may be what asks for it first
            patch.delenv(CHILD["TAKEN_OUT"], raising=False)
            statuses, text = self.run(self.whole, seconds=600)
        assert statuses == [0] * self.ranks, text
        self.expected = self.results(self.whole)
        return self

    def arguments(self, output: Path, *more: str) -> list[str]:
        words = ["--preset", "offline", "--encoder.devices", ",".join(["cpu"] * self.ranks)]
        words += ["--tracking.model=false", "--tracking.system_metrics=false", "--output_dir", str(output)]
        return [*self.options, *words, *more]

    def start(self, output: Path, *more: str, kill: str = "", environment: dict[str, str] | None = None) -> list[Fork]:
        """Start the ranks of an experiment; ``kill`` as sitecustomize's ``arm`` takes it."""
        self.count += 1
        environment = dict(environment or {}) | ({CHILD["KILL"]: kill} if kill else {})
        taken_out = filter(None, [environment.get(CHILD["TAKEN_OUT"]), os.environ.get(CHILD["TAKEN_OUT"])])
        environment = clean_environment(**LOADING) | environment | {CHILD["TAKEN_OUT"]: ";".join(taken_out)}
        if self.ranks > 1:
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
            environment |= {"WORLD_SIZE": str(self.ranks), "LOCAL_SIZE": str(self.ranks)}
        forks = []
        for rank in range(self.ranks):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)} if self.ranks > 1 else {}
            stderr = self.cwd / f"stderr_{self.count}_{rank}"
            forks.append(self.zygote.fork(self.cwd, self.arguments(output, *more), environment | own, stderr))
        return forks

    def run(self, output: Path, *more: str, kill: str = "", seconds: float = 120) -> tuple[list[int], str]:
        """Run an experiment to its end; returns the ranks' statuses and what they printed.

        Once a rank has failed, the others have twenty seconds.
        """
        forks = self.start(output, *more, kill=kill)
        deadline = time.monotonic() + seconds
        while all(fork.is_alive() for fork in forks) and time.monotonic() < deadline:
            time.sleep(0.02)
        failed = any(fork.wait() for fork in forks if not fork.is_alive())
        statuses = [fork.wait(20 if failed else seconds) for fork in forks]
        return statuses, "\n".join(fork.text() for fork in forks)

    def copied(self, name: str, phase: str) -> Path:
        """A copy of the undisturbed output in which a phase is still to do."""
        output = self.cwd / name
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(self.whole, output)
        (output / "intermediate" / "completed" / f"{phase}.json").unlink()
        if PHASE_NAMES.index(phase) <= PHASE_NAMES.index("predict"):
            (output / "submission.csv").unlink()
        return output

    def left(self, seconds: float = 5) -> list[str]:
        """Processes that still work in this folder after so many seconds."""
        deadline = time.monotonic() + seconds
        while (found := processes_in(self.cwd)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def results(self, output: Path) -> tuple[bytes, bytes]:
        """The submission and the scores behind it, byte for byte."""
        return (output / "submission.csv").read_bytes(), (output / "intermediate" / "class_scores.npy").read_bytes()

    def statuses(self) -> list[str]:
        """What MLflow says of the runs here, oldest first."""
        return [run.info.status for run in mlflow_runs(self.cwd)]


def wait_until(true, seconds: float) -> float:
    """Wait until something is so; returns the seconds that it took.

    Raises
    ------
    AssertionError : it is not after so many seconds.
    """
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds, f"not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - started


def below(pid: int) -> list[int]:
    """Child processes of the main thread of one."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A folder on a disk of that size, as ``tmpfs`` takes it; the test is skipped where none can be had."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk needs the right to mount one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
