"""The same experiment with several seeds: a run of MLflow for each, below one that has their means."""

from __future__ import annotations

import csv
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from teleclass.config import ExperimentConfig, flatten
from teleclass.corpora import tracked_corpora
from teleclass.data.dataset import Dataset
from teleclass.errors import TeleclassError
from teleclass.execution import Phase, shared_phases
from teleclass.runtime.artifacts import Artifacts, file_digest
from teleclass.runtime.console import duration, log
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.facts import software_tags
from teleclass.runtime.launcher import is_launched, launch
from teleclass.runtime.lock import only_writer
from teleclass.runtime.processes import Stopped, run_group, signals_raise, undisturbed
from teleclass.runtime.table import Table, print_table
from teleclass.runtime.tracking import PARENT_VARIABLE, Tracker

SUMMARISED = ("test/", "label/")
"""Groups of metrics whose means and deviations over the seeds are told."""


def run_seeds(
    config: ExperimentConfig,
    arguments: Sequence[str],
    phases: Sequence[Phase],
    data: Dataset,
    n_ranks: int,
    device_ids: Sequence[int] | None = None,
) -> tuple[Artifacts, dict[str, float]]:
    """Run the experiment once for each of ``config.seeds``, each in processes of its own and its own output folder.

    A phase that does not depend on the seed is done once: the other folders get links to what it wrote. Where a
    launcher has started this process as one of its ranks, each rank runs its part of every seed in turn.

    Parameters
    ----------
    arguments : the command line that ``config`` was made from.
    n_ranks, device_ids : as :func:`~teleclass.runtime.launcher.launch` takes them.

    Returns
    -------
    the first seed's output folder; mean of every metric by its name, and standard deviation by its name with
    ``_std`` (nothing on other ranks than the first).

    Raises
    ------
    TeleclassError : an experiment failed; the results of those before it stay, and are reused.
    """
    started = time.perf_counter()
    seeds = config.all_seeds()
    is_first = Ranks.from_environment().is_first
    folders = [Artifacts(Path(config.output_dir) / f"seed_{seed}") for seed in seeds]
    shared = shared_phases(phases, config, data)
    tracker = Tracker(config.tracking, Path(config.output_dir))
    means: dict[str, float] = {}
    status = "FAILED"
    with only_writer(Path(config.output_dir)) if is_first else nullcontext(), signals_raise():
        try:
            if is_first:
                tracker.end_leftovers()
                params = {name: value for name, value in flatten(config).items() if name != "seed"}
                tracker.start(params, software_tags() | {"preset": config.preset})
                digests = {role: file_digest(path) for role, path in data.input_files().items()}
                tracker.inputs(tracked_corpora(data, digests))
            for number, (seed, folder) in enumerate(zip(seeds, folders, strict=True)):
                log.info("seed %d (%d of %d) in %s/", seed, number + 1, len(seeds), folder.folder)
                if is_first:
                    _borrow(folder, folders[number - 1] if number else Artifacts(Path(config.output_dir)), shared)
                own = [*arguments, *_options_of(seed, folder, config, tracker.run_name)]
                if number and config.force in {phase.name for phase in shared}:
                    own.append(f"--force={phases[len(shared)].name}")
                if code := _run(own, number, tracker.run_id, n_ranks, device_ids):
                    raise TeleclassError(
                        f"the experiment with seed {seed} ended with status {code}; its messages say why, and the "
                        "same command goes on from there"
                    )
            if is_first:
                found = [_metrics(folder, phases) for folder in folders]
                means = _summarise(config, seeds, found, tracker, time.perf_counter() - started)
            status = "FINISHED"
        except (KeyboardInterrupt, Stopped):
            status = "KILLED"
            raise
        finally:
            with undisturbed():
                tracker.end(status)
    return folders[0], means


def _borrow(folder: Artifacts, lender: Artifacts, phases: Sequence[Phase]) -> None:
    """Link what another seed's phases wrote; whether it fits is for each phase's fingerprint to say."""
    for phase in phases:
        if not folder.borrow(lender, phase.name, phase.outputs):
            return


def _options_of(seed: int, folder: Artifacts, config: ExperimentConfig, parent_name: str) -> list[str]:
    """What one seed's experiment is told beyond the command line; the last word of an option counts."""
    options = ["--seeds=", f"--seed={seed}", f"--output_dir={folder.folder}"]
    name = config.tracking.run_name or parent_name
    return options + ([f"--tracking.run_name={name}-seed_{seed}"] if name else [])


def _run(
    arguments: Sequence[str], number: int, parent: str | None, n_ranks: int, device_ids: Sequence[int] | None
) -> int:
    """One seed's experiment to its end; returns its exit status."""
    more = {PARENT_VARIABLE: parent} if parent else {}
    if n_ranks > 1 or device_ids:
        return launch(arguments, n_ranks, device_ids, more)
    if is_launched() and "MASTER_PORT" in os.environ:
        # The ranks meet anew for each seed; a slow end of the last meeting must not be taken for the next.
        more["MASTER_PORT"] = str(int(os.environ["MASTER_PORT"]) + 1 + number)
    return run_group([sys.executable, "-m", "teleclass", "run", *arguments], os.environ | more)


def _metrics(folder: Artifacts, phases: Sequence[Phase]) -> dict[str, float]:
    """What one seed's phases found out about labels and predictions, by MLflow's names."""
    markers = [marker for phase in phases if (marker := folder.marker(phase.name))]
    return {name: value for marker in markers for name, value in marker.metrics.items() if name.startswith(SUMMARISED)}


def _summarise(
    config: ExperimentConfig, seeds: Sequence[int], found: Sequence[Mapping[str, float]], tracker: Tracker,
    seconds: float,
) -> dict[str, float]:  # fmt: skip
    """Log, write and print means and deviations over the seeds; returns them by metric."""
    names = sorted(set.intersection(*(set(metrics) for metrics in found)))
    values = {name: [metrics[name] for metrics in found] for name in names}
    summary = summary_of(values)
    tracker.metrics(summary | {"seconds/total": seconds})
    columns: dict[str, list] = {"metric": names, "mean": [summary[name] for name in names]}
    columns["std"] = [summary.get(f"{name}_std", float("nan")) for name in names]
    columns |= {f"seed_{seed}": [values[name][number] for name in names] for number, seed in enumerate(seeds)}
    tracker.table("seeds", columns)
    file = Path(config.output_dir) / "metrics_by_seed.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    tracker.artifact(file)
    rows = [
        [row[0], *("–" if value != value else f"{value:.4f}" for value in row[1:])]
        for row in zip(*columns.values(), strict=True)
        if str(row[0]).startswith("test/")
    ]
    print_table(Table(list(columns), rows), sys.stderr)
    log.info("%d seeds finished in %s; each has its folder in %s/, means and deviations are in %s", len(seeds),
             duration(seconds), config.output_dir, file)  # fmt: skip
    return summary


def summary_of(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Mean of each metric and, with two values or more, their sample standard deviation under ``NAME_std``."""
    summary = {}
    for name, of_seeds in values.items():
        summary[name] = statistics.fmean(of_seeds)
        if len(of_seeds) > 1:
            summary[f"{name}_std"] = statistics.stdev(of_seeds)
    return summary
