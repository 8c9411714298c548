"""Attention within each text of a packed batch: a loop that stays in the cache on a CPU, fused kernels elsewhere."""

from __future__ import annotations

import torch
from torch.nn import functional

from teleclass.model.batching import PackedTokens
from teleclass.model.dropout import Draws
from teleclass.model.packed_attention import PackedAttention, Run, runs_of
from teleclass.model.tiles import TiledAttention, takes_tiles, tile_of


class Attention:
    """Softmax attention of every token over the tokens of its own text, for one packed batch and all of its layers.

    On a CPU a loop over runs of texts, :class:`teleclass.model.packed_attention.PackedAttention`; elsewhere torch's
    fused kernels, padded for the scores alone, which are a small part of the work. A CPU with AMX takes the fused
    kernel too where no gradient is asked for, see :class:`teleclass.model.tiles.TiledAttention`.

    Parameters
    ----------
    bias : (heads, L, L), added to the scores of the first L positions, as MPNet's relative positions are; L is the
        longest text's length, :func:`filled_up <teleclass.model.tiles.filled_up>`.
    padded : whether to pad; by default where the batch is not on a CPU.
    """

    def __init__(self, batch: PackedTokens, n_heads: int, bias: torch.Tensor | None = None, padded: bool | None = None):
        self.batch = batch
        self.n_heads = n_heads
        self.bias = bias
        self.is_padded = batch.rows.device.type != "cpu" if padded is None else padded
        self._is_even = min(batch.lengths) == max(batch.lengths)
        self._mask: torch.Tensor | None = None
        self._tiled: TiledAttention | None = None
        self._runs: list[Run] = []

    def __call__(self, projected: torch.Tensor, share: float = 0.0, draws: Draws | None = None) -> torch.Tensor:
        """Attend in one layer, to (T, H).

        Parameters
        ----------
        projected : (T, 3 H), queries, keys and values beside each other, of all texts one after the other. On a CPU
            there may be more rows, which nothing attends to.
        share : of the attention probabilities that are dropped.
        draws : the random bits of the pass; nothing is dropped without.
        """
        share = share if draws is not None else 0.0
        if not self.is_padded:
            learns_bias = self.bias is not None and self.bias.requires_grad and torch.is_grad_enabled()
            if not share and not learns_bias and takes_tiles(projected):
                if self._tiled is None:
                    self._tiled = TiledAttention(self.batch.lengths, self.n_heads, self.bias, projected.dtype)
                return self._tiled(projected)
            if not self._runs:
                self._runs = runs_of(self.batch.lengths, tile_of(projected.dtype))
            return PackedAttention.apply(projected, self.bias, self._runs, self.n_heads, share, draws)
        batch, longest = self.batch, max(self.batch.lengths)
        rows = projected if self._is_even else spread(projected, batch)
        query, key, value = rows.view(len(batch), longest, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        mask = self._padded_mask(projected.dtype)
        out = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=share)
        out = out.transpose(1, 2).reshape(len(batch) * longest, -1)
        return out if self._is_even else out.index_select(0, batch.documents * longest + batch.positions)

    def _padded_mask(self, dtype: torch.dtype) -> torch.Tensor | None:
        """What is added to padded scores: the bias, and minus infinity on padding; made once for all layers."""
        if self._mask is None and not (self._is_even and self.bias is None):
            longest = max(self.batch.lengths)
            there = None
            if not self._is_even:
                there = spread(torch.ones_like(self.batch.positions, dtype=torch.bool)[:, None], self.batch)
                there = there.view(len(self.batch), 1, 1, longest)
            if self.bias is None:
                self._mask = there
            else:
                bias = self.bias[None, :, :longest, :longest].to(dtype)
                self._mask = bias if there is None else bias.masked_fill(~there, float("-inf"))
        return self._mask


def spread(tokens: torch.Tensor, batch: PackedTokens) -> torch.Tensor:
    """(T, H) packed rows as (n × longest, H), zero where a text has no token."""
    longest = max(batch.lengths)
    rows = tokens.new_zeros(len(batch) * longest, tokens.shape[1])
    return rows.index_copy(0, batch.documents * longest + batch.positions, tokens)
