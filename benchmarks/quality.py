"""Label quality on any data folders that have gold: ``python -m benchmarks.quality DATA_DIR … --seeds 42,43,44``.

The experiment, the label model with one part exchanged at a time, what a user would pick today, and the supervised
bound, all from the same embeddings. A line is printed as each ends, a table a data set at the end. What the JSON file
holds already is not measured again, so that a measurement that was stopped goes on with the same command.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.evaluation import LeftOut
from benchmarks.experiments import DataSet
from benchmarks.folders import folder_name, has_keywords, name_folders, without_keywords
from benchmarks.methods import METHODS, parse_methods
from benchmarks.results import Result, Results, machine, now, versions
from benchmarks.table import table
from teleclass.errors import TeleclassError
from teleclass.runtime.console import duration, set_up_console
from teleclass.runtime.devices import set_up_torch


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status: 2 for anything the user can mend, 1 where an experiment failed."""
    set_up_console()
    set_up_torch()
    options = _parser().parse_args(arguments)
    try:
        return _measure_all(options)
    except TeleclassError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130


def _measure_all(options: argparse.Namespace) -> int:
    seeds, methods = _seeds(options.seeds), parse_methods(options.methods)
    given = shlex.split(options.experiment_options)
    folders = name_folders(options.data_dir)
    if options.without_keywords:
        for name, folder in list(folders.items()):
            if has_keywords(folder):
                alone = f"{name} (names only)"
                folders[alone] = without_keywords(folder, options.work.absolute() / "names_only" / folder_name(name))
    results = Results(options.output)
    # All are read first: a fault in the last is told before hours are spent on the others.
    data_sets = [DataSet(name, folder, options.work, given, options.again) for name, folder in folders.items()]
    tables, failed = [], False
    for data in data_sets:
        own: list[Result] = []
        for method in methods:
            for seed in seeds if METHODS[method].draws else [None]:
                try:
                    own.append(_measure(data, method, seed, seeds[0], results, options))
                except TeleclassError as error:
                    failed = True
                    own.append(Result(data.name, method, seed, {}, "failed"))
                    print(f"{_title(data, method, seed)}: failed: {error}", file=sys.stderr, flush=True)
        tables.append(table(data.name, own))
    text = "\n".join(tables)
    print(f"\n{text}", end="")
    if options.table:
        options.table.parent.mkdir(parents=True, exist_ok=True)
        options.table.write_text(text, "utf-8")
    return 1 if failed else 0


def _measure(
    data: DataSet, method: str, seed: int | None, first_seed: int, results: Results, options: argparse.Namespace
) -> Result:
    """One method by one seed, taken from the results or measured and added to them."""
    title = _title(data, method, seed)
    found = None if options.again else results.find(data.name, method, seed, data.fingerprint)
    if found is not None:
        print(f"{title}: {_figures(found)}, measured {found.date}", flush=True)
        return found
    started = time.perf_counter()
    metrics: dict[str, float] = {}
    reason = ""
    try:
        metrics = METHODS[method].measure(data, first_seed if seed is None else seed)
    except LeftOut as why:
        reason = str(why)
    result = Result(
        data.name, method, seed, metrics, reason, round(time.perf_counter() - started, 2),
        options.experiment_options, data.fingerprint, now(), machine(), versions(),
    )  # fmt: skip
    results.add(result)
    print(f"{title}: {_figures(result) if metrics else reason} ({duration(result.seconds)})", flush=True)
    return result


def _title(data: DataSet, method: str, seed: int | None) -> str:
    return f"{data.name}, {method}" + ("" if seed is None else f", seed {seed}")


def _figures(result: Result) -> str:
    return f"example_f1 {result.metrics['example_f1']:.4f}, P@1 {result.metrics['precision_at_1']:.4f}"


def _seeds(text: str) -> list[int]:
    pieces = [piece.strip() for piece in text.split(",") if piece.strip()]
    if not pieces or not all(piece.isascii() and piece.isdigit() for piece in pieces):
        raise TeleclassError(f"seeds: {text!r} is no list of numbers; write for example 42,43,44")
    return list(dict.fromkeys(int(piece) for piece in pieces))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description="Label quality of teleclass, of its parts and of what else a user would pick, by gold.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("data_dir", nargs="+", help="data folders with gold labels, of either layout")
    add("--seeds", default="42", help="for methods that draw anything, for example 42,43,44")
    add("--methods", default="", help=f"some of: {', '.join(METHODS)}; all by default")
    add("--work", type=Path, default=Path(".quality"), help="folder for experiments; may be removed (.quality)")
    add(
        "--output", type=Path, default=Path("benchmarks/results/quality.json"),
        help="every value, as JSON (benchmarks/results/quality.json)",
    )  # fmt: skip
    add("--table", type=Path, help="write the tables to this Markdown file too")
    add("--without_keywords", action="store_true", help="also measure each data set with class names alone")
    add(
        "--experiment_options", default="", metavar="OPTIONS",
        help='more options of the experiment, as one argument: "--training.max_steps 100"; paths in full',
    )  # fmt: skip
    add("--again", action="store_true", help="measure again what is there; experiments anew from their second phase")
    return parser


if __name__ == "__main__":
    sys.exit(main())
