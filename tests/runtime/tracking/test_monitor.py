import threading
import time

import pytest
from tracked import client_of, started

from teleclass.runtime.tracking import monitor


def system_metrics(folder, run_id):
    return {name for name in client_of(folder).get_run(run_id).data.metrics if name.startswith("system/")}


def sampling():
    return [one for one in threading.enumerate() if one.name == "SystemMetricsMonitor"]


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_the_machine_is_sampled_until_the_end_and_the_end_is_the_runs_own(here, monkeypatch, status):
    monkeypatch.setattr(monitor, "SECONDS", 0.05)
    tracker, run_id = started()
    tracker.watch_node(run_id, node=0, n_nodes=1)
    deadline = time.monotonic() + 20
    while not system_metrics(here, run_id) and time.monotonic() < deadline:
        time.sleep(0.05)
    tracker.end(status)
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= system_metrics(here, run_id)
    assert sampling() == []
    assert client_of(here).get_run(run_id).info.status == status


def test_a_short_run_logs_no_sample_and_waits_for_none(here):
    tracker, run_id = started()
    tracker.watch_node(run_id, node=0, n_nodes=1)
    assert len(sampling()) == 1
    before = time.monotonic()
    tracker.end("FINISHED")
    assert time.monotonic() - before < 5
    assert system_metrics(here, run_id) == set()


def test_several_machines_are_told_apart_by_name(here, monkeypatch):
    monkeypatch.setattr(monitor, "SECONDS", 0.05)
    tracker, run_id = started()
    tracker.watch_node(run_id, node=0, n_nodes=2)
    deadline = time.monotonic() + 20
    while not system_metrics(here, run_id) and time.monotonic() < deadline:
        time.sleep(0.05)
    tracker.end("FINISHED")
    assert "system/node_0/cpu_utilization_percentage" in system_metrics(here, run_id)


@pytest.mark.parametrize(("node", "more"), [(0, {"system_metrics": False}), (1, {})])
def test_nothing_is_sampled_when_told_so_or_into_another_machines_sqlite_file(here, node, more):
    tracker, run_id = started(**more)
    tracker.watch_node(run_id, node=node, n_nodes=2)
    assert sampling() == []
    tracker.end("FINISHED")
