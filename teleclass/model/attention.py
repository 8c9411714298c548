"""Attention within each text of a packed batch: a loop that stays in the cache on a CPU, fused kernels elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from teleclass.model.batching import PackedTokens
from teleclass.model.dropout import Draws, clear_bits, with_bits
from teleclass.model.tiles import TiledAttention, filled_up, takes_tiles, tile_of

RUN_SCORES = 32_768
"""Scores a head that texts of one length may have together to be computed at once: more fall out of the cache. Two
texts of 125 tokens at once took 1.1 to 4 times as long as one after the other (12 heads of 32)."""


@dataclass(frozen=True)
class Run:
    """Texts that are computed at once: n that stand one after the other, each filled up to ``width`` tokens.

    Attributes
    ----------
    start, stop : their rows among those of the batch.
    filled : (n × width,), which of these rows stands in each place; a text's last one in those that fill up. None where
        no text has to be filled up.
    kept : where each of the rows stands in turn.
    mask : (n, 1, 1, width), fp32: what is added to the scores, minus infinity for keys that fill up.
    """

    n: int
    width: int
    start: int
    stop: int
    filled: torch.Tensor | None = None
    kept: torch.Tensor | None = None
    mask: torch.Tensor | None = None

    @classmethod
    def of(cls, lengths: Sequence[int], width: int, start: int) -> Run:
        """Texts of these lengths from row ``start``."""
        n, stop = len(lengths), start + sum(lengths)
        if min(lengths) == width:
            return cls(n, width, start, stop)
        places, ends = torch.arange(width), torch.tensor(lengths)
        filled = torch.minimum(places, ends[:, None] - 1) + (ends.cumsum(0) - ends)[:, None]
        is_token = places < ends[:, None]
        mask = torch.zeros(n, 1, 1, width).masked_fill_(~is_token[:, None, None, :], float("-inf"))
        return cls(n, width, start, stop, filled.flatten(), is_token.flatten().nonzero()[:, 0], mask)


def runs_of(lengths: Sequence[int], tile: int = 1) -> list[Run]:
    """Neighbours of one length, filled up to a multiple of ``tile``, as many together as :data:`RUN_SCORES` allows."""
    runs, first, start = [], 0, 0
    for index in range(1, len(lengths) + 1):
        width = filled_up(lengths[first], tile)
        is_full = (index - first + 1) * width * width > RUN_SCORES
        if index == len(lengths) or filled_up(lengths[index], tile) != width or is_full:
            runs.append(Run.of(lengths[first:index], width, start))
            first, start = index, runs[-1].stop
    return runs


class Attention:
    """Softmax attention of every token over the tokens of its own text, for one packed batch and all of its layers.

    On a CPU a loop over runs of texts, see :class:`_PackedAttention`; elsewhere torch's fused kernels, padded for the
    scores alone, which are a small part of the work. A CPU with AMX takes the fused kernel too where no gradient is
    asked for, see :class:`teleclass.model.tiles.TiledAttention`.

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
            return _PackedAttention.apply(projected, self.bias, self._runs, self.n_heads, share, draws)
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


