import json

import pytest
from tracked import artifact, client_of, started

from teleclass.errors import InputError, TeleclassError
from teleclass.runtime.tracking import PARENT_VARIABLE, TrackedCorpus
from teleclass.runtime.tracking.transfer import ORIGIN, export_run, import_run


@pytest.fixture
def original(here, tmp_path, monkeypatch):
    """A run with something of each kind, ended as FAILED."""
    monkeypatch.setenv(PARENT_VARIABLE, "0" * 32)
    tracker, run_id = started({"seed": 7, "data_dir": "books"}, {"git.commit": "abc"}, run_name="to be sent")
    monkeypatch.delenv(PARENT_VARIABLE)
    for step in range(1, 1205):
        tracker.metrics({"train/loss": 1 / step}, step)
    tracker.metrics({"test/mrr": 0.1 + 0.2})
    tracker.inputs([TrackedCorpus("books", "training", "a" * 36, tmp_path / "train.txt", {"documents": 3})])
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "one.txt").write_text("first")
    tracker.artifact(tmp_path / "notes")
    tracker.table("by_class", {"class": ["bread"], "f1": [0.5]})
    model = tracker._client.create_logged_model(
        tracker._client.get_run(run_id).info.experiment_id, "model", source_run_id=run_id
    )
    tracker._client.log_model_artifacts(model.model_id, str(tmp_path / "notes"))
    tracker._client.finalize_logged_model(model.model_id, "READY")
    from mlflow.entities import LoggedModelOutput

    tracker._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    tracker.end("FAILED")
    return run_id


def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "elsewhere"


@pytest.mark.slow
def test_an_exported_run_is_the_same_in_another_store(original, here, tmp_path, monkeypatch):
    before = client_of(here).get_run(original)
    export_run(original, tmp_path / "sent" / "run")
    assert [path.name for path in (tmp_path / "sent").iterdir()] == ["run"]
    there = elsewhere(tmp_path, monkeypatch)
    run_id = import_run(tmp_path / "sent" / "run")
    assert run_id != original
    client = client_of(there)
    after = client.get_run(run_id)
    assert after.data.params == before.data.params
    assert after.data.metrics == before.data.metrics
    assert after.data.metrics["test/mrr"] == 0.1 + 0.2
    history = client.get_metric_history(run_id, "train/loss")
    assert {one.step: one.value for one in history} == {step: 1 / step for step in range(1, 1205)}
    tags = dict(after.data.tags)
    assert tags.pop(ORIGIN) == original
    assert {**tags, "mlflow.parentRunId": "0" * 32} == before.data.tags, "a parent that is not here is left out"
    for name in ("run_name", "status", "start_time", "end_time"):
        assert getattr(after.info, name) == getattr(before.info, name), name
    assert client.get_experiment(after.info.experiment_id).name == "tests"
    assert after.inputs.to_dictionary() == before.inputs.to_dictionary()
    assert artifact(there, run_id, "notes/one.txt").read_text() == "first"
    assert json.loads(artifact(there, run_id, "by_class.json").read_text())["data"] == [["bread", 0.5]]
    model = client.get_logged_model(after.outputs.model_outputs[0].model_id)
    assert (model.status, model.source_run_id) == ("READY", run_id)
    assert [one.path for one in client.list_logged_model_artifacts(model.model_id)] == ["one.txt"]

    with pytest.raises(TeleclassError, match=f"in this store already, as {run_id[:8]}"):
        import_run(tmp_path / "sent" / "run")
    assert import_run(tmp_path / "sent" / "run", again=True) not in (original, run_id)


def test_a_run_is_not_imported_into_the_store_that_it_comes_from(original, tmp_path):
    export_run(original, tmp_path / "run")
    with pytest.raises(TeleclassError, match=f"in this store already, as {original[:8]}"):
        import_run(tmp_path / "run")


def test_a_folder_that_exists_is_not_written_over(original, tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(TeleclassError, match="run exists"):
        export_run(original, tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda folder: (folder / "run.json").unlink(), "is no exported run"),
        (lambda folder: (folder / "run.json").write_text("{"), "is not as 'teleclass runs export' writes it"),
        (lambda folder: (folder / "run.json").write_text('{"format": 9}'), "has format 9"),
        (lambda folder: (folder / "metrics.csv").write_text("metric,step,timestamp,value\na,1,2,much\n"), "is not as"),
        (lambda folder: (folder / "metrics.csv").unlink(), "is no exported run"),
    ],
)
def test_a_folder_that_is_no_exported_run_is_told_in_one_line_and_leaves_no_run(here, tmp_path, break_it, says):
    info = {
        "run_id": "1" * 32,
        "name": "n",
        "experiment": "broken",
        "status": "FINISHED",
        "start_time": 1,
        "end_time": 2,
    }
    content = {"format": 1, "info": info, "params": {}, "tags": {}, "inputs": []}
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(content))
    (folder / "metrics.csv").write_text("metric,step,timestamp,value\na,1,2,0.5\n")
    break_it(folder)
    with pytest.raises(InputError, match=says):
        import_run(folder)
    assert client_of(here).get_experiment_by_name("broken") is None
