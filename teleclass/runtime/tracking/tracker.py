"""The run of an experiment, from its start to its end."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teleclass.errors import StoreError, TeleclassError
from teleclass.runtime.console import log
from teleclass.runtime.tracking import safe
from teleclass.runtime.tracking.config import TrackingConfig
from teleclass.runtime.tracking.entries import Entry, send
from teleclass.runtime.tracking.monitor import NodeMonitor, start_monitor
from teleclass.runtime.tracking.owner import mlflow_tags, owner_tags
from teleclass.runtime.tracking.store import experiment_id, has_store, is_server, open_store, shown_uri


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
    """One MLflow run. A tracker that was not started takes everything and logs nothing.

    No failure of MLflow ends an experiment: from the first one on, all that is to be logged goes into a file of the
    output folder, from which ``teleclass runs log`` or the end of the run sends it.

    Parameters
    ----------
    output : the experiment's output folder; without one, what MLflow misses is lost.
    """

    def __init__(self, config: TrackingConfig, output: Path | None = None):
        self.config = config
        self.run_id: str | None = None
        self.run_name = ""
        self.journal: safe.Journal | None = None
        self._output = output
        self._header: dict[str, Any] = {}
        self._is_started = False
        self._has_waited = False
        self._client: Any = None
        self._monitor: NodeMonitor | None = None
        self._pending: list[tuple[str, float, int, int]] = []

    @property
    def is_on(self) -> bool:
        """Whether what is given is logged, to the store or into a file."""
        return self._is_started

    def start(self, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Open the run, making the store and the experiment where they do not exist yet.

        Where ``TELECLASS_PARENT_RUN`` is set, the run is nested below the run of that id.

        Raises
        ------
        TeleclassError : the experiment was deleted.
        """
        if not self.config.enabled:
            return
        self._is_started = True
        self._header = {
            "run_id": None,
            "run_name": self.config.run_name,
            "experiment": self.config.experiment,
            "start_time": int(time.time() * 1000),
            "tags": {**owner_tags(), **mlflow_tags(tags), **self.config.own_tags()},
        }
        try:
            self._client, run = safe.within(safe.OPEN_SECONDS, self._create)
            self.run_id, self.run_name = run.info.run_id, run.info.run_name
            self._header["run_id"] = self.run_id
        except StoreError as error:
            self._lose(error)
        except TeleclassError:
            self._is_started = False
            raise
        except Exception as error:
            self._lose(error)
        finally:
            self._has_waited = True
        self._log({"kind": "params", "params": {name: str(value) for name, value in params.items()},
                   "tags": dict(tags)})  # fmt: skip

    def end_leftovers(self) -> None:
        """End, as KILLED, the runs of this experiment that a process of this machine left when it was killed."""
        if not self.config.enabled or not has_store():
            return
        from teleclass.runtime.tracking.runs import end_leftovers

        try:
            left = safe.within(safe.OPEN_SECONDS, end_leftovers, self.config.experiment)
        except Exception:
            return  # the start of this run meets the same store, and tells of it
        for run in left:
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
        if run_id is None or self.journal or not self.config.system_metrics or not (node == 0 or is_server()):
            return
        try:
            self._monitor = safe.within(safe.CALL_SECONDS, start_monitor, run_id, node if n_nodes > 1 else None)
        except Exception as error:
            log.info("  no system metrics: %s", safe.one_line(error))

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Keep values for the next :meth:`flush`."""
        if not self._is_started:
            return
        now = int(time.time() * 1000)
        self._pending.extend((name, float(value), now, step) for name, value in values.items())
        if len(self._pending) >= 900:
            self.flush()

    def flush(self) -> None:
        """Send what was kept, in one call for every thousand values."""
        if self._pending:
            points, self._pending = self._pending, []
            self._log({"kind": "metrics", "points": points})

    def tags(self, values: Mapping[str, str]) -> None:
        if values:
            self._log({"kind": "params", "tags": dict(values)})

    def inputs(self, corpora: Sequence[TrackedCorpus]) -> None:
        """Log what the run reads."""
        inputs = [
            {
                "dataset": {
                    "name": corpus.name,
                    "digest": corpus.digest[:36],
                    "source_type": "local",
                    "source": json.dumps({"uri": str(corpus.source.resolve())}),
                    "profile": json.dumps(dict(corpus.profile)),
                },
                "context": corpus.context,
            }
            for corpus in corpora
        ]
        if inputs:
            self._log({"kind": "inputs", "inputs": inputs})

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Log a file or a folder under its own name; one that does not exist is passed over."""
        if self._is_started and path.exists():
            self._log({"kind": "artifact", "path": str(path), "folder": folder}, safe.seconds_for(path))

    def figure(self, name: str, svg: str) -> None:
        """Log a figure as ``figures/NAME.svg``."""
        self._log({"kind": "text", "text": svg, "file": f"figures/{name}.svg"})

    def table(self, name: str, columns: Mapping[str, list[Any]]) -> None:
        """Log a table; class names belong here, as metric names allow few characters."""
        self._log({"kind": "table", "columns": dict(columns), "file": f"{name}.json"})

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
        if not self._is_started:
            return None
        entry = {
            "kind": "model",
            "path": str(folder),
            "code": str(code),
            "requirements": list(requirements),
            "input_example": input_example,
            "output_example": output_example,
            "packages": [str(package) for package in packages],
            "register": register,
        }
        return self._log(entry, safe.MODEL_SECONDS + safe.seconds_for(folder))

    def end(self, status: str) -> None:
        """Stop sampling this machine, and close the run as FINISHED, FAILED or KILLED."""
        if self._monitor is not None:
            self._stop_monitor()
        if not self._is_started:
            return
        self.flush()
        self._log({"kind": "end", "status": status, "time": int(time.time() * 1000)})
        if self.journal is not None and not self.journal.is_broken:
            self._send_journal(self.journal, safe.CALL_SECONDS if status == "KILLED" else safe.LAST_SECONDS)
        self._is_started, self.run_id = False, None

    def _create(self) -> tuple[Any, Any]:
        """Open the store and make the run; returns the client and the run."""
        if is_server():
            safe.set_http_limits()
        client = open_store(to_write=True)
        tags = self._header["tags"]
        run = client.create_run(
            experiment_id(client, self.config.experiment), self._header["start_time"],
            run_name=self.config.run_name or None, tags=tags,
        )  # fmt: skip
        if self._has_waited:  # too late: nobody will write it or end it
            client.delete_run(run.info.run_id)
        return client, run

    def _log(self, entry: Entry, seconds: float | None = None) -> Any:
        """Send an entry to the store, or keep it where the store has failed; returns what the store answers."""
        if not self._is_started:
            return None
        if self.journal is None:
            try:
                return safe.within(seconds or safe.CALL_SECONDS, send, self._client, self.run_id, entry)
            except Exception as error:
                if safe.is_refusal(error):
                    log.info("  MLflow refuses %s of this run: %s", entry["kind"], safe.one_line(error))
                    return None
                self._lose(error)
        if self.journal is not None:
            self.journal.write(entry)
        return None

    def _lose(self, error: Exception) -> None:
        """Go on without MLflow, for good: to try again would cost the same wait each time."""
        self.journal = safe.Journal(self._output, self._header)
        kept = "is lost" if self.journal.is_broken else f"goes into {self.journal.file}"
        log.info("  MLflow at %s does not work (%s); going on without it, what it misses %s", shown_uri(),
                 safe.one_line(error), kept)  # fmt: skip
        if self._monitor is not None:
            self._monitor.abandon()
            self._monitor = None

    def _stop_monitor(self) -> None:
        monitor, self._monitor = self._monitor, None
        try:
            safe.within(safe.CALL_SECONDS, monitor.stop)  # type: ignore[union-attr]
        except Exception as error:
            log.info("  the last system metrics are lost: %s", safe.one_line(error))

    def _send_journal(self, journal: safe.Journal, seconds: float) -> None:
        """One more attempt, when there is nothing left to hold up."""
        from teleclass.runtime.tracking.later import log_file

        try:
            safe.within(seconds, log_file, journal.file, True)
            log.info("  MLflow works again: what it had missed is in the store now")
        except Exception:
            log.info("  what MLflow missed is kept; log it later with: teleclass runs log %s", journal.file)
