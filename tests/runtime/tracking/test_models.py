import os

import pandas as pd
import pytest
from tracked import client_of, started

CODE = """
from pathlib import Path

import mlflow
import pandas as pd


class Lengths(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.unit = Path(context.artifacts["model"], "unit.txt").read_text()

    def predict(self, context, model_input, params=None):
        return pd.DataFrame({"label": [f"{len(text)} {self.unit}" for text in model_input["text"]]})


mlflow.models.set_model(Lengths())
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lengths")
    (folder / "model").mkdir()
    (folder / "model" / "unit.txt").write_text("letters")
    (folder / "code.py").write_text(CODE)
    return folder


def logged(tracker, files, **more):
    return tracker.log_model(
        files / "model", files / "code.py", ["pandas"], {"text": ["a b", "c"]}, {"label": ["3 letters", "1 letters"]},
        **more,
    )  # fmt: skip


@pytest.mark.slow
def test_a_model_from_code_is_logged_with_its_run_registered_and_loaded_again(here, files):
    import mlflow

    tracker, run_id = started()
    assert logged(tracker, files, register="lengths") == "1"
    assert mlflow.active_run() is None
    assert "MLFLOW_TRACKING_URI" not in os.environ
    client = client_of(here)
    assert client.get_run(run_id).info.status == "RUNNING"
    tracker.end("FINISHED")
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    model = client.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert model.source_run_id == run_id
    assert model.experiment_id == run.info.experiment_id
    assert model.status == "READY"
    version = client.get_model_version("lengths", "1")
    assert (version.run_id, version.status) == (run_id, "READY")

    mlflow.set_tracking_uri(f"sqlite:///{here}/mlruns/mlflow.db")
    try:
        loaded = mlflow.pyfunc.load_model("models:/lengths/1")
        found = loaded.predict(pd.DataFrame({"text": ["four", ""]}))
        requirements = mlflow.pyfunc.get_model_dependencies("models:/lengths/1")
    finally:
        mlflow.set_tracking_uri(None)
    assert list(found["label"]) == ["4 letters", "0 letters"]
    assert loaded.metadata.get_input_schema().input_names() == ["text"]
    assert loaded.metadata.get_output_schema().input_names() == ["label"]
    with open(requirements) as stream:
        assert {line.split("=")[0].strip() for line in stream if line.strip()} == {"mlflow", "pandas"}


@pytest.mark.slow
def test_the_next_model_of_a_name_is_its_second_version_and_one_without_a_name_has_none(here, files):
    for register, expected in (("again", "1"), ("again", "2"), ("", None)):
        tracker, _ = started()
        assert logged(tracker, files, register=register) == expected
        tracker.end("FINISHED")


def test_a_tracker_that_tracks_nothing_logs_no_model(files):
    tracker, _ = started(enabled=False)
    assert logged(tracker, files, register="none") is None
