"""The run of an experiment, from its start to its end."""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teleclass.runtime.console import log
from teleclass.runtime.tracking.config import TrackingConfig
from teleclass.runtime.tracking.monitor import NodeMonitor, start_monitor
from teleclass.runtime.tracking.owner import owner_tags
from teleclass.runtime.tracking.store import experiment_id, is_server, open_store

PARAM_LIMIT = 6000
"""Characters of a parameter value that MLflow keeps."""

PARENT_VARIABLE = "TELECLASS_PARENT_RUN"
"""The environment variable that makes a run the child of another."""


@dataclass(frozen=True)
class TrackedCorpus:
    """A corpus as MLflow shows it among a run's data sets.

    Attributes
    ----------
    context : ``"training"`` or ``"test"``.
    digest : tells this content, read with these options, from any other; MLflow keeps 36 characters.
    source : the file.
    profile : counts by their names.
    """

    name: str
    context: str
    digest: str
    source: Path
    profile: Mapping[str, int]


class Tracker:
    """One MLflow run. A tracker that was not started takes everything and logs nothing."""

    def __init__(self, config: TrackingConfig):
        self.config = config
        self.run_id: str | None = None
        self.run_name = ""
        self._client: Any = None
        self._monitor: NodeMonitor | None = None
        self._pending: list[Any] = []

    def start(self, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Open the run, making the store and the experiment where they do not exist yet.

        Where ``TELECLASS_PARENT_RUN`` is set, the run is nested below the run of that id.

        Raises
        ------
        TeleclassError : the experiment was deleted.
        """
        if not self.config.enabled:
            return
        self._client = open_store()
        from mlflow.entities import Param, RunTag

        run = self._client.create_run(
            experiment_id(self._client, self.config.experiment),
            run_name=self.config.run_name or None,
            tags={**owner_tags(), **_mlflow_tags(tags), **self.config.own_tags()},
        )
        self.run_id, self.run_name = run.info.run_id, run.info.run_name
        parameters = [Param(key, str(value)[:PARAM_LIMIT]) for key, value in params.items()]
        labels = [RunTag(key, value) for key, value in tags.items()]
        for start in range(0, max(len(parameters), len(labels)), 100):
            self._client.log_batch(
                self.run_id, params=parameters[start : start + 100], tags=labels[start : start + 100]
            )

    def end_leftovers(self) -> None:
        """End, as KILLED, the runs of this experiment that a process of this machine left when it was killed."""
        if self.config.enabled:
            from teleclass.runtime.tracking.runs import end_leftovers

            for run in end_leftovers(self.config.experiment):
                log.info("  run %s %s was left RUNNING by a process that is gone: ended as KILLED", run.run_id[:8],
                         run.name)  # fmt: skip

    def watch_node(self, run_id: str | None, node: int, n_nodes: int) -> None:
        """Sample this machine into a run until :meth:`end`; the first rank of each machine calls this.

        Other machines than the first do so only where the store is a server: a file of SQLite that several machines
        write at once breaks.

        Parameters
        ----------
        run_id : of the run that rank 0 opened; None where nothing is tracked.
        """
        if run_id is not None and self.config.system_metrics and (node == 0 or is_server()):
            self._monitor = start_monitor(run_id, node if n_nodes > 1 else None)

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
        if self.run_id is not None and values:
            from mlflow.entities import RunTag

            self._client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in values.items()])

    def inputs(self, corpora: Sequence[TrackedCorpus]) -> None:
        """Log what the run reads."""
        if self.run_id is None:
            return
        from mlflow.entities import Dataset, DatasetInput, InputTag

        self._client.log_inputs(
            self.run_id,
            [
                DatasetInput(
                    Dataset(
                        name=corpus.name,
                        digest=corpus.digest[:36],
                        source_type="local",
                        source=json.dumps({"uri": str(corpus.source.resolve())}),
                        profile=json.dumps(dict(corpus.profile)),
                    ),
                    [InputTag("mlflow.data.context", corpus.context)],
                )
                for corpus in corpora
            ],
        )

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Log a file or a folder under its own name; one that does not exist is passed over."""
        if self.run_id is not None and path.exists():
            self._client.log_artifact(self.run_id, str(path), folder)

    def figure(self, name: str, svg: str) -> None:
        """Log a figure as ``figures/NAME.svg``."""
        if self.run_id is not None:
            self._client.log_text(self.run_id, svg, f"figures/{name}.svg")

    def table(self, name: str, columns: Mapping[str, list[Any]]) -> None:
        """Log a table; class names belong here, as metric names allow few characters."""
        if self.run_id is not None:
            self._client.log_table(self.run_id, dict(columns), f"{name}.json")

    def log_model(
        self,
        folder: Path,
        code: Path,
        requirements: Sequence[str],
        input_example: Any,
        output_example: Any,
        *,
        packages: Sequence[Path] = (),
        register: str = "",
    ) -> str | None:
        """Log a model of this run as a pyfunc, and register it where a name is given.

        Parameters
        ----------
        folder : the model's files; the code finds its copy as ``context.artifacts["model"]``.
        code : a Python file that ends with ``mlflow.models.set_model(...)``; it is run once while logging.
        requirements : of pip, all of them: nothing is inferred.
        input_example, output_example : tables, as a data frame or columns by name; the signature is made from them.
        packages : folders of code that are kept with the model and found first when it is loaded.
        register : the name in the model registry; empty for none.

        Returns
        -------
        the version in the registry, None without one.
        """
        if self.run_id is None:
            return None
        from teleclass.runtime.tracking.models import log_model

        return log_model(
            self._client, self.run_id, folder, code, requirements, input_example, output_example, packages, register
        )

    def end(self, status: str) -> None:
        """Stop sampling this machine, and close the run as FINISHED, FAILED or KILLED."""
        if self._monitor is not None:
            self._monitor.stop()
            self._monitor = None
        if self.run_id is None:
            return
        self.flush()
        self._client.set_terminated(self.run_id, status)
        self.run_id = None


def _mlflow_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """What MLflow's own columns show: the parent run, the user, the program, the commit."""
    program = Path(sys.argv[0]).name
    found = {
        "mlflow.parentRunId": os.environ.get(PARENT_VARIABLE, ""),
        "mlflow.user": _user(),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": "teleclass" if program in ("", "__main__.py") else program,
        "mlflow.source.git.commit": tags.get("git.commit", ""),
    }
    return {name: value for name, value in found.items() if value}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user id without a name
        return ""
