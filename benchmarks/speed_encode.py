"""encode: texts to vectors, beside sentence-transformers; first of all, that they are the same vectors."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.interleave import (
    Figure,
    Measure,
    Method,
    Outcome,
    Round,
    Work,
    cpu_seconds,
    in_turn,
    keep_on_cores,
    ratio,
    ratio_of_least,
)
from benchmarks.speed_data import Documents
from benchmarks.speed_table import SPEED_COLUMNS, Comparison, Row, Section
from teleclass.runtime.devices import set_up_torch

EQUALITY = "the same vectors as the defaults"
DEFAULT = "SentenceTransformer.encode, defaults (fp32, batches of 32)"
BF16 = "SentenceTransformer.encode, bf16"
PEER_POOL = "SentenceTransformer.encode, fp32, its pool of 2 processes"
OWN = "teleclass SentenceEncoder"
OWN_WORKERS = "teleclass EncoderWorkers, 2 workers"
ONE_IN_TURN = "teleclass EncoderWorkers, 1 worker, small turns"
TWO_IN_TURN = "teleclass EncoderWorkers, 2 workers, small turns"

SMALLEST_CHUNK = 64
"""Texts that one worker of ours takes at once at the least, see teleclass.model.encoding.chunks_of."""


@dataclass(frozen=True)
class Sizes:
    """Documents of a turn in process, of one with worker processes, of the comparison of vectors, and turns of a round.

    ``in_turn`` and ``worker_turns`` are of one and two workers of ours, whose CPU time is compared.
    """

    in_process: int = 128
    pools: int = 512
    turns: int = 2
    compared: int = 1000
    in_turn: int = 2 * SMALLEST_CHUNK
    worker_turns: int = 8


MINIATURE = Sizes(in_process=6, pools=SMALLEST_CHUNK + 2, turns=1, compared=12, in_turn=2, worker_turns=2)


def measure(documents: Documents, model: Path, rounds: int, sizes: Sizes = Sizes()) -> Section:
    """Compare the vectors, then the speed."""
    section = Section("encode", f"{sizes.in_process} documents a turn, one thread a process")
    few, many = documents.first(sizes.in_process), documents.first(sizes.pools)
    # On each core in turn: a neighbour of the machine may slow one of two.
    outcomes = in_turn(
        [
            Method(EQUALITY, partial(equality, documents.first(sizes.compared), model), 2, rounds=1, turns=1),
            Method(DEFAULT, partial(sentence_transformer, few, model, ""), rotates=True),
            Method(BF16, partial(sentence_transformer, few, model, "bfloat16"), rotates=True),
            Method(OWN, partial(own, few, model), rotates=True),
            Method(PEER_POOL, partial(peer_pool, many[: len(many) // 2], model), 2, turns=1),
            Method(OWN_WORKERS, partial(own_workers, many, model, 2), 2, turns=1),
        ],
        rounds,
        turns=sizes.turns,
    )
    some = documents.first(sizes.in_turn)
    outcomes |= in_turn(
        [
            Method(ONE_IN_TURN, partial(own_workers, some, model, 1), 1, rotates=True),
            Method(TWO_IN_TURN, partial(own_workers, some, model, 2), 2),
        ],
        rounds,
        turns=sizes.worker_turns,
    )
    _add_equality(section, outcomes.pop(EQUALITY))
    section.add(outcomes, SPEED_COLUMNS)
    section.comparisons += comparisons(outcomes)
    section.remarks.append(
        f"A round is {sizes.turns} turns, each on another core; of pools one, {sizes.pools} documents of ours and half "
        f"of that of sentence-transformers'; of one and two workers {sizes.worker_turns} of {sizes.in_turn} documents, "
        "the one on each core in turn. Pools are kept from round to round."
    )
    if len(os.sched_getaffinity(0)) < 2:
        section.remarks.append("One core alone: figures of two processes tell nothing of two cores.")
    return section


def comparisons(outcomes: dict[str, Outcome]) -> list[Comparison]:
    """Our speed in times of the peers', by CPU seconds a document; two workers by wall time."""

    def cpu(one: Round) -> float:
        return one.cpu_a_document

    def wall(one: Round) -> float:
        return 1 / one.documents_per_second

    def compared(
        name: str, of: str, to: str, quantity: Callable[[Round], float], at_least: float | None = None
    ) -> Comparison:
        ours, peer = outcomes[of], outcomes[to]
        of_least = ratio_of_least(ours, peer, quantity)
        return Comparison(name, ratio(ours, peer, quantity), at_least, of_least=of_least)

    twice = ratio(outcomes[OWN_WORKERS], outcomes[OWN], wall)
    if twice is not None:
        twice = Figure(twice.median / 2, twice.low / 2, twice.high / 2)
    return [
        compared("ours × defaults, CPU", OWN, DEFAULT, cpu, at_least=3.3),
        compared("ours × bf16, CPU", OWN, BF16, cpu),
        compared("our 2 workers × its pool of 2, wall", OWN_WORKERS, PEER_POOL, wall),
        Comparison("2 workers ÷ twice in process, wall", twice),
        compared("1 worker ÷ 2 workers, CPU", TWO_IN_TURN, ONE_IN_TURN, cpu, at_least=0.95),
    ]


