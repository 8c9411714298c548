"""MLflow locked, gone, unwritable or answering nothing: the run goes on, and nothing of it is lost."""

import json
import logging
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from experiments import SCRIPT, free_port, mlflow_artifacts, mlflow_runs, run
from tracked import artifact, client_of, started

from teleclass.commands.runs import main as runs
from teleclass.errors import InputError, TeleclassError
from teleclass.runtime.tracking import Tracker, TrackingConfig, safe
from teleclass.runtime.tracking.later import ORIGIN, log_file, unlogged_files
from teleclass.runtime.tracking.owner import owner_tags
from teleclass.runtime.tracking.store import open_store


@contextmanager
def locked(folder):
    """The store as another process leaves it that writes for long."""
    connection = sqlite3.connect(folder / "mlruns" / "mlflow.db", timeout=30, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@pytest.fixture
def impatient(monkeypatch):
    """Deadlines of a second: a test need not wait as long as a run."""
    monkeypatch.setattr("teleclass.runtime.tracking.safe.CALL_SECONDS", 1.0)
    monkeypatch.setattr("teleclass.runtime.tracking.safe.LAST_SECONDS", 20)
    monkeypatch.setattr("teleclass.runtime.tracking.store.LOCK_SECONDS", 0.5)


@pytest.fixture
def said():
    """The lines that the program writes to the terminal."""
    lines = []
    logging.getLogger("teleclass").disabled = False
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    log, level = logging.getLogger("teleclass"), logging.getLogger("teleclass").level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield lines
    log.removeHandler(handler)
    log.setLevel(level)


def begun(output, **config):
    tracker = Tracker(TrackingConfig(**{"experiment": "tests", **config}), output)
    tracker.start({"seed": 42, "data_dir": "books"}, {"preset": "debug"})
    return tracker


def log_everything(tracker, output):
    """One of each kind of entry."""
    (output / "metrics.json").write_text("{}")
    for step in (1, 2):
        tracker.metrics({"train/loss": 1 / step}, step)
    tracker.flush()
    tracker.tags({"precision_used": "bf16"})
    tracker.figure("levels", "<svg></svg>")
    tracker.table("by_class", {"class": ["=bread & knives"], "f1": [0.5]})
    tracker.artifact(output / "metrics.json")


def check_everything(folder, run_id, status):
    client = client_of(folder)
    run = client.get_run(run_id)
    assert run.info.status == status
    assert run.data.params == {"seed": "42", "data_dir": "books"}
    assert run.data.tags["preset"] == "debug"
    assert run.data.tags["precision_used"] == "bf16"
    assert [(one.step, one.value) for one in client.get_metric_history(run_id, "train/loss")] == [(1, 1.0), (2, 0.5)]
    assert artifact(folder, run_id, "figures/levels.svg").read_text() == "<svg></svg>"
    assert json.loads(artifact(folder, run_id, "by_class.json").read_text())["data"] == [["=bread & knives", 0.5]]
    assert artifact(folder, run_id, "metrics.json").read_text() == "{}"
    return run


def not_logged(output):
    return sorted((output / "unlogged").glob("*.jsonl"))


@pytest.mark.twin("teleclass.runtime.tracking.safe:Journal.write")
def test_a_store_that_is_locked_midway_costs_one_wait_and_is_filled_when_it_is_free_again(
    here, tmp_path, impatient, said
):
    tracker = begun(tmp_path)
    run_id = tracker.run_id
    with locked(here):
        before = time.monotonic()
        log_everything(tracker, tmp_path)
        assert time.monotonic() - before < 3 * safe.CALL_SECONDS, "it waits once, not at each call"
        [file] = not_logged(tmp_path)
        assert [json.loads(line).get("kind") for line in file.read_text().splitlines()] == [
            None, "metrics", "params", "text", "table", "artifact"
        ]  # fmt: skip
    tracker.end("FINISHED")
    run = check_everything(here, run_id, "FINISHED")
    assert ORIGIN not in run.data.tags, "it is the run that was there, not another"
    assert not_logged(tmp_path) == []
    assert sum("going on without it" in one for one in said) == 1


@pytest.mark.twin("teleclass.runtime.tracking.safe:Journal.write")
def test_a_store_that_stays_locked_leaves_a_file_that_is_logged_later_and_once(here, tmp_path, impatient, capsys):
    with locked(here):
        before = time.monotonic()
        tracker = begun(tmp_path)
        assert time.monotonic() - before < 10
        assert tracker.run_id is None
        assert tracker.is_on
        log_everything(tracker, tmp_path)
        tracker.end("FAILED")
    [file] = not_logged(tmp_path)
    text = file.read_text().replace(str(os.getpid()), "999999999")  # as when the process is gone
    file.write_text(text)
    assert runs(["log", str(tmp_path)]) == 0
    assert "7 entries" in capsys.readouterr().out
    client = client_of(here)
    experiment = client.get_experiment_by_name("tests").experiment_id
    identity = json.loads(text.splitlines()[0])["id"]
    [made] = client.search_runs([experiment], f"tags.{ORIGIN} = '{identity}'")
    check_everything(here, made.info.run_id, "FAILED")
    assert made.info.start_time < made.info.end_time
    with pytest.raises(InputError, match="holds nothing that was not logged"):
        runs(["log", str(tmp_path)])
    copy = tmp_path / "unlogged" / "again.jsonl"
    copy.write_text(text)
    assert runs(["log", str(copy)]) == 0
    [same] = client.search_runs([experiment], f"tags.{ORIGIN} = '{identity}'")
    assert same.info.run_id == made.info.run_id
    check_everything(here, same.info.run_id, "FAILED")


def test_a_store_below_a_file_is_told_at_once_and_what_it_misses_is_kept(tmp_path, monkeypatch, said):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    monkeypatch.chdir(tmp_path)
    before = time.monotonic()
    tracker = begun(tmp_path)
    log_everything(tracker, tmp_path)
    tracker.end("FINISHED")
    assert time.monotonic() - before < 10, "MLflow itself tries for two minutes"
    assert len(not_logged(tmp_path)) == 1
    assert sum("does not work (" in one for one in said) == 1


@pytest.mark.parametrize("uri", ["nonsense://somewhere", "sqlite:///", "file:///proc/nowhere"])
def test_a_wrong_address_does_not_stop_a_run(tmp_path, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    tracker = begun(tmp_path)
    assert tracker.is_on
    tracker.end("FINISHED")
    assert len(not_logged(tmp_path)) == 1


def test_a_server_that_is_gone_costs_seconds_and_its_password_stays_unsaid(tmp_path, monkeypatch, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:geheim@127.0.0.1:{free_port()}")
    for name in safe.HTTP:
        monkeypatch.setenv(name, safe.HTTP[name])
    before = time.monotonic()
    tracker = begun(tmp_path)
    tracker.end("FINISHED")
    assert time.monotonic() - before < 30
    [file] = not_logged(tmp_path)
    assert "geheim" not in "".join(said) + file.read_text()
    assert any("http://127.0.0.1:" in line for line in said)


def test_a_server_that_takes_requests_and_says_nothing_is_given_up(tmp_path, monkeypatch, impatient):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(safe, "OPEN_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # Nobody accepts: the system takes the connections, and no answer ever comes.
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        before = time.monotonic()
        tracker = begun(tmp_path)
        tracker.end("KILLED")
        assert time.monotonic() - before < 20
    [file] = not_logged(tmp_path)
    assert json.loads(file.read_text().splitlines()[-1])["status"] == "KILLED"


def test_mlflows_client_gives_up_early_unless_the_user_says_otherwise(monkeypatch):
    for name in safe.HTTP:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "90")
    safe.set_http_limits()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "90"
    assert os.environ.pop("MLFLOW_HTTP_REQUEST_MAX_RETRIES") == "1"


def test_what_the_store_refuses_is_told_and_the_rest_still_logged(here, tmp_path, said):
    tracker, run_id = started({"seed": 1})
    tracker.metrics({"not[allowed]": 1.0})
    tracker.flush()
    tracker.metrics({"allowed": 2.0})
    tracker.end("FINISHED")
    run = client_of(here).get_run(run_id)
    assert run.data.metrics == {"allowed": 2.0}
    assert run.info.status == "FINISHED"
    assert any("MLflow refuses metrics of this run" in line for line in said)


def test_a_file_that_cannot_be_written_either_does_not_stop_the_run(here, tmp_path, impatient, said):
    (tmp_path / "unlogged").write_text("in the way")
    tracker = begun(tmp_path)
    with locked(here):
        log_everything(tracker, tmp_path)
        tracker.end("FINISHED")
    assert sum("cannot be kept either" in one for one in said) == 1


def a_file(folder, *entries, run_id=None, pid="999999999"):
    header = {
        "format": 1, "id": f"{len(entries)}{run_id}", "run_id": run_id, "run_name": "", "experiment": "tests",
        "start_time": 1_700_000_000_000, "tags": {}, "owner": {**owner_tags(), "pid": pid},
    }  # fmt: skip
    file = folder / "unlogged" / "one.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(one) + "\n" for one in (header, *entries)))
    return file


def test_a_file_of_a_killed_process_may_end_in_half_a_line_and_its_run_was_killed(here, tmp_path):
    file = a_file(tmp_path, {"kind": "params", "params": {"seed": "3"}})
    with file.open("a") as stream:
        stream.write('{"kind": "params", "params": {"sta')
    found = log_file(file)
    run = client_of(here).get_run(found.run_id)
    assert (run.info.status, run.data.params) == ("KILLED", {"seed": "3"})
    assert not file.exists()


def test_artifacts_that_are_gone_and_entries_that_are_refused_are_named(here, tmp_path):
    file = a_file(
        tmp_path, {"kind": "artifact", "path": "report.html", "folder": None},
        {"kind": "metrics", "points": [["a[0]", 1.0, 5, 0]]}, {"kind": "params", "tags": {"a": "b"}},
        {"kind": "end", "status": "FINISHED", "time": 1_700_000_060_000},
    )  # fmt: skip
    found = log_file(file)
    assert found.entries == 2
    assert "report.html is not there any more" in found.left_out[0]
    assert len(found.left_out) == 2
    run = client_of(here).get_run(found.run_id)
    assert (run.info.status, run.info.end_time - run.info.start_time) == ("FINISHED", 60_000)


def test_a_run_that_is_under_way_is_not_logged_over(here, tmp_path):
    file = a_file(tmp_path, {"kind": "params", "tags": {"a": "b"}}, pid=str(os.getpid()))
    with pytest.raises(TeleclassError, match="is under way"):
        log_file(file)
    assert file.exists()


@pytest.mark.parametrize("text", ["", "{}\n", "[1]\n", "nonsense\n", '{"format": 1}\n', '{"format": 7}\n'])
def test_another_file_is_refused_by_name(tmp_path, text):
    (tmp_path / "some.jsonl").write_text(text)
    with pytest.raises(InputError, match=r"some\.jsonl"):
        log_file(unlogged_files(tmp_path / "some.jsonl")[0])


def test_a_store_that_cannot_be_opened_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "mlruns").write_text("a file")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(TeleclassError, match="mlruns cannot be made"):
        open_store()


def test_a_call_that_never_returns_does_not_keep_the_program_from_ending():
    code = "import time; from teleclass.runtime.tracking.safe import within\n"
    code += "try: within(0.1, time.sleep, 60)\nexcept TimeoutError as error: print(error)"
    before = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "no answer in 0 s")
    assert time.monotonic() - before < 20


@pytest.mark.slow
def test_a_run_without_a_store_ends_as_one_with_it_and_is_logged_afterwards(one_process, tmp_path, monkeypatch):
    """From the first phase to the last: the same labels, status 0, and later the same metrics in the store.

    Its data have faults that are mended: the lines that are left out are those that the other run does not have.
    """
    (tmp_path / "file").write_text("")
    gone = f"sqlite:///{tmp_path}/file/mlflow.db"
    data = shutil.copytree(one_process.cwd / "data", tmp_path / "data")
    with (data / "train" / "train_corpus.txt").open("a") as stream:
        stream.write("a\tstands already\nno tab\n")
    (data / "class_hierarchy.txt").write_text("10\t99\n" + (data / "class_hierarchy.txt").read_text())
    more = ["--data_dir", str(data), "--output_dir", str(tmp_path / "out"), "--repair"]
    arguments = [*one_process.arguments, *more]
    process = run([sys.executable, SCRIPT, *arguments], tmp_path, MLFLOW_TRACKING_URI=gone)
    assert process.returncode == 0, process.stderr
    process_said = process.stderr
    assert process_said.count("MLflow") == 2, "once when it fails, once where to find what it missed"
    assert (tmp_path / "out" / "submission.csv").read_text() == one_process.submission
    process = run([sys.executable, "-m", "teleclass", "runs", "log", str(tmp_path / "out")], tmp_path)
    assert process.returncode == 0, process.stderr
    [late], [early] = mlflow_runs(tmp_path), mlflow_runs(one_process.cwd)[:1]
    assert late.info.status == "FINISHED"
    assert late.info.end_time - late.info.start_time > 1000
    system = ("system/", "rss_mb", "gpu_memory")

    def names(metrics):
        return {name for name in metrics if not name.startswith(system)}

    assert names(late.data.metrics) == names(early.data.metrics) | {"data/repairs"}
    assert late.data.metrics["data/repairs"] == 3
    assert "train/train_corpus.txt: 2 lines left out (first line 9: document id 'a'" in late.data.tags["repairs"]
    assert "class_hierarchy.txt: 1 line left out" in late.data.tags["repairs"]
    report = (tmp_path / "out" / "report.html").read_text()
    assert "Mended, as asked for: class_hierarchy.txt: 1 line left out" in report
    assert process_said.count("repaired ") == 2
    assert late.data.params.keys() == early.data.params.keys()
    assert mlflow_artifacts(tmp_path, late.info.run_id) == mlflow_artifacts(one_process.cwd, early.info.run_id)
    assert late.outputs.model_outputs
    assert len(late.inputs.dataset_inputs) == 2
