"""A dry run: everything is read and checked as a real run would, and told what it would do; nothing is written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from teleclass.config import ExperimentConfig, flatten, parse_arguments, to_yaml
from teleclass.data.dataset import Dataset
from teleclass.errors import TeleclassError
from teleclass.estimate import Estimate, estimate, estimate_from_last_run
from teleclass.execution import Decision, Phase, decide, read_and_check, shared_phases
from teleclass.runtime.artifacts import Artifacts, file_digest
from teleclass.runtime.console import duration
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.table import Table, print_lines, print_table


def show_plan(phases: Sequence[Phase], config: ExperimentConfig, n_ranks: int = 1) -> None:
    """Print the resolved configuration and each phase as fresh or to do, with an estimate of its time.

    The configuration goes to standard output as YAML that ``--config`` reads. Where that is not a terminal, all else
    stands in comments, so that the whole can be kept as a file.

    Parameters
    ----------
    n_ranks : processes that a launcher would be started for; under a launcher it is 1, and those that run count.

    Raises
    ------
    TeleclassError : what the real run would stop at before its work.
    """
    ranks = Ranks(world_size=n_ranks, local_world_size=n_ranks) if n_ranks > 1 else Ranks.from_environment()
    data = read_and_check(phases, config, ranks)
    if not ranks.is_first:
        return
    plans = _plans(phases, config, data, ranks)
    measured: Estimate | None = None
    print(to_yaml(replace(config, dry_run=False)), flush=True)
    prefix = "" if sys.stdout.isatty() else "# "
    seconds, sources = 0.0, set()
    for own, decisions in plans:
        expected = None
        to_do = [decision.phase.name for decision in decisions if decision.reason]
        if to_do:
            expected = estimate_from_last_run(own, data, ranks.world_size) or measured
            expected = expected or (measured := estimate(own, data, ranks.world_size))
            seconds += sum(expected.seconds[name] for name in ("start", *to_do))
            sources.add(expected.source)
        if len(plans) > 1:
            print_lines([f"seed {own.seed}, in {own.output_dir}/"], sys.stdout, prefix)
        print_table(plan_table(decisions, expected), sys.stdout, prefix)
    repairs = [f"repaired {line}" for line in data.mender.summary(data.folder)]
    print_lines(repairs + _remarks(config, ranks, seconds, sources), sys.stdout, prefix)


def _plans(
    phases: Sequence[Phase], config: ExperimentConfig, data: Dataset, ranks: Ranks
) -> list[tuple[ExperimentConfig, list[Decision]]]:
    """What is to be done for each seed, with its own configuration; one plan where no seeds are listed.

    Phases that the seed has no part in are done once: the folder of a seed is lent what the one before it has, and
    the first what the output folder itself has, as :mod:`teleclass.sweep` does it.
    """
    files = {role: file_digest(path) for role, path in data.input_files().items()}

    def decided(own: ExperimentConfig, folder: str) -> list[Decision]:
        return decide(phases, own, data, ranks, Artifacts(Path(folder)), files)

    if not config.seeds:
        return [(config, decided(config, config.output_dir))]
    shared = shared_phases(phases, config, data)
    plans = []
    for number, seed in enumerate(config.all_seeds()):
        folder = str(Path(config.output_dir) / f"seed_{seed}")
        own = replace(config, seed=seed, seeds="", output_dir=folder)
        if number and config.force in {phase.name for phase in shared}:
            own = replace(own, force=phases[len(shared)].name)
        decisions = decided(own, folder)
        lent = [replace(one, reason="") for one in decisions] if number else decided(own, config.output_dir)
        lender = Artifacts(Path(config.output_dir))
        for place, phase in enumerate(shared):
            marker = lender.marker(phase.name)
            if not number and (marker is None or lender.missing(marker, phase.outputs)):
                break
            decisions[place] = lent[place]
        plans.append((own, decisions))
    return plans


def plan_table(decisions: Sequence[Decision], expected: Estimate | None) -> Table:
    """A row a phase: fresh or to do, why, and for how long."""
    rows = []
    for number, decision in enumerate(decisions, start=1):
        name = decision.phase.name
        seconds = f"about {duration(expected.seconds[name])}" if expected and decision.reason else ""
        state = ("to do", decision.reason) if decision.reason else ("fresh", "")
        rows.append((f"[{number}/{len(decisions)}] {name}", *state, seconds))
    return Table(("phase", "state", "why", "estimate"), tuple(rows), right=(3,))


def _remarks(config: ExperimentConfig, ranks: Ranks, seconds: float, sources: set[str]) -> list[str]:
    lines = []
    if changes := _changes_since_last_run(config):
        lines.append(f"changed since the last run in {config.output_dir}/: {'; '.join(changes)}")
    if ranks.world_size > 1:
        lines.append(f"a real run would have {ranks.world_size} ranks")
    if not sources:
        lines.append("every phase is fresh: a real run would only read the results")
    else:
        lines.append(f"about {duration(seconds)} in all, an estimate from {' and '.join(sorted(sources))}")
        if config.llm.enabled:
            lines.append("the language model's time is not part of it")
    lines.append("dry run: nothing was written")
    return lines


def _changes_since_last_run(config: ExperimentConfig) -> list[str]:
    """Options that differ from those the output folder was made with."""
    file = Artifacts(Path(config.output_dir)).path("config")
    if not file.exists():
        return []
    try:
        before = flatten(parse_arguments(["--config", str(file)]))
    except TeleclassError:  # written by another version
        return []
    left_out = ("dry_run", "force", "output_dir")
    return [
        f"{name} {before[name]!r} → {value!r}"
        for name, value in flatten(config).items()
        if name not in left_out and before.get(name) != value
    ]
