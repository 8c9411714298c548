"""Running phases: which are fresh, which ranks run them, what of each is logged, when each is complete."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from teleclass.config import ExperimentConfig
from teleclass.corpora import tracked_corpora
from teleclass.data.dataset import Dataset, read_dataset
from teleclass.data.mending import Mender
from teleclass.runtime.artifacts import Artifacts, Marker, file_digest, fingerprint
from teleclass.runtime.console import duration, log
from teleclass.runtime.disk import full_disk_is_told, need_space
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.memory import MemoryPeak, peak, reset_gpu_peak, reset_rss_peak
from teleclass.runtime.pulse import activity
from teleclass.runtime.workplace import PhaseTiming, Workplace


@dataclass(frozen=True)
class Phase:
    """One step of the experiment.

    Attributes
    ----------
    run : does the work; takes the workplace and the data, and what ``arguments`` gives.
    arguments : the parts of the configuration that ``run`` is handed.
    inputs, outputs : artifacts, by name.
    depends_on : what else decides the result, and so belongs to the fingerprint.
    version : raised when the phase's results change for the same inputs.
    every_rank : whether all ranks run it, or rank 0 alone while the others wait.
    check : finds faults of its input before any work.
    layout : what decides the result too, but lets a run with another one go on from what an unfinished one has left.
    leftovers : artifacts that only help to go on with an unfinished run; removed when the phase is complete.
    space : bytes that it will write to the output folder, at most, beside what lies there.
    """

    name: str
    run: Callable[..., dict[str, float]]
    arguments: Callable[[ExperimentConfig], tuple]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    depends_on: Callable[[ExperimentConfig, Dataset, Ranks], Any]
    version: int = 1
    every_rank: bool = False
    check: Callable[[ExperimentConfig, Dataset, Ranks], None] = lambda config, data, ranks: None
    layout: Callable[[Ranks], Any] = lambda ranks: None
    leftovers: tuple[str, ...] = ()
    space: Callable[[ExperimentConfig, Dataset, Artifacts], int] = lambda config, data, artifacts: 0


@dataclass(frozen=True)
class Decision:
    """Whether a phase is fresh.

    Attributes
    ----------
    fingerprint : what its marker must carry to be fresh.
    lineage : the same without the phase's layout.
    parts : what the fingerprint was made of, digested one by one, to tell later what changed.
    reusable : the marker of the phase where it is fresh, else None.
    reason : why it is to do; empty where it is fresh.
    """

    phase: Phase
    fingerprint: str
    lineage: str
    parts: dict[str, str]
    reusable: Marker | None
    reason: str


STOPPED = "stopped before it was done the last time"
"""Why a phase is done again whose last attempt could be bettered, as where a language model's server failed."""


def read_and_check(phases: Sequence[Phase], config: ExperimentConfig, ranks: Ranks) -> Dataset:
    """Read the data and find, or mend, the faults of every phase's input, before any work.

    Raises
    ------
    TeleclassError : the first fault that is not mended.
    """
    data = read_dataset(config.data_folder, config.max_documents or None, Mender(config.repair))
    for phase in phases:
        phase.check(config, data, ranks)
    return data


def run_phases(phases: Sequence[Phase], config: ExperimentConfig, data: Dataset, work: Workplace) -> dict[str, float]:
    """Run the phases that are not fresh; every rank calls this.

    A phase is fresh when its completion marker carries the fingerprint of its inputs, its part of the configuration
    and its version, and its outputs have the sizes they were written with.

    Returns
    -------
    the metrics of all phases, reused ones too (empty on other ranks than the first).
    """
    ranks, tracker = work.ranks, work.tracker
    files = {role: file_digest(path) for role, path in data.input_files().items()} if ranks.is_first else {}
    tracker.inputs(tracked_corpora(data, files))
    decisions = decide(phases, config, data, ranks, work.artifacts, files) if ranks.is_first else []
    metrics: dict[str, float] = {}
    work.timings.clear()
    for number, phase in enumerate(phases, start=1):
        decision = decisions[number - 1] if ranks.is_first else None
        if decision and decision.reason == STOPPED:
            log.info("  %s %s; it and what follows are done again", phase.name, STOPPED)
        marker = decision.reusable if decision else None
        title = f"[{number}/{len(phases)}] {phase.name}"
        marker = ranks.from_first(marker)
        if marker is None:
            if ranks.is_first:
                log.info("%s …", title)
                work.artifacts.forget(phase.name)
            marker = _run_phase(phase, config, data, work, decision)
            work.timings.append(PhaseTiming(phase.name, marker.seconds))
            log.info("%s done in %s: %s", title, duration(marker.seconds), "; ".join(work.notes))
        else:
            work.timings.append(PhaseTiming(phase.name, marker.seconds, is_reused=True))
            log.info("%s is fresh, reused", title)
        if ranks.is_first:
            metrics.update(marker.metrics)
            tracker.metrics(marker.metrics)
            tracker.tags(marker.tags)
            tracker.flush()
            for name in phase.leftovers:
                work.artifacts.discard(name)
    tracker.tags({"reused_phases": ", ".join(work.reused) or "none"})
    return metrics


