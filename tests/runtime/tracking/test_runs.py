import subprocess
import sys

import pytest
from tracked import client_of, started

from teleclass.errors import TeleclassError
from teleclass.runtime.tracking import PARENT_VARIABLE
from teleclass.runtime.tracking.owner import owner_tags
from teleclass.runtime.tracking.runs import best_first, end_leftovers, find_run, list_runs


def finished(params=None, metrics=None, status="FINISHED", **config):
    tracker, run_id = started(params, **config)
    tracker.metrics(metrics or {})
    tracker.end(status)
    return run_id


def ended_process():
    """Tags of a process of this machine that is no more."""
    code = "from teleclass.runtime.tracking.owner import owner_tags; print(owner_tags())"
    return eval(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def test_runs_are_listed_newest_first_with_children_below_their_parent(here, monkeypatch):
    older = finished(experiment="listed", run_name="older")
    parent, parent_id = started(experiment="listed", run_name="parent")
    monkeypatch.setenv(PARENT_VARIABLE, parent_id)
    children = [finished(experiment="listed", run_name=f"seed {seed}") for seed in (1, 2)]
    monkeypatch.delenv(PARENT_VARIABLE)
    parent.end("FAILED")
    newer = finished({"data_dir": "d"}, {"test/mrr": 0.5}, experiment="listed", run_name="newer")
    runs = list_runs("listed")
    assert [run.run_id for run in runs] == [newer, parent_id, *children, older]
    assert (runs[0].params["data_dir"], runs[0].metrics["test/mrr"]) == ("d", 0.5)
    assert [run.status for run in runs[:2]] == ["FINISHED", "FAILED"]
    assert runs[2].parent == parent_id
    assert 0 <= runs[0].seconds < 60


def test_the_best_comes_first_high_or_low_as_the_metric_is_meant_and_runs_without_it_last(here):
    for name, metrics in (("none", {}), ("slow", {"test/mrr": 0.9, "seconds/total": 50.0}),
                          ("fast", {"test/mrr": 0.2, "seconds/total": 4.0})):  # fmt: skip
        finished(None, metrics, experiment="best", run_name=name)
    runs = list_runs("best")
    assert [run.name for run in best_first(runs, "test/mrr")] == ["slow", "fast", "none"]
    assert [run.name for run in best_first(runs, "seconds/total")] == ["fast", "slow", "none"]


def test_a_run_is_found_by_the_beginning_of_its_id_or_its_name(here):
    run_id = finished(experiment="found", run_name="the only one of this name")
    assert find_run(run_id[:12]).run_id == run_id
    assert find_run("the only one of this name").run_id == run_id
    finished(experiment="found", run_name="the only one of this name")
    with pytest.raises(TeleclassError, match="is said of 2 runs"):
        find_run("the only one of this name")
    with pytest.raises(TeleclassError, match="no run 'zzz'"):
        find_run("zzz")


def test_an_experiment_that_is_not_there_names_those_that_are(here):
    finished(experiment="one that is")
    with pytest.raises(TeleclassError, match=r"no experiment 'none'.*one that is"):
        list_runs("none")


def test_without_a_store_there_are_no_runs_and_none_is_made(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert list_runs("teleclass") == []
    assert end_leftovers() == []
    assert list(tmp_path.iterdir()) == []


def test_runs_whose_process_is_gone_are_ended_and_no_others(here):
    left, left_id = started()
    left.tags(ended_process())
    working, working_id = started()
    elsewhere, elsewhere_id = started()
    elsewhere.tags(owner_tags() | {"host": "another", "process_start": "0/0"})
    assert find_run(left_id).is_left
    assert left_id in [run.run_id for run in end_leftovers()]
    client = client_of(here)
    ended = client.get_run(left_id)
    assert ended.info.status == "KILLED"
    assert ended.info.end_time
    assert [client.get_run(one).info.status for one in (working_id, elsewhere_id)] == ["RUNNING", "RUNNING"]
    assert left_id not in [run.run_id for run in end_leftovers()]
    for tracker in (left, working, elsewhere):
        tracker.end("KILLED")
