"""encode: documents and classes to vectors, by one worker process a device."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from teleclass.data.dataset import Dataset
from teleclass.errors import TeleclassError
from teleclass.labelling.class_text import class_views
from teleclass.labelling.similarity import blocks, unit
from teleclass.model.embedding import EncoderConfig, parse_devices
from teleclass.model.encoding import embedding_dimension, encode_texts
from teleclass.model.shards import ShardJournal, job_of
from teleclass.model.sources import find_model, model_digest
from teleclass.model.weights import check_model
from teleclass.runtime.artifacts import Artifacts
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.lock import only_writer
from teleclass.runtime.tracking import Tracker, TrackingConfig
from teleclass.runtime.workplace import Workplace


def run(work: Workplace, data: Dataset, encoder: EncoderConfig) -> dict[str, float]:
    """Write document and class embeddings; runs on the first rank of every machine."""
    ranks, artifacts = work.ranks, work.artifacts
    if ranks.local_rank != 0:
        ranks.barrier()  # for the file to be there
        ranks.barrier()  # for every machine to be done
        return {}
    model = find_model(encoder.model)
    devices = parse_devices(encoder.devices, ranks.local_world_size)
    views = class_views(data.taxonomy)
    texts = data.corpus.texts + [text for views_of_class in views for text in views_of_class]
    # One file holds documents and class texts, so that one pool of workers encodes both.
    shared = artifacts.folder / "intermediate" / ".embeddings.partial.npy"
    journal = ShardJournal(shared)
    if ranks.is_first:
        shared.parent.mkdir(parents=True, exist_ok=True)
        width = embedding_dimension(model)
        journal.open(job_of(texts, model_digest(encoder.model), encoder.max_tokens, width), len(texts), width)
        before = len(journal.done())
    ranks.barrier()
    artifacts.need_shared(shared)
    report = encode_texts(
        texts,
        shared,
        model,
        devices,
        tokens_per_batch=encoder.tokens_per_batch,
        max_tokens=encoder.max_tokens,
        share=(ranks.node, ranks.n_nodes),
        journal=journal,
        supervision=work.supervision,
    )
    ranks.barrier()
    work.worker_peak = report.peak
    if not ranks.is_first:
        return {}
    try:
        _finish(shared, work, data, views)
    except TeleclassError:
        journal.remove()  # rows that are not finite are not to be kept
        raise
    journal.remove()
    done = f"{len(data.corpus):,} documents and {len(views):,} classes on {_count(devices)}"
    if report.documents:
        done += f" in {report.dtype}, {report.documents_per_second:,.0f} documents/s"
    if before:
        done += f"; {before:,} chunks were encoded before"
    work.notes.append(done)
    return {"documents_per_second/encode": report.documents_per_second}


def check(data: Dataset, encoder: EncoderConfig) -> None:
    """Find the model and the devices before any work."""
    check_model(find_model(encoder.model))
    parse_devices(encoder.devices)


def encode_folder(data: Dataset, output: Path, encoder: EncoderConfig) -> str:
    """Encode a data folder without an experiment (``teleclass encode``); returns what was done, in a line."""
    work = Workplace(Artifacts(output), Ranks(), Tracker(TrackingConfig(enabled=False)), seed=0)
    with only_writer(output):
        run(work, data, encoder)
    return "; ".join(work.notes)


def check_finite(rows: np.ndarray, data: Dataset, views: list[list[str]]) -> None:
    """Find texts without an embedding: rows of documents, then those of the class texts, (texts, D).

    Raises
    ------
    TeleclassError : a row that is not finite; the document or the class is named.
    """
    lost = [int(row) for block in blocks(len(rows), rows.shape[1])
            for row in np.flatnonzero(~np.isfinite(rows[block].sum(axis=1))) + block.start]  # fmt: skip
    if not lost:
        return
    ids, owners = data.corpus.ids, [node for node, of_class in enumerate(views) for _ in of_class]
    first = f"document {ids[lost[0]]!r}" if lost[0] < len(ids) else (
        f"of class {data.taxonomy.names[owners[lost[0] - len(ids)]]!r}"
    )  # fmt: skip
    raise TeleclassError(
        f"{len(lost):,} texts have no finite embedding, the first is {first}: the model gives NaN or a worker lost its "
        "rows; try another --encoder.model"
    )


def _finish(shared: Path, work: Workplace, data: Dataset, views: list[list[str]]) -> None:
    rows, n_documents = np.load(shared, mmap_mode="r"), len(data.corpus)
    check_finite(rows, data, views)
    with work.artifacts.writing("document_embeddings") as partial, partial.open("wb") as stream:
        np.save(stream, rows[:n_documents])
    ends = np.cumsum([len(views_of_class) for views_of_class in views])
    means = np.stack(
        [
            rows[n_documents + end - len(of_class) : n_documents + end].mean(axis=0)
            for end, of_class in zip(ends, views, strict=True)
        ]
    )
    with work.artifacts.writing("class_embeddings") as partial, partial.open("wb") as stream:
        np.save(stream, unit(means))


def _count(devices: list[str]) -> str:
    return ", ".join(f"{devices.count(device)} × {device}" for device in dict.fromkeys(devices))
