"""Running the experiment as users do, in processes of its own, on the seven-class data set."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
from forks import Zygote

ROOT = Path(__file__).parent.parent
SCRIPT = str(ROOT / "run_experiment.py")
UNWANTED = ("MLFLOW_TRACKING", "COV_", "OPENAI_", "TELECLASS_LLM_")
"""Beginnings of environment variables that an experiment of the tests does not see."""

LOADING = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
"""What a process that loads torch must find: it reads these once."""

FP32 = {"fp16": {"enabled": False}}
DEEPSPEED = str(Path(sys.executable).parent / "deepspeed")


class Finished:
    """An experiment that was run: where, and what it printed.

    ``model``, ``submission`` and ``classifier_scores`` are as this run left them, whatever later ones do to its folder.
    """

    def __init__(self, cwd: Path, output: Path, arguments: list[str], process: subprocess.CompletedProcess[str]):
        self.cwd, self.output, self.arguments, self.process = cwd, output, arguments, process
        self.model = cwd / f"model_of_{output.name}"
        self.submission = ""
        self.classifier_scores = np.zeros(0)
        if process.returncode == 0:
            shutil.copytree(output / "model", self.model)
            self.classifier_scores = self.rows("classifier_scores")
            self.submission = (output / "submission.csv").read_text("utf-8")

    def rows(self, name: str) -> np.ndarray:
        return np.load(self.output / "intermediate" / f"{name}.npy")


def options(data_dir: Path, model: Path, output: Path, *more: str) -> list[str]:
    return [
        "--data_dir", str(data_dir), "--encoder.model", str(model), "--training.model", str(model),
        "--output_dir", str(output), "--preset", "offline", "--encoder.devices", "cpu", *more,
    ]  # fmt: skip


def run(command: list[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; CUDA is hidden so that the tests mean the same everywhere.

    An experiment of one process is forked off one that has loaded the libraries; started by itself, as users do it, it
    is where a test needs a process to stop, and under DeepSpeed's launcher.
    """
    kept = clean_environment(**environment)
    if command[:2] != [sys.executable, SCRIPT]:
        return subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True)
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = Path(folder) / "stdout", Path(folder) / "stderr"
        status = loaded().fork(cwd, command[2:], kept, stderr, stdout).wait(600)
        return subprocess.CompletedProcess(command, status, stdout.read_text("utf-8"), stderr.read_text("utf-8"))


@cache
def loaded() -> Zygote:
    """A process that has loaded the libraries and forks experiments."""
    from faults.twins import CHILD  # pytest's plugin: it is to load it first

    environment = clean_environment(**LOADING)
    environment.pop(CHILD["TAKEN_OUT"], None)
    zygote = Zygote(environment)
    atexit.register(zygote.close)
    return zygote


def clean_environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(UNWANTED)}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return (
        kept | {"CUDA_VISIBLE_DEVICES": "", "NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": path} | more
    )


def free_port() -> int:
    """A port that nothing listens at: tests that run beside each other each need one of their own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write_ds_config(file: Path, micro_batch: int, **changes: object) -> Path:
    """The shipped DeepSpeed file with another batch and precision."""
    content = json.loads((ROOT / "ds_config.json").read_text("utf-8"))
    content["train_micro_batch_size_per_gpu"] = micro_batch
    content.update(changes)
    file.write_text(json.dumps(content))
    return file


def mlflow_runs(cwd: Path) -> list:
    """The runs in a working directory's own store, oldest first."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{cwd}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("teleclass")
    return sorted(client.search_runs([experiment.experiment_id]), key=lambda one: one.info.start_time)


def processes_in(cwd: Path) -> list[str]:
    """Command lines of the processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").resolve() == cwd.resolve():
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def mlflow_artifacts(cwd: Path, run_id: str) -> set[str]:
    """Names of a run's artifacts."""
    from mlflow.tracking import MlflowClient

    return {one.path for one in MlflowClient(f"sqlite:///{cwd}/mlruns/mlflow.db").list_artifacts(run_id)}
