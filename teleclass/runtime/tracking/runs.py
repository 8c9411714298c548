"""The runs of the store: listing them, finding one, and ending those whose process is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from teleclass.errors import TeleclassError
from teleclass.runtime.tracking.owner import is_gone
from teleclass.runtime.tracking.store import has_store, open_store, shown_uri

LOWER_IS_BETTER = ("seconds/", "rss_mb/", "gpu_memory_mb/", "train/loss", "train/final_loss", "label/starved_classes")
"""Beginnings of the names of metrics that are better when they are lower."""


@dataclass(frozen=True)
class RunRecord:
    """A run as the store has it.

    Attributes
    ----------
    start : milliseconds since 1970.
    seconds : from start to end; None while it runs.
    parent : the id of the run that it is nested below; empty without one.
    is_left : whether it says RUNNING and its process, on this machine, is gone.
    """

    run_id: str
    name: str
    status: str
    start: int
    seconds: float | None
    parent: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    @property
    def is_left(self) -> bool:
        return self.status == "RUNNING" and is_gone(self.tags)


def list_runs(experiment: str, limit: int = 1000) -> list[RunRecord]:
    """The newest runs of an experiment, newest first, those of a sweep below their parent.

    Raises
    ------
    TeleclassError : there is no such experiment in the store.
    """
    if not has_store():
        return []
    client = open_store()
    found = client.get_experiment_by_name(experiment)
    if found is None:
        others = ", ".join(one.name for one in client.search_experiments())
        raise TeleclassError(f"no experiment {experiment!r} in {shown_uri()}; it has {others}")
    runs = [_record(run) for run in _search(client, [found.experiment_id], limit)]
    present = {run.run_id for run in runs}
    children: dict[str, list[RunRecord]] = {}
    for run in runs:
        if run.parent in present:
            children.setdefault(run.parent, []).insert(0, run)
    top = [run for run in runs if run.parent not in present]
    return [one for run in top for one in (run, *children.get(run.run_id, []))]


def find_run(wanted: str) -> RunRecord:
    """The one run whose id begins so, or which is called so.

    Raises
    ------
    TeleclassError : there is none, or there are several.
    """
    found = []
    if has_store():
        client = open_store()
        records = [_record(run) for run in _search(client, _experiments(client))]
        found = [run for run in records if run.run_id.startswith(wanted)] if wanted else []
        found = found or [run for run in records if run.name == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(run.run_id[:8] for run in found[:5])
        raise TeleclassError(f"{wanted!r} is said of {len(found)} runs ({several} …); give more of the id")
    raise TeleclassError(f"no run {wanted!r} in {shown_uri()}; 'teleclass runs' lists them")


def best_first(runs: Sequence[RunRecord], metric: str) -> list[RunRecord]:
    """Runs from the best to the worst of a metric; those without it come last."""
    sign = 1 if metric.startswith(LOWER_IS_BETTER) else -1
    return sorted(runs, key=lambda run: (metric not in run.metrics, sign * run.metrics.get(metric, 0.0)))


def end_leftovers(experiment: str = "") -> list[RunRecord]:
    """End, as KILLED, the runs that say RUNNING and whose process on this machine is gone; returns them.

    Parameters
    ----------
    experiment : the MLflow experiment whose runs are meant; every one's when empty.
    """
    if not has_store():
        return []
    client = open_store()
    searched = _experiments(client)
    if experiment:
        found = client.get_experiment_by_name(experiment)
        searched = [found.experiment_id] if found is not None else []
    running = _search(client, searched, words="attributes.status = 'RUNNING'") if searched else []
    left = [run for run in map(_record, running) if run.is_left]
    for run in left:
        client.set_terminated(run.run_id, "KILLED")
    return left


def _experiments(client: Any) -> list[str]:
    return [one.experiment_id for one in client.search_experiments()]


def _search(client: Any, experiments: list[str], limit: int = 100_000, words: str = "") -> list[Any]:
    """Runs, newest first, a page after the other."""
    runs: list[Any] = []
    token = None
    while len(runs) < limit:
        page = client.search_runs(
            experiments, words, max_results=min(1000, limit - len(runs)), order_by=["attributes.start_time DESC"],
            page_token=token,
        )  # fmt: skip
        runs.extend(page)
        token = page.token
        if not token:
            break
    return runs


def _record(run: Any) -> RunRecord:
    info, tags = run.info, run.data.tags
    return RunRecord(
        run_id=info.run_id,
        name=info.run_name or "",
        status=info.status,
        start=info.start_time,
        seconds=None if info.end_time is None else (info.end_time - info.start_time) / 1000,
        parent=tags.get("mlflow.parentRunId", ""),
        params=run.data.params,
        metrics=run.data.metrics,
        tags={name: value for name, value in tags.items() if not name.startswith("mlflow.")},
    )
