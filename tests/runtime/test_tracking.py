import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from experiments import clean_environment

from teleclass.errors import TeleclassError
from teleclass.runtime.tracking import Tracker, TrackingConfig, tracking_uri, ui_command

AT_ONCE = """
import sys, time
from pathlib import Path

import mlflow.store.tracking.sqlalchemy_store  # the slow part, so that both meet at the store

from teleclass.runtime.tracking import Tracker, TrackingConfig

Path(f"ready_{sys.argv[1]}").touch()
while len(list(Path().glob("ready_*"))) < 2:
    time.sleep(0.005)
tracker = Tracker(TrackingConfig(experiment="at once", run_name=sys.argv[1]))
tracker.start({"process": sys.argv[1]}, {})
tracker.end("FINISHED")
"""


@pytest.fixture(scope="module")
def made_at_once(tmp_path_factory):
    """A folder in which two processes made the store at once, and how they ended: making one takes seconds."""
    folder = tmp_path_factory.mktemp("work")
    environment = clean_environment()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", AT_ONCE, name], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    ends = [(process.communicate(timeout=120)[1], process.returncode) for process in processes]
    for file in folder.glob("ready_*"):
        file.unlink()
    return folder, ends


@pytest.fixture
def here(made_at_once, monkeypatch):
    """The folder of that store, as the working directory."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(made_at_once[0])
    return made_at_once[0]


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


def test_two_processes_that_make_the_store_at_once_both_succeed(made_at_once):
    folder, ends = made_at_once
    assert [code for _, code in ends] == [0, 0], ends
    client = client_of(folder)
    experiment = client.get_experiment_by_name("at once")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_name: run.data.params["process"] for run in runs} == {"one": "one", "two": "two"}
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_all_that_is_written_lies_under_mlruns(here):
    tracker, run_id = started()
    (here / "mlruns" / "note.txt").write_text("a note")
    tracker.artifact(here / "mlruns" / "note.txt")
    tracker.end("FINISHED")
    location = client_of(here).get_run(run_id).info.artifact_uri
    assert location.startswith((here / "mlruns" / "artifacts").as_uri() + "/")
    assert artifact(here, run_id, "note.txt").read_text() == "a note"
    assert os.listdir(here) == ["mlruns"]


def test_more_than_a_thousand_metrics_arrive_in_one_go(here):
    tracker, run_id = started()
    tracker.metrics({f"class/{number}": number / 4 for number in range(2300)})
    tracker.end("FINISHED")
    assert client_of(here).get_run(run_id).data.metrics == {f"class/{number}": number / 4 for number in range(2300)}


def test_a_long_learning_curve_keeps_every_step(here):
    tracker, run_id = started()
    for step in range(1, 1251):
        tracker.metrics({"train/loss": 1 / step}, step)
    tracker.end("FINISHED")
    history = client_of(here).get_metric_history(run_id, "train/loss")
    assert {point.step: point.value for point in history} == {step: 1 / step for step in range(1, 1251)}
    assert len(history) == 1250
    assert abs(history[-1].timestamp / 1000 - time.time()) < 60


def test_metrics_wait_for_the_flush_and_are_sent_once(here, monkeypatch):
    """MLflow drops what it has already, so what is sent is counted on its way to the real store."""
    from mlflow.tracking import MlflowClient

    sent, log_batch = [], MlflowClient.log_batch

    def counting(client, run_id, metrics=(), **more):
        sent.append(len(metrics))
        return log_batch(client, run_id, metrics=metrics, **more)

    monkeypatch.setattr(MlflowClient, "log_batch", counting)
    tracker, run_id = started()
    tracker.metrics({"train/loss": 0.5}, 3)
    assert client_of(here).get_run(run_id).data.metrics == {}
    tracker.flush()
    assert client_of(here).get_run(run_id).data.metrics == {"train/loss": 0.5}
    tracker.flush()
    tracker.end("FINISHED")
    assert sum(sent) == 1


def test_many_and_long_parameters_and_many_tags(here):
    params = {f"option.{number}": number for number in range(250)} | {"limit": "b" * 6000, "longer": "a" * 6000 + "z"}
    tags = {f"version.{number}": str(number) for number in range(330)}
    tracker, run_id = started(params, tags)
    tracker.tags({"precision_used": "bf16", "version.0": "again"})
    tracker.end("FINISHED")
    found = client_of(here).get_run(run_id).data
    assert found.params == {name: str(value)[:6000] for name, value in params.items()}
    assert len(found.params["longer"]) == 6000
    expected = tags | {"precision_used": "bf16", "version.0": "again"}
    assert {name: value for name, value in found.tags.items() if not name.startswith("mlflow.")} == expected


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_a_run_ends_with_its_status_and_what_was_not_sent_yet(here, status):
    tracker, run_id = started(run_name=f"run that {status}")
    assert client_of(here).get_run(run_id).info.status == "RUNNING"
    tracker.metrics({"train/loss": 0.25}, 7)
    tracker.end(status)
    run = client_of(here).get_run(run_id)
    assert (run.info.status, run.info.run_name) == (status, f"run that {status}")
    assert run.info.end_time >= run.info.start_time
    assert run.data.metrics == {"train/loss": 0.25}


def test_after_its_end_a_tracker_logs_nothing(here):
    tracker, run_id = started()
    tracker.end("KILLED")
    tracker.metrics({"late": 1.0})
    tracker.tags({"late": "yes"})
    tracker.flush()
    tracker.end("FINISHED")
    run = client_of(here).get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.metrics == {}
    assert "late" not in run.data.tags


def test_a_table_keeps_class_names_that_metric_names_do_not_allow(here):
    tracker, run_id = started()
    tracker.table("by_class", {"class": ["bread & knives: 50 %", "Äpfel"], "f1": [0.5, 1.0]})
    tracker.end("FINISHED")
    table = json.loads(artifact(here, run_id, "by_class.json").read_text())
    assert table == {"columns": ["class", "f1"], "data": [["bread & knives: 50 %", 0.5], ["Äpfel", 1.0]]}


def test_artifacts_keep_their_names_and_what_is_not_there_is_passed_over(here, tmp_path):
    (tmp_path / "metrics.json").write_text('{"f1": 1}')
    (tmp_path / "model" / "inner").mkdir(parents=True)
    (tmp_path / "model" / "inner" / "weights").write_text("1 2")
    tracker, run_id = started()
    tracker.artifact(tmp_path / "metrics.json")
    tracker.artifact(tmp_path / "metrics.json", "copies")
    tracker.artifact(tmp_path / "model")
    tracker.artifact(tmp_path / "not there")
    tracker.end("FINISHED")
    root = artifact(here, run_id, "")
    found = {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()}
    assert found == {"metrics.json", "copies/metrics.json", "model/inner/weights"}


def test_runs_of_one_experiment_lie_together(here):
    ids = []
    for _ in range(2):
        tracker, run_id = started(experiment="together")
        tracker.end("FINISHED")
        ids.append(run_id)
    client = client_of(here)
    runs = client.search_runs([client.get_experiment_by_name("together").experiment_id])
    assert {run.info.run_id for run in runs} == set(ids)


def test_a_disabled_tracker_takes_everything_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tracker, run_id = started({"seed": 1}, {"host": "here"}, enabled=False)
    assert run_id is None
    tracker.metrics({"loss": 1.0})
    tracker.tags({"late": "yes"})
    tracker.table("by_class", {"f1": [1.0]})
    tracker.artifact(Path(__file__))
    tracker.flush()
    tracker.end("FINISHED")
    assert os.listdir(tmp_path) == []


def test_in_another_working_directory_the_run_goes_to_the_store_there(here, tmp_path, monkeypatch):
    """As in a notebook that changes its folder between two experiments."""
    tracker, _ = started()
    tracker.end("FINISHED")
    monkeypatch.chdir(tmp_path)
    tracker, run_id = started()
    tracker.end("FINISHED")
    assert (tmp_path / "mlruns" / "mlflow.db").exists()
    assert client_of(tmp_path).get_run(run_id).info.artifact_uri.startswith((tmp_path / "mlruns").as_uri())


def test_an_experiment_that_was_deleted_is_told_by_its_name(here):
    """Deleting one in MLflow's UI leaves its name taken."""
    tracker, _ = started(experiment="deleted one")
    tracker.end("FINISHED")
    client = client_of(here)
    client.delete_experiment(client.get_experiment_by_name("deleted one").experiment_id)
    with pytest.raises(TeleclassError, match="deleted one"):
        started(experiment="deleted one")


