"""The encoder as a program of its own: worker processes, one a device, that write into one memory-mapped file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from teleclass.data.texts import Texts
from teleclass.model.encoder_workers import EncoderSettings, EncoderWorkers
from teleclass.model.shards import ShardJournal
from teleclass.runtime.disk import allocate_rows
from teleclass.runtime.memory import MemoryPeak
from teleclass.runtime.standstill import DEADLINES, SupervisionConfig


@dataclass(frozen=True)
class EncodingReport:
    """What an encoding run did.

    Attributes
    ----------
    seconds : of wall time, from the first worker that had its model loaded to the last vector.
    peak : the workers' highest.
    """

    documents: int
    seconds: float
    dtype: str
    peak: MemoryPeak

    @property
    def documents_per_second(self) -> float:
        return self.documents / self.seconds if self.seconds else 0.0


def chunks_of(texts: Sequence[str]) -> list[np.ndarray]:
    """Cut documents into chunks of like length, longest first.

    A chunk is what a worker takes at a time. The cut depends on the texts alone, never on the number of workers, so
    that a document meets the same neighbours, and gets the same vector, whatever the split.
    """
    size = int(np.clip(len(texts) // 32, 64, 8192))
    order = np.argsort(-Texts.of(texts).characters, kind="stable")
    return [order[start : start + size] for start in range(0, len(order), size)]


def encode_texts(
    texts: Sequence[str],
    out: Path,
    model: Path,
    devices: Sequence[str],
    tokens_per_batch: int = 0,
    max_tokens: int = 0,
    share: tuple[int, int] = (0, 1),
    journal: ShardJournal | None = None,
    supervision: SupervisionConfig = DEADLINES,
) -> EncodingReport:
    """Encode texts with one worker process a device, into rows of an existing ``.npy`` file.

    Parameters
    ----------
    texts : N documents.
    out : a float32 ``.npy`` file of shape (N, D), see :func:`create_rows`.
    devices : ``cpu`` or ``cuda:N``, one entry a worker; each takes batches of its own, so that the tokens computed
        at once grow with the devices.
    share : (machine, machines): this machine takes every ``machines``-th chunk.
    journal : of the rows in ``out``; chunks that it has are left out, and those that are written are marked.

    Raises
    ------
    WorkerError : a worker died or stands still; the others are stopped, and written chunks stay marked.
    """
    done = journal.done() if journal else set()
    chunks = list(enumerate(chunks_of(texts)))[share[0] :: share[1]]
    mine = [(number, chunk) for number, chunk in chunks if number not in done]
    if not mine:  # more machines than chunks, or all were written before
        return EncodingReport(0, 0.0, "", MemoryPeak(0.0, 0.0))
    settings = EncoderSettings(model, out, tokens_per_batch, max_tokens)
    with EncoderWorkers(settings, devices[: len(mine)], supervision) as workers:
        seconds = workers.encode(mine, texts, journal)
        peaks = workers.finish()
    return EncodingReport(
        documents=sum(len(chunk) for _, chunk in mine),
        seconds=seconds,
        dtype=" and ".join(sorted(workers.dtypes)),
        peak=MemoryPeak(max(p.rss_mb for p in peaks), max(p.gpu_mb for p in peaks), sum(p.halvings for p in peaks)),
    )


def create_rows(path: Path, n_rows: int, n_columns: int) -> None:
    """Create a float32 ``.npy`` file whose rows are to be filled; every value starts as NaN, to be seen if missed."""
    allocate_rows(path, n_rows, n_columns).flush()


def embedding_dimension(model: Path) -> int:
    """Width of a model's sentence vectors, read from its files without loading its weights."""
    width = int(json.loads((model / "config.json").read_text("utf-8"))["hidden_size"])
    modules = model / "modules.json"
    for module in json.loads(modules.read_text("utf-8")) if modules.is_file() else []:
        settings = model / module["path"] / "config.json"
        if module["path"] and settings.is_file():  # a pooling of several kinds, or a dense layer, changes the width
            content = json.loads(settings.read_text("utf-8"))
            width = int(content.get("out_features") or _pooled_width(content) or width)
    return width


def _pooled_width(pooling: dict[str, Any]) -> int:
    """Width after a pooling module: the token vectors' own, once for every kind of pooling that is switched on."""
    width = pooling.get("word_embedding_dimension") or pooling.get("embedding_dimension") or 0
    modes = pooling.get("pooling_mode")  # a name or a list of names; older files have a switch for each
    switched_on = sum(value is True for name, value in pooling.items() if name.startswith("pooling_mode_"))
    kinds = len(modes) if isinstance(modes, list) else switched_on
    return int(width) * max(1, kinds)