class _PackedAttention(torch.autograd.Function):
    """Attention a run of texts at a time, for a CPU.

    A text's scores and probabilities stay in the cache, where torch's own kernel walks them in blocks: .22 ms for
    .53 ms a text of 125 tokens in bf16 (12 heads of 32). Softmax is computed in fp32, as fused kernels do.
    """

    @staticmethod
    def forward(
        context: Any,
        projected: torch.Tensor,
        bias: torch.Tensor | None,
        runs: list[Run],
        n_heads: int,
        share: float,
        draws: Draws | None,
    ) -> torch.Tensor:
        hidden = projected.shape[1] // 3
        scale = (hidden // n_heads) ** -0.5
        out = projected.new_empty(len(projected), hidden)
        out[runs[-1].stop :] = 0
        kept: list[torch.Tensor] = []
        is_training = any(context.needs_input_grad)
        for run in runs:
            heads = _heads(projected, run, 3, n_heads)
            query, key, value = heads
            scores = query.new_empty(len(query), run.width, run.width)
            scores = scores.baddbmm_(query, key.transpose(1, 2), beta=0, alpha=scale).float()
            by_text = scores.view(run.n, n_heads, run.width, run.width)
            if bias is not None:
                by_text.add_(bias[:, : run.width, : run.width])
            if run.mask is not None:
                by_text.add_(run.mask)
            dropped = probabilities = torch.softmax(scores, -1).to(query.dtype)
            keep = []
            if share and draws is not None:
                keep = [draws.keep_bits(probabilities.numel(), share, probabilities.dtype)]
                dropped = with_bits(probabilities, keep[0])
            if is_training:
                kept += [heads, probabilities, dropped, *keep]
            _put(out, run, torch.bmm(dropped, value), 1)
        if share:
            out.mul_(1 / (1 - share))
        context.save_for_backward(*kept)
        context.settings = runs, n_heads, scale, share, None if bias is None else (bias.shape, bias.dtype)
        return out

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        runs, n_heads, scale, share, bias = context.settings
        gradient = gradients[0] * (1 / (1 - share)) if share else gradients[0]
        of_projected = gradient.new_empty(len(gradient), 3 * gradient.shape[1])
        of_projected[runs[-1].stop :] = 0
        of_bias = torch.zeros(bias[0], dtype=torch.float32) if bias and context.needs_input_grad[1] else None
        kept = iter(context.saved_tensors)
        for run in runs:
            heads, probabilities, dropped = next(kept), next(kept), next(kept)
            query, key, value = heads
            (of_out,) = _heads(gradient, run, 1, n_heads)
            if run.mask is not None:  # rows that fill up have no gradient
                of_out.view(run.n, n_heads, run.width, -1).mul_((run.mask == 0).to(of_out.dtype).transpose(2, 3))
            of_probabilities = torch.bmm(of_out, value.transpose(1, 2))
            if share:
                clear_bits(of_probabilities, next(kept))
            of_scores = torch.ops.aten._softmax_backward_data(of_probabilities, probabilities, -1, query.dtype)
            of_heads = torch.empty_like(heads)
            of_heads[0].baddbmm_(of_scores, key, beta=0, alpha=scale)
            of_heads[1].baddbmm_(of_scores.transpose(1, 2), query, beta=0, alpha=scale)
            torch.bmm(dropped.transpose(1, 2), of_out, out=of_heads[2])
            _put(of_projected, run, of_heads, 3)
            if of_bias is not None:
                by_text = of_scores.view(run.n, n_heads, run.width, run.width).float()
                of_bias[:, : run.width, : run.width] += by_text.sum(dim=0)
        return of_projected, None if of_bias is None else of_bias.to(bias[1]), None, None, None, None


def _heads(tokens: torch.Tensor, run: Run, parts: int, n_heads: int) -> torch.Tensor:
    """A run's rows, of ``parts`` tensors beside each other, as (parts, texts × heads, width, width of a head)."""
    rows = tokens[run.start : run.stop]
    if run.filled is not None:
        rows = rows.index_select(0, run.filled)
    heads = rows.view(run.n, run.width, parts, n_heads, -1).permute(2, 0, 3, 1, 4)
    return heads.reshape(parts, run.n * n_heads, run.width, -1)


def _put(out: torch.Tensor, run: Run, values: torch.Tensor, parts: int) -> None:
    """The inverse of :func:`_heads`, into a run's rows."""
    heads = values.view(parts, run.n, -1, run.width, values.shape[-1])
    rows = heads.permute(1, 3, 0, 2, 4)
    if run.kept is None:
        out[run.start : run.stop].view(rows.shape).copy_(rows)
    else:
        torch.index_select(rows.reshape(run.n * run.width, -1), 0, run.kept, out=out[run.start : run.stop])
