"""Running phases: which are fresh, which ranks run them, what of each is logged, when each is complete."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from teleclass.config import ExperimentConfig
from teleclass.data.dataset import Dataset
from teleclass.runtime.artifacts import Marker, file_digest, fingerprint
from teleclass.runtime.console import duration, log
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.memory import MemoryPeak, peak, reset_gpu_peak, reset_rss_peak
from teleclass.runtime.tracking import TrackedCorpus
from teleclass.runtime.workplace import Workplace


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
    prints: dict[str, str] = {}
    metrics: dict[str, float] = {}
    work.reused.clear()
    forced = False
    for number, phase in enumerate(phases, start=1):
        forced = forced or phase.name == config.force
        marker = None
        if ranks.is_first:
            needs = {name: prints[name] for name in phase.inputs}
            own = _plain(phase.depends_on(config, data, ranks))
            print_ = fingerprint(
                phase=phase.name, version=phase.version, files=files, limit=config.max_documents, inputs=needs, own=own
            )
            prints.update(dict.fromkeys(phase.outputs, print_))
            found = work.artifacts.marker(phase.name)
            if found is not None and found.is_partial and not forced:
                log.info(
                    "  %s stopped before it was done the last time; it and what follows are done again", phase.name
                )
                forced = True
            if found is not None and not forced and found.fingerprint == print_:
                marker = found if work.artifacts.is_complete(found, phase.outputs) else None
        title = f"[{number}/{len(phases)}] {phase.name}"
        marker = ranks.from_first(marker)
        if marker is None:
            if ranks.is_first:
                log.info("%s …", title)
                work.artifacts.forget(phase.name)
            marker = _run_phase(phase, config, data, work, prints.get(phase.outputs[0], ""))
            log.info("%s done in %s: %s", title, duration(marker.seconds), "; ".join(work.notes))
        else:
            work.reused.append(phase.name)
            log.info("%s is fresh, reused", title)
        if ranks.is_first:
            metrics.update(marker.metrics)
            tracker.metrics(marker.metrics)
            tracker.tags(marker.tags)
            tracker.flush()
    tracker.tags({"reused_phases": ", ".join(work.reused) or "none"})
    return metrics


def _run_phase(phase: Phase, config: ExperimentConfig, data: Dataset, work: Workplace, print_: str) -> Marker:
    """Run one phase on the ranks that take part, log its time and memory, and mark it complete."""
    ranks = work.ranks
    work.notes.clear()
    work.tags.clear()
    work.is_reusable = True
    work.worker_peak = MemoryPeak(0.0, 0.0)
    reset_gpu_peak()
    reset_rss_peak()
    started = time.perf_counter()
    found: dict[str, float] = {}
    if phase.every_rank or ranks.is_first:
        found = phase.run(work, data, *phase.arguments(config))
    seconds = time.perf_counter() - started
    ranks.barrier()
    here = peak()
    memories = ranks.gather((max(here.rss_mb, work.worker_peak.rss_mb), max(here.gpu_mb, work.worker_peak.gpu_mb)))
    rss_mb, gpu_memory_mb = (max(one) for one in zip(*memories, strict=True))
    marker = Marker(
        print_, seconds, found, dict(work.tags), is_partial=not work.is_reusable, notes=list(work.notes),
        rss_mb=rss_mb, gpu_memory_mb=gpu_memory_mb,
    )  # fmt: skip
    if ranks.is_first:
        work.artifacts.complete(phase.name, marker, phase.outputs)
        spent = {
            f"seconds/{phase.name}": seconds,
            f"rss_mb/{phase.name}": rss_mb,
            f"gpu_memory_mb/{phase.name}": gpu_memory_mb,
        }
        if phase.every_rank:
            spent |= {f"gpu_memory_mb/{phase.name}/rank_{rank}": gpu for rank, (_, gpu) in enumerate(memories)}
        work.tracker.metrics(spent)
    return marker


def tracked_corpora(data: Dataset, digests: Mapping[str, str]) -> list[TrackedCorpus]:
    """The training and the test corpus for the tracker.

    Parameters
    ----------
    digests : SHA-256 of the input files by their role; none of a file that this rank did not read.
    """
    corpus = data.corpus
    parts = (("train_corpus", "training", corpus.texts[: corpus.n_train]),
             ("test_corpus", "test", corpus.texts[corpus.n_train :]))  # fmt: skip
    return [
        TrackedCorpus(
            name=f"{data.folder.resolve().name} {context}",
            context=context,
            # MLflow shows the counts that came first with a digest, so all that they come from is part of it.
            digest=fingerprint(
                corpus=digests[role], classes=digests["classes"], hierarchy=digests.get("hierarchy"),
                documents=len(texts),
            ),
            source=data.input_files()[role],
            profile={
                "documents": len(texts),
                "empty": sum(not text for text in texts),
                "classes": data.taxonomy.n_classes,
            },
        )
        for role, context, texts in parts
        if role in digests
    ]  # fmt: skip


def _plain(value: Any) -> Any:
    """Dataclasses as dictionaries, so that a fingerprint can be taken."""
    if hasattr(value, "__dataclass_fields__"):
        return asdict(value)
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
