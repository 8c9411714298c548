"""The encoder as a program of its own: worker processes, one a device, that write into one memory-mapped file."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from teleclass.data.texts import Texts
from teleclass.errors import WorkerError
from teleclass.model.shards import ShardJournal
from teleclass.runtime.console import progress, set_up_console
from teleclass.runtime.devices import inference_dtype, share_cores
from teleclass.runtime.disk import allocate_rows
from teleclass.runtime.memory import MemoryPeak, peak
from teleclass.runtime.parents import follow_parent
from teleclass.runtime.pulse import activity
from teleclass.runtime.standstill import DEADLINES, Standstill, SupervisionConfig


@dataclass(frozen=True)
class EncodingReport:
    """What an encoding run did.

    Attributes
    ----------
    seconds : of wall time, from the first worker that had its model loaded to the last vector.
    cpu_seconds : of this process and of its workers, starting them and loading models left out.
    peak : the workers' highest.
    """

    documents: int
    seconds: float
    cpu_seconds: float
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
    import torch.multiprocessing as multiprocessing

    context = multiprocessing.get_context("spawn")
    tasks: Any = context.Queue()
    results: Any = context.Queue()
    done = journal.done() if journal else set()
    chunks = list(enumerate(chunks_of(texts)))[share[0] :: share[1]]
    mine = [(number, chunk) for number, chunk in chunks if number not in done]
    if not mine:  # more machines than chunks, or all were written before
        return EncodingReport(0, 0.0, 0.0, "", MemoryPeak(0.0, 0.0))
    devices = list(devices)[: len(mine)]
    workers: list[Any] = []
    steps = context.RawArray("Q", len(devices))
    started = time.perf_counter()
    for place, device in enumerate(devices):
        settings = _Settings(
            model=model,
            out=out,
            device=device,
            tokens_per_batch=tokens_per_batch,
            max_tokens=max_tokens,
            processes=len(devices),
            place=place,
            is_of_main_thread=threading.current_thread() is threading.main_thread(),
        )
        worker = context.Process(target=_work, args=(settings, tasks, results, steps), daemon=True)
        worker.start()
        workers.append(worker)
    try:
        guard = _Guard(workers, devices, steps, supervision)
        peaks, seconds, cpu_seconds, dtypes = _supervise(guard, mine, texts, tasks, results, journal)
    finally:
        for worker in workers:
            worker.kill()  # one that was stopped would not hear of SIGTERM
            worker.join()
        tasks.cancel_join_thread()  # else the program would wait at its end for texts that nobody reads any more
    return EncodingReport(
        documents=sum(len(chunk) for _, chunk in mine),
        seconds=seconds or time.perf_counter() - started,
        cpu_seconds=cpu_seconds,
        dtype=" and ".join(sorted(dtypes)),
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


@dataclass(frozen=True)
class _Settings:
    model: Path
    out: Path
    device: str
    tokens_per_batch: int
    max_tokens: int
    processes: int
    place: int
    is_of_main_thread: bool


def _supervise(
    guard: _Guard,
    chunks: list[tuple[int, np.ndarray]],
    texts: Sequence[str],
    tasks: Any,
    results: Any,
    journal: ShardJournal | None,
) -> tuple[list[MemoryPeak], float, float, set[str]]:
    """Feed the workers until every chunk is written.

    Returns
    -------
    Memory peaks, seconds of computing by wall and by CPU, and formats used.
    """
    waiting = iter(chunks)
    workers = guard.workers
    ahead = 2 * len(workers)
    sizes = {number: len(chunk) for number, chunk in chunks}

    def feed(count: int) -> None:
        for number, chunk in islice(waiting, count):
            tasks.put((number, chunk, [texts[row] for row in chunk]))

    feed(ahead)
    first, cpu_first, cpu_seconds = None, 0.0, 0.0
    peaks: list[MemoryPeak] = []
    dtypes: set[str] = set()
    left = sum(sizes.values())
    with progress(total=left, unit="documents", what="encoding") as bar:
        while left or len(peaks) < len(workers):
            try:
                kind, value = results.get(timeout=1)
            except queue.Empty:
                guard.check()
                continue
            if kind == "ready":
                if first is None:
                    first, cpu_first = time.perf_counter(), time.process_time()
                dtypes.add(value)
            elif kind == "failed":
                raise WorkerError(f"an encoder worker failed: {value}")
            elif kind == "rows":
                feed(1)
                if journal:
                    journal.mark(value)
                left -= sizes[value]
                bar.update(sizes[value])
                guard.check()
                if not left:
                    for _ in workers:
                        tasks.put(None)
                    seconds = time.perf_counter() - (first or time.perf_counter())
            else:
                peaks.append(value[0])
                cpu_seconds += value[1]
    return peaks, seconds, cpu_seconds + time.process_time() - cpu_first, dtypes


class _Guard:
    """Sees to it that the workers live and get on."""

    def __init__(self, workers: list[Any], devices: list[str], steps: Any, supervision: SupervisionConfig):
        self.workers, self.devices, self.steps = workers, devices, steps
        self._standstill = Standstill(supervision.stopped_after, supervision.stuck_after)
        self._total = 0

    def check(self) -> None:
        """
        Raises
        ------
        WorkerError : one of them has died, was stopped or hangs.
        """
        for worker, device in zip(self.workers, self.devices, strict=True):
            if worker.exitcode not in (None, 0):
                raise WorkerError(
                    f"the encoder worker on {device} ended with status {worker.exitcode} (-9 is often a lack of "
                    "memory); run the same command again, with fewer devices if memory is short"
                )
        alive = [(place, worker.pid) for place, worker in enumerate(self.workers) if worker.exitcode is None]
        found = self._standstill.find((pid, self.steps[place] or -1) for place, pid in alive)
        if found is not None:
            place, why = found
            raise WorkerError(
                f"the encoder worker on {self.devices[alive[place][0]]} {why}; run the same command again, it goes on "
                "from the documents that are encoded"
            )
        if sum(self.steps) != self._total:
            self._total = sum(self.steps)
            activity.tick()  # a chunk may take longer than a rank may go without progress


def _work(settings: _Settings, tasks: Any, results: Any, steps: Any) -> None:
    follow_parent(settings.is_of_main_thread)
    set_up_console()
    try:
        share_cores(settings.device, settings.processes)
        from teleclass.model.batching import ahead
        from teleclass.model.encoder import SentenceEncoder

        # Asked here and not in the parent, which would keep a CUDA context on every device.
        dtype = str(inference_dtype(settings.device)).removeprefix("torch.")
        encoder = SentenceEncoder(settings.model, settings.device, dtype, settings.max_tokens)
        out = np.load(settings.out, mmap_mode="r+")
        loaded = time.process_time()
        results.put(("ready", dtype))
        given = ((number, rows, encoder.tokenize(texts)) for number, rows, texts in iter(tasks.get, None))
        for number, rows, tokens in ahead(given):
            for chosen, vectors in encoder.encode_tokens(tokens, settings.tokens_per_batch):
                out[rows[chosen]] = vectors
                steps[settings.place] += 1
            results.put(("rows", number))
        out.flush()
        results.put(("peak", (peak(), time.process_time() - loaded)))
    except Exception as error:
        results.put(("failed", f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"))
