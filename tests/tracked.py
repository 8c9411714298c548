"""Runs of the tests and what the store holds of them."""

from __future__ import annotations

from pathlib import Path

from teleclass.runtime.tracking import Tracker, TrackingConfig


def client_of(folder):
    from mlflow.tracking import MlflowClient

    return MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")


def started(params=None, tags=None, **config):
    tracker = Tracker(TrackingConfig(**{"experiment": "tests", **config}))
    tracker.start(params or {}, tags or {})
    return tracker, tracker.run_id


def artifact(folder, run_id, path):
    uri = client_of(folder).get_run(run_id).info.artifact_uri
    return Path(uri.removeprefix("file://")) / path
