"""experiment: a whole one as users start it, and what each phase takes of it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.interleave import Figure, Round
from benchmarks.speed_data import ROOT
from benchmarks.speed_table import Row, Section

PHASES = ("encode", "label", "augment", "expand", "train", "predict", "evaluate")
UNWANTED = ("MLFLOW_", "OPENAI_", "TELECLASS_LLM_")
"""Beginnings of environment variables that would send the experiment, or what it logs, elsewhere."""


def measure(data_dir: Path, options: Sequence[str] = ()) -> Section:
    """Run one experiment with ``--preset offline`` and read its phases' completion markers.

    Parameters
    ----------
    options : more of the experiment's own.
    """
    from teleclass.runtime.artifacts import Artifacts

    section = Section("experiment", f"run_experiment.py --preset offline on {data_dir.name}, one run")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        output = Artifacts(folder / "output")
        before, started = _children_cpu(), time.perf_counter()
        failure = _run(data_dir, folder, output.folder, options)
        wall, cpu = time.perf_counter() - started, _children_cpu() - before
        if failure:
            section.rows.append(Row("experiment", note=failure, failed=True))
            return section
        markers = {phase: marker for phase in PHASES if (marker := output.marker(phase)) is not None}
        metrics = json.loads(output.path("metrics").read_text("utf-8")) if output.path("metrics").exists() else {}
    section.rounds["experiment"] = [Round(1, cpu, wall)]
    seconds = {phase: marker.seconds for phase, marker in markers.items()}
    section.rows += rows_of(seconds, wall, cpu)
    f1 = example_f1(metrics)
    section.rows.append(
        Row("Example-F1", {"value": Figure.of([f1])}) if f1 is not None else Row("Example-F1", note="no gold")
    )
    return section


def rows_of(seconds: dict[str, float], wall: float, cpu: float) -> list[Row]:
    """A row a phase with its share of the wall time, what lies between the phases, and the total."""
    rows = [
        Row(name, {"wall s": Figure.of([value]), "% of total": Figure.of([100 * value / wall])})
        for name, value in {**seconds, "start, checks and logging": max(0.0, wall - sum(seconds.values()))}.items()
    ]
    total = {"wall s": Figure.of([wall]), "% of total": Figure.of([100.0]), "CPU s": Figure.of([cpu])}
    return [*rows, Row("total", total)]


def example_f1(metrics: dict) -> float | None:
    """Example-F1 of the filed documents, where there is gold for them."""
    value = metrics.get("test/example_f1", metrics.get("example_f1"))
    return None if value is None else float(value)


def _run(data_dir: Path, folder: Path, output: Path, options: Sequence[str]) -> str:
    """Run the experiment; returns why it failed, in a line."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(UNWANTED)}
    environment |= {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HF_HUB_OFFLINE": "1",
    }
    command = [
        sys.executable, str(ROOT / "run_experiment.py"), "--data_dir", str(data_dir.absolute()), "--preset", "offline",
        "--output_dir", str(output), *options,
    ]  # fmt: skip
    # In a folder of its own: what the experiment writes beside its output goes with that folder.
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if not done.returncode:
        return ""
    lines = done.stderr.strip().splitlines()
    return f"ended with status {done.returncode}: {lines[-1] if lines else ''}"


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