def _add_equality(section: Section, outcome: Outcome) -> None:
    if outcome.failure:
        section.rows.append(Row(EQUALITY, note=outcome.failure, failed=True))
    for one in outcome.rounds:
        section.rounds[EQUALITY] = [one]
        for name, value in one.values.items():
            section.comparisons.append(
                Comparison(f"{name}, {one.documents:,.0f} documents", Figure.of([value]), at_most=1e-4)
            )


def equality(texts: list[str], model: Path) -> Measure:
    """The greatest 1 − cosine of our vectors and the defaults' over every document."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    theirs = _load_peer(model, "")
    ours = _load_own(model)

    def compare() -> Work:
        expected = theirs.encode(texts, show_progress_bar=False).astype(np.float64)
        workers = _encode_by_workers(texts, model, 2)
        found = {"in process": ours.encode(texts), "by workers": workers}
        return Work(
            len(texts), values={f"max 1 − cosine, {name}": distance(expected, own) for name, own in found.items()}
        )

    return compare


def distance(expected: np.ndarray, found: np.ndarray) -> float:
    """The greatest 1 − cosine of two arrays' rows; infinite where a row is not finite."""
    expected, found = np.asarray(expected, dtype=np.float64), np.asarray(found, dtype=np.float64)
    norms = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    distances = 1 - np.einsum("nd,nd->n", expected, found) / norms
    return float(distances.max()) if np.isfinite(distances).all() else float("inf")


def sentence_transformer(texts: list[str], model: Path, dtype: str) -> Measure:
    """sentence-transformers in process, in its default format or another one."""
    peer = _load_peer(model, dtype)
    peer.encode(texts[:32], show_progress_bar=False)

    def encode() -> Work:
        return Work(len(peer.encode(texts, show_progress_bar=False)))

    return encode


def peer_pool(texts: list[str], model: Path) -> Measure:
    """sentence-transformers' own pool of two processes, kept from round to round."""
    peer = _load_peer(model, "")
    pool = peer.start_multi_process_pool(["cpu", "cpu"])
    Finalize(None, peer.stop_multi_process_pool, args=(pool,), exitpriority=20)  # atexit is not run in such a process
    processes = [process.pid for process in pool["processes"]]
    # Chunks of an eighth: its own default of a few thousand documents would leave a process without any.
    size = max(1, len(texts) // 8)
    peer.encode(texts[: 4 * size], pool=pool, chunk_size=size)

    def encode() -> Work:
        before = cpu_seconds(processes)
        vectors = peer.encode(texts, pool=pool, chunk_size=size)
        return Work(len(vectors), cpu_seconds=cpu_seconds(processes) - before)

    return encode


def own(texts: list[str], model: Path) -> Measure:
    """Our encoder in process."""
    set_up_torch()
    encoder = _load_own(model)
    encoder.encode(texts)  # whole: memory is kept from then on, as it is in a worker

    def encode() -> Work:
        return Work(len(encoder.encode(texts)))

    return encode


def own_workers(texts: list[str], model: Path, workers: int) -> Measure:
    """Our worker processes, kept from round to round as sentence-transformers' pool is."""
    from teleclass.model.encoder_workers import EncoderSettings, EncoderWorkers
    from teleclass.model.encoding import chunks_of, create_rows, embedding_dimension

    set_up_torch()
    folder = tempfile.TemporaryDirectory()
    Finalize(None, folder.cleanup, exitpriority=10)
    file = Path(folder.name) / "rows.npy"
    create_rows(file, len(texts), embedding_dimension(model))
    pool = EncoderWorkers(EncoderSettings(model, file), ["cpu"] * workers)
    Finalize(None, pool.close, exitpriority=20)
    chunks = list(enumerate(chunks_of(texts)))
    for _ in range(workers):  # the first may end before a worker that loads slowly has taken its part
        pool.encode(chunks, texts)

    def encode() -> Work:
        keep_on_cores(pool.pids, os.sched_getaffinity(0))
        before = cpu_seconds(pool.pids)
        seconds = pool.encode(chunks, texts)
        return Work(len(texts), cpu_seconds=cpu_seconds(pool.pids) - before, wall_seconds=seconds)

    return encode


def _encode_by_workers(texts: list[str], model: Path, workers: int) -> np.ndarray:
    from teleclass.model.encoding import create_rows, embedding_dimension, encode_texts

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.npy"
        create_rows(file, len(texts), embedding_dimension(model))
        encode_texts(texts, file, model, ["cpu"] * workers)
        return np.load(file)


def _load_peer(model: Path, dtype: str) -> Any:
    import torch
    from sentence_transformers import SentenceTransformer

    settings = {"dtype": getattr(torch, dtype)} if dtype else {}
    return SentenceTransformer(str(model), device="cpu", local_files_only=True, model_kwargs=settings)


def _load_own(model: Path) -> Any:
    from teleclass.model.encoder import SentenceEncoder
    from teleclass.runtime.devices import inference_dtype, share_cores

    share_cores("cpu", len(os.sched_getaffinity(0)))  # one thread, as every worker
    return SentenceEncoder(model, "cpu", str(inference_dtype("cpu")).removeprefix("torch."))
