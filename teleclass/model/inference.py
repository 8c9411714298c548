"""Forward passes over many tokenised texts, batch by batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import torch

from teleclass.errors import MemoryShortageError
from teleclass.model.batching import TokenBatch, TokenizedTexts, packed, padded, token_batches, tokens_at_once
from teleclass.runtime.memory import is_out_of_memory, release_memory, tell_halving

_fitting: dict[str, int] = {}
"""Tokens a batch by device, where more did not fit into its memory."""


@torch.inference_mode()
def forward_batches(
    function: Callable[[TokenBatch], torch.Tensor],
    tokens: TokenizedTexts,
    rows: np.ndarray,
    *,
    device: str,
    dtype: torch.dtype,
    pad_id: int | None = None,
    tokens_per_batch: int = 0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield ``(rows, float32 results)`` for some of the texts, each exactly once.

    On a GPU a batch is handed over while the next one computes. Where a device runs out of memory, the batch and those
    after it are cut to half the tokens.

    Parameters
    ----------
    function : from a batch of n texts to a result (n, anything).
    rows : which texts.
    dtype : arithmetic of what is not in 16 bits already, by autocast; the result is float32.
    pad_id : the padding token, to have batches padded; None has them packed.

    Raises
    ------
    MemoryShortageError : a text alone does not fit into the device's memory.
    """
    kind = device.split(":")[0]
    budget = min(tokens_per_batch or tokens_at_once(kind), _fitting.get(device, 1 << 62))
    lengths = tokens.lengths[rows]
    waiting = deque(token_batches(lengths, budget))
    before: tuple[np.ndarray, _Fetched] | None = None
    while waiting:
        chosen = waiting[0]
        result = _attempt(function, tokens, rows[chosen], device, dtype, pad_id)
        if before is not None:
            yield before[0], before[1].array()
            before = None
        if result is None:
            budget = _halved(budget, lengths[chosen], device)
            left = np.concatenate(waiting)
            waiting = deque(left[part] for part in token_batches(lengths[left], budget))
            continue
        waiting.popleft()
        before = rows[chosen], result
    if before is not None:
        yield before[0], before[1].array()


def _attempt(
    function: Callable[[TokenBatch], torch.Tensor],
    tokens: TokenizedTexts,
    rows: np.ndarray,
    device: str,
    dtype: torch.dtype,
    pad_id: int | None,
) -> _Fetched | None:
    """The result of one batch; None where the device has no memory for it."""
    kind = device.split(":")[0]
    try:
        batch = packed(tokens, rows) if pad_id is None else padded(tokens, rows, pad_id)
        if kind == "cuda":
            batch = batch.pin_memory().to(device, non_blocking=True)
        with torch.autocast(kind, dtype=dtype, enabled=dtype != torch.float32):
            return _Fetched(function(batch).float())
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    release_memory()
    return None


def _halved(budget: int, lengths: np.ndarray, device: str) -> int:
    """The budget after a batch of texts of these lengths did not fit; it holds for what comes later too."""
    if len(lengths) == 1:
        raise MemoryShortageError(
            f"one text of {lengths[0]:,} tokens does not fit into the memory of {device}; give a lower --encoder."
            "max_tokens or --training.max_tokens, a smaller model, or end what else uses the device"
        )
    before = min(budget, len(lengths) * int(lengths.max()))
    _fitting[device] = before // 2
    tell_halving(device, "tokens a batch", before, _fitting[device])
    return _fitting[device]


class _Fetched:
    """A result on its way from the device to the host."""

    def __init__(self, result: torch.Tensor):
        self._arrived = None
        self._host = result
        if result.is_cuda:
            self._host = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
            self._host.copy_(result, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def array(self) -> np.ndarray:
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._host.numpy()