def decide(
    phases: Sequence[Phase],
    config: ExperimentConfig,
    data: Dataset,
    ranks: Ranks,
    artifacts: Artifacts,
    files: dict[str, str],
) -> list[Decision]:
    """Which phases are fresh and which are to do, and why: by the markers in the output folder, before any work.

    Decisions hang on fingerprints, which are known beforehand, and on what lies in folders that are written anew.

    Parameters
    ----------
    files : SHA-256 of the data set's input files by their role.
    """
    prints: dict[str, str] = {}
    made_by: dict[str, str] = {}
    decisions: list[Decision] = []
    cause = ""
    rewritten: dict[Path, str] = {}
    for phase in phases:
        needs = {name: prints[name] for name in phase.inputs}
        own = _plain(phase.depends_on(config, data, ranks))
        lineage = fingerprint(
            phase=phase.name, version=phase.version, files=files, limit=config.max_documents, inputs=needs, own=own
        )
        layout = phase.layout(ranks)
        print_ = lineage if layout is None else fingerprint(lineage=lineage, layout=layout)
        parts = {"version": str(phase.version), "max_documents": str(config.max_documents)}
        parts |= {"options": fingerprint(own=own)} | ({} if layout is None else {"layout": fingerprint(layout=layout)})
        parts |= {f"file {role}": digest for role, digest in files.items()}
        parts |= {f"input {made_by[name]}": digest for name, digest in needs.items()}
        prints.update(dict.fromkeys(phase.outputs, print_))
        made_by.update(dict.fromkeys(phase.outputs, phase.name))
        found = artifacts.marker(phase.name)
        reason = f"follows {cause}" if cause else ""
        if not cause and phase.name == config.force:
            reason, cause = "forced", phase.name
        elif not cause and found is not None and found.is_partial:
            reason, cause = STOPPED, phase.name
        elif not cause:
            reason = _why_stale(found, print_, parts, artifacts.missing(found, phase.outputs) if found else [])
            folders = [one for name in phase.outputs for one in artifacts.path(name).parents if one in rewritten]
            if folders and not reason:  # what it wrote lies in a folder that is about to be written anew
                reason = f"follows {rewritten[folders[0]]}"
        if reason:
            rewritten |= {artifacts.path(name): phase.name for name in phase.outputs}
        decisions.append(Decision(phase, print_, lineage, parts, None if reason else found, reason))
    return decisions


def shared_phases(phases: Sequence[Phase], config: ExperimentConfig, data: Dataset) -> list[Phase]:
    """The phases before the first one that the seed has a part in: several seeds share their results."""
    ranks, other = Ranks.from_environment(), replace(config, seed=config.seed + 1)

    def is_shared(phase: Phase) -> bool:
        return bool(phase.depends_on(config, data, ranks) == phase.depends_on(other, data, ranks))

    return list(takewhile(is_shared, phases))


def _why_stale(found: Marker | None, print_: str, parts: dict[str, str], missing: list[str]) -> str:
    """Why a phase has to be done, in words; empty where it is fresh."""
    if found is None:
        return "not done yet"
    if found.fingerprint == print_:
        return f"outputs missing: {', '.join(missing)}" if missing else ""
    if not found.parts:
        return "inputs or options changed"
    changed = {name for name in parts.keys() | found.parts.keys() if parts.get(name) != found.parts.get(name)}
    reasons = []
    if files := sorted(name.removeprefix("file ") for name in changed if name.startswith("file ")):
        reasons.append(f"inputs changed: {', '.join(files)}")
    words = {"max_documents": "max_documents changed", "options": "options changed",
             "layout": "number of ranks changed", "version": "the method changed with teleclass"}  # fmt: skip
    reasons += [words[name] for name in words if name in changed]
    if not reasons:
        before = [name.removeprefix("input ") for name in parts if name in changed]
        reasons = [f"follows {', '.join(before)}"] if before else []
    return "; ".join(reasons) or "inputs or options changed"


def _run_phase(
    phase: Phase, config: ExperimentConfig, data: Dataset, work: Workplace, decision: Decision | None
) -> Marker:
    """Run one phase on the ranks that take part, log its time and memory, and mark it complete."""
    ranks = work.ranks
    work.notes.clear()
    work.tags.clear()
    work.is_reusable = True
    work.lineage = ranks.from_first(decision.lineage if decision else "")
    work.worker_peak = MemoryPeak(0.0, 0.0)
    activity.phase = phase.name
    reset_gpu_peak()
    reset_rss_peak()
    started = time.perf_counter()
    found: dict[str, float] = {}
    folder, what = work.artifacts.folder, f"phase {phase.name}"
    if ranks.is_first:
        need_space(folder, phase.space(config, data, work.artifacts), what)
    if phase.every_rank or ranks.is_first:
        with full_disk_is_told(folder, what):
            found = phase.run(work, data, *phase.arguments(config))
    seconds = time.perf_counter() - started
    ranks.barrier()
    here = peak()
    memories = ranks.gather(here.with_workers(work.worker_peak))
    rss_mb, gpu_memory_mb, halvings = (max(one) for one in zip(*memories, strict=True))
    if halvings:
        found[f"memory_halvings/{phase.name}"] = float(halvings)
    marker = Marker(
        decision.fingerprint if decision else "", seconds, found, dict(work.tags), is_partial=not work.is_reusable,
        parts=decision.parts if decision else {}, notes=list(work.notes), rss_mb=rss_mb, gpu_memory_mb=gpu_memory_mb,
    )  # fmt: skip
    if ranks.is_first:
        with full_disk_is_told(folder, what):
            work.artifacts.complete(phase.name, marker, phase.outputs)
        spent = {
            f"seconds/{phase.name}": seconds,
            f"rss_mb/{phase.name}": rss_mb,
            f"gpu_memory_mb/{phase.name}": gpu_memory_mb,
        }
        if phase.every_rank:
            spent |= {f"gpu_memory_mb/{phase.name}/rank_{rank}": gpu for rank, (_, gpu, _) in enumerate(memories)}
        work.tracker.metrics(spent)
    return marker


def _plain(value: Any) -> Any:
    """Dataclasses as dictionaries, so that a fingerprint can be taken."""
    if hasattr(value, "__dataclass_fields__"):
        return asdict(value)
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
