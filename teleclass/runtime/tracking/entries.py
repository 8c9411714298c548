"""What is logged of a run, as plain data: sent to the store now, or kept in a file and sent later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Entry = Mapping[str, Any]
"""One thing to log: its ``kind``, a key of :data:`KINDS`, and what belongs to it, as JSON holds it."""

PARAM_LIMIT = 6000
"""Characters of a parameter value that MLflow keeps."""


def send(client: Any, run_id: str, entry: Entry) -> Any:
    """Log an entry into a run; sending one twice leaves the run as sending it once.

    Raises
    ------
    Exception : whatever the store, the file system and the network raise.
    """
    return KINDS[entry["kind"]](client, run_id, entry)


def _params(client: Any, run_id: str, entry: Entry) -> None:
    from mlflow.entities import Param, RunTag

    params = [Param(name, str(value)[:PARAM_LIMIT]) for name, value in entry.get("params", {}).items()]
    tags = [RunTag(name, str(value)[:PARAM_LIMIT]) for name, value in entry.get("tags", {}).items()]
    for start in range(0, max(len(params), len(tags)), 100):
        client.log_batch(run_id, params=params[start : start + 100], tags=tags[start : start + 100])


def _metrics(client: Any, run_id: str, entry: Entry) -> None:
    from mlflow.entities import Metric

    points = [Metric(name, value, timestamp, step) for name, value, timestamp, step in entry["points"]]
    for start in range(0, len(points), 1000):
        client.log_batch(run_id, metrics=points[start : start + 1000])


def _inputs(client: Any, run_id: str, entry: Entry) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    client.log_inputs(
        run_id,
        [
            DatasetInput(Dataset(**one["dataset"]), [InputTag("mlflow.data.context", one["context"])])
            for one in entry["inputs"]
        ],
    )


def _artifact(client: Any, run_id: str, entry: Entry) -> None:
    client.log_artifact(run_id, entry["path"], entry["folder"])


def _text(client: Any, run_id: str, entry: Entry) -> None:
    client.log_text(run_id, entry["text"], entry["file"])


def _table(client: Any, run_id: str, entry: Entry) -> None:
    if entry["file"] not in {one.path for one in client.list_artifacts(run_id)}:  # else rows are added to those there
        client.log_table(run_id, dict(entry["columns"]), entry["file"])


def _model(client: Any, run_id: str, entry: Entry) -> str | None:
    from teleclass.runtime.tracking.models import log_model

    return log_model(
        client, run_id, Path(entry["path"]), Path(entry["code"]), entry["requirements"], entry["input_example"],
        entry["output_example"], [Path(one) for one in entry["packages"]], entry["register"],
    )  # fmt: skip


def _end(client: Any, run_id: str, entry: Entry) -> None:
    client.set_terminated(run_id, entry["status"], entry["time"])


KINDS: dict[str, Callable[[Any, str, Entry], Any]] = {
    "params": _params,
    "metrics": _metrics,
    "inputs": _inputs,
    "artifact": _artifact,
    "text": _text,
    "table": _table,
    "model": _model,
    "end": _end,
}
"""How each kind is logged."""
