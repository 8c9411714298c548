"""Worker processes that encode texts, one a device, fed chunk by chunk and watched over."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from teleclass.errors import WorkerError
from teleclass.model.shards import ShardJournal
from teleclass.runtime.console import progress, set_up_console
from teleclass.runtime.devices import inference_dtype, share_cores
from teleclass.runtime.memory import MemoryPeak, peak
from teleclass.runtime.parents import follow_parent
from teleclass.runtime.pulse import activity
from teleclass.runtime.standstill import DEADLINES, Standstill, SupervisionConfig

if TYPE_CHECKING:
    from typing_extensions import Self

Chunk = tuple[int, np.ndarray]
"""A chunk's number and the rows of its texts."""


@dataclass(frozen=True)
class EncoderSettings:
    """What every worker encodes with.

    Attributes
    ----------
    out : a float32 ``.npy`` file of shape (N, D) whose rows are filled.
    """

    model: Path
    out: Path
    tokens_per_batch: int = 0
    max_tokens: int = 0


class EncoderWorkers:
    """Workers that load the encoder once, at the start, and encode whenever they are asked to.

    Attributes
    ----------
    pids : their process ids.
    dtypes : the formats they compute in, of those that are loaded so far.
    """

    def __init__(self, settings: EncoderSettings, devices: Sequence[str], supervision: SupervisionConfig = DEADLINES):
        import torch.multiprocessing as multiprocessing

        context = multiprocessing.get_context("spawn")
        self.dtypes: set[str] = set()
        self._tasks: Any = context.Queue()
        self._results: Any = context.Queue()
        self._workers: list[Any] = []
        self._loaded: float | None = None
        steps = context.RawArray("Q", len(devices))
        for place, device in enumerate(devices):
            own = _Own(device, place, len(devices), threading.current_thread() is threading.main_thread())
            arguments = (settings, own, self._tasks, self._results, steps)
            worker = context.Process(target=_work, args=arguments, daemon=True)
            worker.start()
            self._workers.append(worker)
        self._guard = _Guard(self._workers, list(devices), steps, supervision)

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in self._workers]

    def encode(self, chunks: Sequence[Chunk], texts: Sequence[str], journal: ShardJournal | None = None) -> float:
        """Have every chunk encoded and written.

        Parameters
        ----------
        texts : those that the chunks' rows count.
        journal : where chunks are marked once they are written.

        Returns
        -------
        Seconds of wall time, from the first worker that had its model loaded.

        Raises
        ------
        WorkerError : a worker failed, died or stands still.
        """
        waiting = iter(chunks)
        sizes = {number: len(chunk) for number, chunk in chunks}
        left = sum(sizes.values())
        started = time.perf_counter()

        def feed(count: int) -> None:
            for number, chunk in islice(waiting, count):
                self._tasks.put((number, chunk, [texts[row] for row in chunk]))

        feed(2 * len(self._workers))
        with progress(total=left, unit="documents", what="encoding") as bar:
            while left:
                number = self._answer("rows")
                feed(1)
                if journal:
                    journal.mark(number)
                left -= sizes[number]
                bar.update(sizes[number])
                self._guard.check()
        return time.perf_counter() - max(started, self._loaded or started)

    def finish(self) -> list[MemoryPeak]:
        """Have what is written flushed and the workers end; their memory peaks.

        Raises
        ------
        WorkerError : a worker failed, died or stands still.
        """
        for _ in self._workers:
            self._tasks.put(None)
        return [self._answer("peak") for _ in self._workers]

    def close(self) -> None:
        """End the workers, whatever they are at."""
        for worker in self._workers:
            worker.kill()  # one that was stopped would not hear of SIGTERM
            worker.join()
        self._tasks.cancel_join_thread()  # else the program would wait at its end for texts that nobody reads any more

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, expected: str) -> Any:
        while True:
            try:
                kind, value = self._results.get(timeout=1)
            except queue.Empty:
                self._guard.check()
                continue
            if kind == "ready":
                self._loaded = self._loaded or time.perf_counter()
                self.dtypes.add(value)
            elif kind == "failed":
                raise WorkerError(f"an encoder worker failed: {value}")
            else:
                assert kind == expected
                return value


@dataclass(frozen=True)
class _Own:
    """What one worker is told besides: its device, and its place among so many."""

    device: str
    place: int
    processes: int
    is_of_main_thread: bool


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


def _work(settings: EncoderSettings, own: _Own, tasks: Any, results: Any, steps: Any) -> None:
    follow_parent(own.is_of_main_thread)
    set_up_console()
    try:
        share_cores(own.device, own.processes)
        from teleclass.model.batching import ahead
        from teleclass.model.encoder import SentenceEncoder

        # Asked here and not in the parent, which would keep a CUDA context on every device.
        dtype = str(inference_dtype(own.device)).removeprefix("torch.")
        encoder = SentenceEncoder(settings.model, own.device, dtype, settings.max_tokens)
        out = np.load(settings.out, mmap_mode="r+")
        results.put(("ready", dtype))
        given = ((number, rows, encoder.tokenize(texts)) for number, rows, texts in iter(tasks.get, None))
        for number, rows, tokens in ahead(given):
            for chosen, vectors in encoder.encode_tokens(tokens, settings.tokens_per_batch):
                out[rows[chosen]] = vectors
                steps[own.place] += 1
            results.put(("rows", number))
        out.flush()
        results.put(("peak", peak()))
    except Exception as error:
        results.put(("failed", f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"))
