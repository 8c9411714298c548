import json
import os
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tracked import artifact, client_of, started

from teleclass.errors import TeleclassError
from teleclass.runtime.artifacts import Artifacts
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.learning_curve import LearningCurve
from teleclass.runtime.tracking import PARENT_VARIABLE, TrackedCorpus, Tracker, TrackingConfig, tracking_uri, ui_command
from teleclass.runtime.tracking.owner import owner_tags
from teleclass.runtime.workplace import Workplace


def test_two_processes_that_make_the_store_at_once_both_succeed(made_at_once):
    folder, ends = made_at_once
    assert [code for _, code in ends] == [0, 0], ends
    client = client_of(folder)
    experiment = client.get_experiment_by_name("at once")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_name: run.data.params["process"] for run in runs} == {"one": "one", "two": "two"}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


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


def test_what_a_long_training_logs_reaches_the_store_in_few_calls(here, tmp_path, monkeypatch):
    """One call costs 60 to 110 ms on SQLite: 500 steps of six metrics must not make 3,000 of them."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    calls = Counter()
    for name in ("log_batch", "log_metric", "log_param", "set_tag"):
        inner = getattr(SqlAlchemyStore, name)

        def counting(store, *arguments, _name=name, _inner=inner, **more):
            calls[_name] += 1
            return _inner(store, *arguments, **more)

        monkeypatch.setattr(SqlAlchemyStore, name, counting)
    tracker, run_id = started({f"option.{number}": number for number in range(90)}, {"host": "here"})
    curve = LearningCurve(Workplace(Artifacts(tmp_path), Ranks(), tracker, seed=0), every=1)
    engine = SimpleNamespace(global_steps=0, skipped_steps=0, get_global_grad_norm=lambda: 1.0, get_lr=lambda: [0.1])
    for _ in range(500):
        curve.add(torch.tensor(0.5), 10)
        engine.global_steps += 1
        curve.step(engine, loss_scaling=False)
    tracker.tags({"precision_asked": "fp16", "precision_used": "bf16"})
    tracker.end("FINISHED")
    assert len(client_of(here).get_metric_history(run_id, "train/loss")) == 500
    assert set(calls) == {"log_batch"}
    # parameters, every 50 steps (a point has six values), the tags at the end
    assert calls["log_batch"] <= 1 + 500 / 50 + 1 + 1


def test_a_run_names_its_process_user_program_and_commit(here, monkeypatch):
    monkeypatch.setattr("sys.argv", ["somewhere/run_experiment.py"])
    tracker, run_id = started(tags={"git.commit": "abc"})
    tracker.end("FINISHED")
    tags = client_of(here).get_run(run_id).data.tags
    assert tags["pid"] == str(os.getpid())
    assert tags["host"]
    assert tags["process_start"] == owner_tags()["process_start"] != "unknown"
    assert tags["mlflow.source.name"] == "run_experiment.py"
    assert tags["mlflow.source.git.commit"] == "abc"
    assert "mlflow.parentRunId" not in tags


def test_a_run_with_a_parent_in_the_environment_is_nested_below_it(here, monkeypatch):
    parent, parent_id = started()
    monkeypatch.setenv(PARENT_VARIABLE, parent_id)
    child, child_id = started()
    child.end("FINISHED")
    parent.end("FINISHED")
    assert client_of(here).get_run(child_id).data.tags["mlflow.parentRunId"] == parent_id


def test_the_users_own_tags_are_kept_and_a_wrong_one_is_told(here):
    tracker = Tracker(TrackingConfig(experiment="tests", tags="team = blue, note=a=b,"))
    tracker.start({}, {})
    run_id = tracker.run_id
    tracker.end("FINISHED")
    tags = client_of(here).get_run(run_id).data.tags
    assert (tags["team"], tags["note"]) == ("blue", "a=b")
    with pytest.raises(ValueError, match="'blue' is not NAME=VALUE"):
        TrackingConfig(tags="blue")


def test_the_corpora_are_data_sets_of_the_run(here, tmp_path):
    tracker, run_id = started()
    counts = {"documents": 8, "empty": 1, "classes": 7}
    tracker.inputs(
        [
            TrackedCorpus("books training", "training", "a" * 64, tmp_path / "train.txt", counts),
            TrackedCorpus("books test", "test", "b" * 64, tmp_path / "test.txt", {"documents": 4}),
        ]
    )
    tracker.end("FINISHED")
    found = {one.tags[0].value: one for one in client_of(here).get_run(run_id).inputs.dataset_inputs}
    assert {one.tags[0].key for one in found.values()} == {"mlflow.data.context"}
    training, test = found["training"].dataset, found["test"].dataset
    assert (training.name, training.digest) == ("books training", "a" * 36)
    assert json.loads(training.profile) == counts
    assert json.loads(training.source) == {"uri": str(tmp_path / "train.txt")}
    assert test.digest == "b" * 36


def test_figures_lie_in_a_folder_of_their_own(here):
    tracker, run_id = started()
    tracker.figure("levels", "<svg></svg>")
    tracker.end("FINISHED")
    assert artifact(here, run_id, "figures/levels.svg").read_text() == "<svg></svg>"


def test_many_and_long_parameters_and_many_tags(here):
    params = {f"option.{number}": number for number in range(250)} | {"limit": "b" * 6000, "longer": "a" * 6000 + "z"}
    tags = {f"version.{number}": str(number) for number in range(330)}
    tracker, run_id = started(params, tags)
    tracker.tags({"precision_used": "bf16", "version.0": "again"})
    tracker.end("FINISHED")
    found = client_of(here).get_run(run_id).data
    assert found.params == {name: str(value)[:6000] for name, value in params.items()}
    assert len(found.params["longer"]) == 6000
    expected = tags | {"precision_used": "bf16", "version.0": "again"} | owner_tags()
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