@pytest.mark.parametrize("value", [0, -1])
def test_an_interval_without_a_step_is_refused(value):
    with pytest.raises(ValueError, match=r"tracking\.every_steps must be 1 or more"):
        TrackingConfig(every_steps=value)


def after(command, option):
    return command[command.index(option) + 1]


@pytest.mark.parametrize("variable", [None, ""], ids=["unset", "empty"])
def test_the_ui_serves_the_store_of_this_folder(tmp_path, monkeypatch, variable):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if variable is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
    command, _ = ui_command(5050, "127.0.0.1")
    assert after(command, "--backend-store-uri") == tracking_uri()
    assert tracking_uri().startswith("sqlite:///")
    assert tracking_uri().endswith("mlruns/mlflow.db")
    assert after(command, "--default-artifact-root") == (tmp_path / "mlruns" / "artifacts").as_uri()
    assert (after(command, "--port"), after(command, "--host")) == ("5050", "127.0.0.1")


def test_a_store_that_the_user_names_is_taken_with_its_own_artifact_folder(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example:5000")
    command, _ = ui_command(5050, "127.0.0.1")
    assert tracking_uri() == "http://tracking.example:5000"
    assert after(command, "--backend-store-uri") == "http://tracking.example:5000"
    assert "--default-artifact-root" not in command
