"""One run as a folder that needs no store: written from one store, read into another."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from teleclass.errors import InputError, TeleclassError
from teleclass.runtime.tracking.store import experiment_id, has_store, open_store

FORMAT = 1
ORIGIN = "imported_from"
"""The tag of an imported run that holds the id it had in the store it comes from."""
UNFINISHED = "KILLED"
"""What an imported run is called that was still running when it was exported."""


def export_run(run_id: str, folder: Path) -> None:
    """Write a run to a folder: ``run.json``, ``metrics.csv`` with every step, ``artifacts/`` and ``models/``.

    The folder is written beside its place and renamed, so that there is a whole one or none.

    Raises
    ------
    TeleclassError : the folder exists, or cannot be written.
    """
    if folder.exists():
        raise TeleclassError(f"{folder} exists; name a folder that does not")
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write(run_id, partial)
        os.replace(partial, folder)
    except OSError as error:
        raise TeleclassError(f"{folder} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def import_run(folder: Path, again: bool = False) -> str:
    """Read a run that :func:`export_run` wrote into this store; returns its new id.

    Parameters
    ----------
    again : import it though this store has it.

    Raises
    ------
    InputError : the folder is not such a run.
    TeleclassError : this store has the run already.
    """
    file = folder / "run.json"
    try:
        content = json.loads(file.read_text("utf-8"))
        if content["format"] != FORMAT:
            raise InputError(f"has format {content['format']}, this program reads {FORMAT}", file)
        metrics = _read_metrics(folder / "metrics.csv")
        info, tags = content["info"], dict(content["tags"])
        original = info["run_id"]
    except OSError as error:
        raise InputError(f"is no exported run: {error.strerror}", folder) from None
    except (ValueError, KeyError, TypeError):
        raise InputError("is not as 'teleclass runs export' writes it", file) from None
    is_new_store = not has_store()
    client = open_store()
    if not (again or is_new_store) and (known := _known(client, original)):
        raise TeleclassError(f"run {original[:8]} is in this store already, as {known[:8]}; --force imports it again")
    parent = tags.pop("mlflow.parentRunId", None)
    if parent is not None and (here := _known(client, parent)):
        tags["mlflow.parentRunId"] = here
    tags.pop("mlflow.runName", None)
    run = client.create_run(
        experiment_id(client, info["experiment"]), info["start_time"], tags={ORIGIN: original}, run_name=info["name"]
    )
    run_id = run.info.run_id
    try:
        _log(client, run_id, content, tags, metrics)
        if any((folder / "artifacts").glob("*")):
            client.log_artifacts(run_id, str(folder / "artifacts"))
        for model in sorted((folder / "models").glob("*")):
            _log_model(client, run, model)
        status = info["status"] if info["status"] in ("FINISHED", "FAILED", "KILLED") else UNFINISHED
        client.set_terminated(run_id, status, info["end_time"])
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        client.delete_run(run_id)
        raise
    return run_id


def _write(run_id: str, folder: Path) -> None:
    from mlflow.artifacts import download_artifacts

    client = open_store()
    run = client.get_run(run_id)
    info = run.info
    content = {
        "format": FORMAT,
        "info": {
            "run_id": run_id,
            "name": info.run_name,
            "experiment": client.get_experiment(info.experiment_id).name,
            "status": info.status,
            "start_time": info.start_time,
            "end_time": info.end_time,
        },
        "params": run.data.params,
        "tags": run.data.tags,
        "inputs": [one.to_dictionary() for one in run.inputs.dataset_inputs],
    }
    (folder / "run.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", "utf-8")
    with (folder / "metrics.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["metric", "step", "timestamp", "value"])
        for name in sorted(run.data.metrics):
            points = client.get_metric_history(run_id, name)
            writer.writerows((name, one.step, one.timestamp, repr(one.value)) for one in points)
    (folder / "artifacts").mkdir()
    for one in client.list_artifacts(run_id):
        client.download_artifacts(run_id, one.path, str(folder / "artifacts"))
    for output in run.outputs.model_outputs if run.outputs else []:
        location = client.get_logged_model(output.model_id).artifact_location
        (folder / "models").mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as inner:  # it comes under a name that the store chooses
            os.replace(download_artifacts(artifact_uri=location, dst_path=inner), folder / "models" / output.model_id)


def _read_metrics(file: Path) -> list[tuple[str, int, int, float]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return [
            (row["metric"], int(row["step"]), int(row["timestamp"]), float(row["value"]))
            for row in csv.DictReader(stream)
        ]


def _known(client: Any, original: str) -> str | None:
    """The id under which this store has a run: its own, or that of an import."""
    from mlflow.exceptions import MlflowException

    everywhere = [one.experiment_id for one in client.search_experiments()]
    imported = client.search_runs(everywhere, f"tags.{ORIGIN} = '{original}'", max_results=1)
    if imported:
        return imported[0].info.run_id
    try:
        return original if client.get_run(original).info.lifecycle_stage == "active" else None
    except MlflowException:
        return None


def _log(client: Any, run_id: str, content: dict, tags: dict[str, str], metrics: list) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    params = [Param(name, value) for name, value in content["params"].items()]
    labels = [RunTag(name, value) for name, value in tags.items()]
    points = [Metric(name, value, timestamp, step) for name, step, timestamp, value in metrics]
    for start in range(0, max(len(params), len(labels)), 100):
        client.log_batch(run_id, params=params[start : start + 100], tags=labels[start : start + 100])
    for start in range(0, len(points), 1000):
        client.log_batch(run_id, metrics=points[start : start + 1000])
    inputs = [
        DatasetInput(
            Dataset(**{name: one["dataset"].get(name) for name in
                       ("name", "digest", "source_type", "source", "schema", "profile")}),
            [InputTag(name, value) for name, value in one["tags"].items()],
        )
        for one in content["inputs"]
    ]  # fmt: skip
    if inputs:
        client.log_inputs(run_id, inputs)


def _log_model(client: Any, run: Any, folder: Path) -> None:
    from mlflow.entities import LoggedModelOutput

    model = client.create_logged_model(run.info.experiment_id, "model", run.info.run_id, tags={ORIGIN: folder.name})
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
