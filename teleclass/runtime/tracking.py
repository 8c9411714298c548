"""MLflow: the one place that imports it. One run an experiment, written by rank 0."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teleclass.errors import TeleclassError
from teleclass.runtime.console import quiet_libraries

STORE_FOLDER = Path("mlruns")
PARAM_LIMIT = 6000
"""Characters of a parameter value that MLflow keeps."""


@dataclass(frozen=True)
class TrackingConfig:
    """What MLflow is told.

    Parameters
    ----------
    enabled
        log to MLflow at all.
    experiment
        name of the MLflow experiment.
    run_name
        name of the run; MLflow makes one up when empty.
    every_steps
        training steps that are sent together, as one call costs 60 to 110 ms on SQLite.
    """

    enabled: bool = True
    experiment: str = "teleclass"
    run_name: str = ""
    every_steps: int = 50

    def __post_init__(self) -> None:
        if self.every_steps < 1:
            raise ValueError("tracking.every_steps must be 1 or more")


def tracking_uri() -> str:
    """``MLFLOW_TRACKING_URI``, or a SQLite file in ``mlruns/`` of the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(STORE_FOLDER / 'mlflow.db').resolve()}"


class Tracker:
    """One MLflow run. A tracker that was not started takes everything and logs nothing."""

    def __init__(self, config: TrackingConfig):
        self.config = config
        self.run_id: str | None = None
        self._client: Any = None
        self._pending: list[Any] = []

    def start(self, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Open the run, making the store and the experiment where they do not exist yet.

        Raises
        ------
        TeleclassError : the experiment was deleted.
        """
        if not self.config.enabled:
            return
        from filelock import FileLock

        STORE_FOLDER.mkdir(exist_ok=True)
        # Several experiments that create the store at once would break each other's schema migration.
        with FileLock(STORE_FOLDER / ".create.lock"):
            from mlflow.entities import Param, RunTag
            from mlflow.tracking import MlflowClient

            quiet_libraries()
            self._client = MlflowClient(tracking_uri())
            experiment = self._client.get_experiment_by_name(self.config.experiment)
            if experiment is None:
                location = (STORE_FOLDER / "artifacts").resolve().as_uri() if _is_local() else None
                identity = self._client.create_experiment(self.config.experiment, artifact_location=location)
            elif experiment.lifecycle_stage == "deleted":
                raise TeleclassError(
                    f"the MLflow experiment {self.config.experiment!r} was deleted; restore it, or name another with "
                    "--tracking.experiment"
                )
            else:
                identity = experiment.experiment_id
        run = self._client.create_run(identity, run_name=self.config.run_name or None)
        self.run_id = run.info.run_id
        parameters = [Param(key, str(value)[:PARAM_LIMIT]) for key, value in params.items()]
        labels = [RunTag(key, value) for key, value in tags.items()]
        for start in range(0, max(len(parameters), len(labels)), 100):
            self._client.log_batch(
                self.run_id, params=parameters[start : start + 100], tags=labels[start : start + 100]
            )

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Keep values for the next :meth:`flush`."""
        if self.run_id is None:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._pending.extend(Metric(name, float(value), now, step) for name, value in values.items())
        if len(self._pending) >= 900:
            self.flush()

    def flush(self) -> None:
        """Send what was kept, in one call for every thousand values."""
        if self.run_id is not None:
            for start in range(0, len(self._pending), 1000):
                self._client.log_batch(self.run_id, metrics=self._pending[start : start + 1000])
            self._pending.clear()

    def tags(self, values: Mapping[str, str]) -> None:
        if self.run_id is not None:
            for name, value in values.items():
                self._client.set_tag(self.run_id, name, value)

    def artifact(self, path: Path, folder: str | None = None) -> None:
        if self.run_id is not None and path.exists():
            self._client.log_artifact(self.run_id, str(path), folder)

    def table(self, name: str, columns: Mapping[str, list[Any]]) -> None:
        """Log a table; class names belong here, as metric names allow few characters."""
        if self.run_id is not None:
            self._client.log_table(self.run_id, dict(columns), f"{name}.json")

    def end(self, status: str) -> None:
        """Close the run as FINISHED, FAILED or KILLED."""
        if self.run_id is None:
            return
        self.flush()
        self._client.set_terminated(self.run_id, status)
        self.run_id = None


def ui_command(port: int, host: str) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment that start MLflow's UI on this project's store, with one worker."""
    import sys

    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking_uri()]
    if _is_local():
        command += ["--default-artifact-root", (STORE_FOLDER / "artifacts").resolve().as_uri()]
    command += ["--host", host, "--port", str(port), "--workers", "1"]
    environment = dict(os.environ, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", MLFLOW_DISABLE_TELEMETRY="true")
    return command, environment


def _is_local() -> bool:
    return not os.environ.get("MLFLOW_TRACKING_URI")
