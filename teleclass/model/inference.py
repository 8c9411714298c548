"""Running the classifier without gradients, in batches of like length."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from teleclass.model.batching import TOKENS_PER_BATCH, TokenizedTexts, padded, token_batches


@torch.inference_mode()
def forward_batches(
    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    tokens: TokenizedTexts,
    rows: np.ndarray,
    *,
    pad_id: int,
    device: str,
    dtype: torch.dtype,
    tokens_per_batch: int = 0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield ``(rows, float32 results)`` for some of the texts, each exactly once.

    Parameters
    ----------
    function : from token ids and attention mask, both (batch, length), to a result (batch, anything).
    rows : which texts.
    dtype : arithmetic, by autocast; the result is float32.
    """
    kind = device.split(":")[0]
    budget = tokens_per_batch or TOKENS_PER_BATCH[kind]
    for batch in token_batches(tokens.lengths[rows], budget):
        ids, mask = padded(tokens, rows[batch], pad_id)
        inputs = torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
        with torch.autocast(kind, dtype=dtype, enabled=dtype != torch.float32):
            result = function(*inputs)
        yield rows[batch], result.float().cpu().numpy()
