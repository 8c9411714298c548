"""Forward passes over many tokenised texts, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from teleclass.model.batching import TOKENS_PER_BATCH, TokenBatch, TokenizedTexts, packed, padded, token_batches


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

    On a GPU a batch is handed over while the next one computes.

    Parameters
    ----------
    function : from a batch of n texts to a result (n, anything).
    rows : which texts.
    dtype : arithmetic of what is not in 16 bits already, by autocast; the result is float32.
    pad_id : the padding token, to have batches padded; None has them packed.
    """
    kind = device.split(":")[0]
    before: tuple[np.ndarray, _Fetched] | None = None
    for chosen in token_batches(tokens.lengths[rows], tokens_per_batch or TOKENS_PER_BATCH[kind]):
        batch = packed(tokens, rows[chosen]) if pad_id is None else padded(tokens, rows[chosen], pad_id)
        if kind == "cuda":
            batch = batch.pin_memory().to(device, non_blocking=True)
        with torch.autocast(kind, dtype=dtype, enabled=dtype != torch.float32):
            result = _Fetched(function(batch).float())
        if before is not None:
            yield before[0], before[1].array()
        before = rows[chosen], result
    if before is not None:
        yield before[0], before[1].array()


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
