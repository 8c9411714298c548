"""A model over many texts: worker processes, one a device, that hold a few chunks at a time."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import cache
from itertools import islice
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

from teleclass.classifier import Prediction, TELEClassifier
from teleclass.errors import WorkerError
from teleclass.runtime.console import set_up_console
from teleclass.runtime.devices import set_up_torch, share_cores
from teleclass.runtime.parents import follow_parent
from teleclass.runtime.standstill import DEADLINES, Standstill

CHUNK = {"cpu": 512, "cuda": 8192}
"""Texts that a worker is given at a time, by its kind of device; more are sorted better by length but wait longer."""

_settings: Any = None
"""A worker's own: its device, and what the classifier is loaded with."""


def file_texts(
    rows: Iterable[tuple[str, str]],
    model: Path,
    devices: Sequence[str],
    classifier_weight: float | None = None,
    tokens_per_batch: int = 0,
) -> Iterator[tuple[str, Prediction]]:
    """File texts in the order in which they come; memory does not grow with their number.

    Parameters
    ----------
    rows : (id, text) pairs, read as they are needed.
    model : see :meth:`TELEClassifier.from_pretrained`.
    devices : ``cpu`` or ``cuda:N``, one entry a worker.

    Yields
    ------
    (id, prediction), in the order of ``rows``.

    Raises
    ------
    ModelError : the model cannot be used.
    WorkerError : a worker died, or was stopped.
    """
    context = get_context("spawn")
    free: Any = context.Queue()
    for device in devices:
        free.put(device)
    size = CHUNK[devices[0].split(":")[0]]
    iterator = iter(rows)
    waiting: deque[tuple[list[str], Future[list[Prediction]]]] = deque()
    settings = (free, len(devices), model, classifier_weight, tokens_per_batch)
    others = {child.pid for child in active_children()}
    pool = ProcessPoolExecutor(len(devices), context, _prepare, settings)
    standstill = Standstill(DEADLINES.stopped_after)
    try:
        while True:
            while len(waiting) < 2 * len(devices) and (chunk := list(islice(iterator, size))):
                identities, texts = [one[0] for one in chunk], [one[1] for one in chunk]
                waiting.append((identities, pool.submit(_file, texts)))
            if not waiting:
                return
            identities, answer = waiting.popleft()
            yield from zip(identities, _result(answer, standstill, others), strict=True)
    except BrokenProcessPool:
        raise WorkerError(
            "a worker ended before its work did (often a lack of memory); run again with fewer --devices"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _result(
    answer: Future[list[Prediction]], standstill: Standstill, others: Collection[int | None]
) -> list[Prediction]:
    """A chunk's predictions, as soon as they are there.

    Parameters
    ----------
    others : processes that are no workers of this pool.

    Raises
    ------
    WorkerError : a worker stands still.
    """
    while True:
        try:
            return answer.result(timeout=1)
        except TimeoutError:
            pids = [child.pid for child in active_children() if child.pid and child.pid not in others]
        found = standstill.find((pid, -1) for pid in pids)
        if found is not None:
            place, why = found
            with suppress(OSError):
                os.kill(pids[place], signal.SIGKILL)
            raise WorkerError(f"a worker {why}; run again, its process {pids[place]} was ended")


def _prepare(free: Any, processes: int, *settings: Any) -> None:
    global _settings
    follow_parent()
    set_up_torch()
    set_up_console()
    device = free.get()
    share_cores(device, processes)
    _settings = (device, *settings)


@cache
def _classifier() -> TELEClassifier:
    """This worker's own; not loaded as the worker starts, where an error would only break the pool."""
    device, model, classifier_weight, tokens_per_batch = _settings
    return TELEClassifier.from_pretrained(model, device, classifier_weight, tokens_per_batch)


def _file(texts: list[str]) -> list[Prediction]:
    return list(_classifier().predictions(texts))
