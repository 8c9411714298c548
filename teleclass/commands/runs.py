"""``teleclass runs``: list, compare, end, export, import and log the runs of this project's store."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from teleclass.errors import TeleclassError
from teleclass.runtime.console import duration, set_up_console

if TYPE_CHECKING:
    from teleclass.runtime.tracking.runs import RunRecord

METRICS = ("test/example_f1", "test/precision_at_1")
"""What the list shows of each run when nothing else is asked for."""
OF_ONE_PROCESS = ("pid", "process_start")
"""Tags that differ between any two runs."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="teleclass runs", description="List this project's runs; with a command, do something else with them."
    )
    parser.add_argument("--best", metavar="METRIC", help="best first of this metric, as test/example_f1")
    parser.add_argument("--metrics", default=",".join(METRICS), help="the metrics that are shown, separated by commas")
    parser.add_argument("--experiment", default="teleclass", help="the MLflow experiment whose runs are listed")
    parser.add_argument("--limit", type=int, default=50, help="how many runs are listed; 0 lists all")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    compare = commands.add_parser("compare", help="options that differ, and metrics, side by side")
    compare.add_argument("runs", nargs="+", metavar="ID", help="the beginning of a run's id, or its name")
    commands.add_parser("end", help="end runs left RUNNING on this machine by a process that is gone")
    export = commands.add_parser("export", help="write one run, with all it logged, to a folder")
    export.add_argument("run", metavar="ID")
    export.add_argument("folder", type=Path)
    import_ = commands.add_parser("import", help="read an exported run into the store here")
    import_.add_argument("folder", type=Path)
    import_.add_argument("--force", action="store_true", help="though the store has it already")
    log_ = commands.add_parser("log", help="send to the store what MLflow missed while a run was under way")
    log_.add_argument("place", type=Path, metavar="FILE|FOLDER", help="a file of OUTPUT/unlogged, or the output folder")
    options = parser.parse_args(arguments)
    set_up_console()
    if options.command == "compare":
        _compare(options.runs)
    elif options.command == "end":
        _end()
    elif options.command == "export":
        _export(options.run, options.folder)
    elif options.command == "import":
        _import(options.folder, options.force)
    elif options.command == "log":
        _log(options.place)
    else:
        _list(options)
    return 0


def _list(options: argparse.Namespace) -> None:
    from teleclass.runtime.table import Table, print_table
    from teleclass.runtime.tracking import shown_uri
    from teleclass.runtime.tracking.runs import best_first, list_runs

    runs = list_runs(options.experiment)
    if not runs:
        print(f"no run yet in {shown_uri()}; 'python run_experiment.py' makes one")
        return
    shown = [name for name in options.metrics.split(",") if name]
    if options.best:
        runs = best_first(runs, options.best)
        if options.best not in runs[0].metrics:
            raise TeleclassError(f"no run has the metric {options.best!r}{_near(options.best, runs)}")
        shown = [options.best, *(name for name in shown if name != options.best)]
    listed = runs[: options.limit] if options.limit else runs
    ids = {run.run_id for run in listed}
    rows = [_row(run, shown, is_nested=not options.best and run.parent in ids) for run in listed]
    print_table(
        Table(
            ["id", "name", "status", *shown, "started", "took", "data", "preset"],
            rows,
            right=range(3, 3 + len(shown)),
            folded=(1, 5 + len(shown), 6 + len(shown)),
            marked=[0] if options.best else [],
        )
    )
    if len(listed) < len(runs):
        print(f"{len(runs) - len(listed)} more; --limit 0 lists all")
    if any(run.is_left for run in listed):
        print("'left': its process is gone; 'teleclass runs end' ends such runs")


def _row(run: RunRecord, metrics: Sequence[str], is_nested: bool) -> list[str]:
    data = run.params.get("data_dir")
    return [
        run.run_id[:8],
        ("└ " if is_nested else "") + run.name,
        "left" if run.is_left else run.status,
        *(_number(run.metrics.get(name)) for name in metrics),
        f"{datetime.fromtimestamp(run.start / 1000):%y-%m-%d %H:%M}",
        "" if run.seconds is None else duration(run.seconds),
        Path(data).name if data else "sample",
        run.tags.get("preset", ""),
    ]


def _compare(wanted: Sequence[str]) -> None:
    from teleclass.runtime.table import Table, print_table
    from teleclass.runtime.tracking.runs import find_run

    runs = [find_run(one) for one in wanted]
    if len({run.run_id for run in runs}) < 2:
        raise TeleclassError("give two different runs or more to compare")
    header = [run.run_id[:8] for run in runs]
    facts = [{"name": run.name, "status": run.status, **run.tags, **run.params} for run in runs]
    names = dict.fromkeys(name for of_run in facts for name in of_run if name not in OF_ONE_PROCESS)
    rows = [[name, *(of_run.get(name, "–") for of_run in facts)] for name in names]
    rows = [row for row in rows if len(set(row[1:])) > 1]
    print_table(Table(["differs", *header], rows, right=(), folded=range(1 + len(runs))))
    print()
    # Zero in all runs is what a machine without a GPU says of its GPU memory.
    measured = sorted(
        {name for run in runs for name, value in run.metrics.items() if value and not name.startswith("system/")}
    )
    rows = [[name, *(_number(run.metrics.get(name)) for run in runs)] for name in measured]
    print_table(Table(["metric", *header], rows))


def _end() -> None:
    from teleclass.runtime.tracking.runs import end_leftovers

    ended = end_leftovers()
    for run in ended:
        print(f"{run.run_id[:8]} {run.name} ended as KILLED: its process {run.tags['pid']} is gone")
    if not ended:
        print("no run of this machine was left RUNNING")


def _export(wanted: str, folder: Path) -> None:
    from teleclass.runtime.tracking.runs import find_run
    from teleclass.runtime.tracking.transfer import export_run

    run = find_run(wanted)
    export_run(run.run_id, folder)
    print(f"{run.run_id[:8]} {run.name} written to {folder}/; elsewhere: teleclass runs import {folder.name}")


def _import(folder: Path, again: bool) -> None:
    from teleclass.runtime.tracking import shown_uri
    from teleclass.runtime.tracking.transfer import import_run

    print(f"imported as {import_run(folder, again)[:8]} into {shown_uri()}")


def _log(place: Path) -> None:
    from teleclass.runtime.tracking import shown_uri
    from teleclass.runtime.tracking.later import log_file, unlogged_files

    for file in unlogged_files(place):
        found = log_file(file)
        print(f"{found.entries:,} entries of {file} logged as run {found.run_id[:8]} into {shown_uri()}")
        for one in found.left_out:
            print(f"  left out: {one}")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.0f}"


def _near(name: str, runs: Sequence[RunRecord]) -> str:
    import difflib

    near = difflib.get_close_matches(name, {one for run in runs for one in run.metrics}, n=1)
    return f"; did you mean {near[0]}?" if near else ""
