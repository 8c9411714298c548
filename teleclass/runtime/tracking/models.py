"""A classifier in MLflow: a pyfunc from code, with its requirements and signature spelt out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from teleclass.runtime.tracking.store import tracking_uri

NAME = "model"


def log_model(
    client: Any,
    run_id: str,
    folder: Path,
    code: Path,
    requirements: Sequence[str],
    input_example: Any,
    output_example: Any,
    packages: Sequence[Path],
    register: str,
) -> str | None:
    """See :meth:`Tracker.log_model`."""
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import Model, infer_signature

    example, answer = pd.DataFrame(input_example), pd.DataFrame(output_example)
    experiment = client.get_run(run_id).info.experiment_id
    # Made here and not by log(), which would put it into the experiment of a run that is active elsewhere.
    logged = client.create_logged_model(experiment, NAME, source_run_id=run_id, model_type="classifier")
    # MLflow advises type hints, with which it takes other input than tables, and undoes filters: so all are caught.
    with _fluent_store(), warnings.catch_warnings(record=True):
        Model.log(
            artifact_path=None,
            name=NAME,
            model_id=logged.model_id,
            run_id=run_id,
            flavor=mlflow.pyfunc,
            python_model=str(code),
            artifacts={NAME: str(folder)},
            code_paths=[str(package) for package in packages] or None,
            pip_requirements=list(requirements),
            signature=infer_signature(example, answer),
            input_example=example,
        )
        return _register(client, register, logged.model_id, run_id) if register else None


def _register(client: Any, name: str, model_id: str, run_id: str) -> str:
    """A new version of a registered model; MLflow looks the model up in the store of its own functions."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return str(client.create_model_version(name, f"models:/{model_id}", run_id, model_id=model_id).version)


@contextmanager
def _fluent_store() -> Iterator[None]:
    """Our store for MLflow's own functions, which take no client; afterwards all is as the caller had it."""
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(tracking_uri())
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None goes back to the default
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before
