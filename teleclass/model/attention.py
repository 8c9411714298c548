"""Attention within each text of a packed batch: a loop that stays in the cache on a CPU, fused kernels elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from teleclass.model.batching import PackedTokens
from teleclass.model.dropout import keep_bits, with_bits
from teleclass.model.tiles import TiledAttention, takes_tiles

RUN_SCORES = 32_768
"""Scores a head that texts of one length may have together to be computed at once: more fall out of the cache. Two
texts of 125 tokens at once took 1.1 to 4 times as long as one after the other (12 heads of 32)."""


@dataclass(frozen=True)
class Run:
    """Texts of one length that stand one after the other: ``n`` of ``length`` tokens from token ``start``."""

    start: int
    n: int
    length: int

    @property
    def stop(self) -> int:
        return self.start + self.n * self.length


def runs_of(lengths: Sequence[int]) -> Iterator[Run]:
    """Neighbours of one length, as many together as :data:`RUN_SCORES` allows."""
    start = first = 0
    for index in range(1, len(lengths) + 1):
        length = lengths[first]
        full = (index - first + 1) * length * length > RUN_SCORES
        if index == len(lengths) or lengths[index] != length or full:
            yield Run(start, index - first, length)
            start += (index - first) * length
            first = index


class Attention:
    """Softmax attention of every token over the tokens of its own text, for one packed batch and all of its layers.

    On a CPU a loop over runs of texts, see :class:`_PackedAttention`; elsewhere torch's fused kernels, padded for the
    scores alone, which are a small part of the work. A CPU with AMX takes the fused kernel too where no gradient is
    asked for, see :class:`teleclass.model.tiles.TiledAttention`.

    Parameters
    ----------
    bias : (heads, L, L), added to the scores of the first L positions, as MPNet's relative positions are.
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

    def __call__(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float = 0.0
    ) -> torch.Tensor:
        """Attend in one layer.

        Parameters
        ----------
        query, key, value : (T, H), of all texts one after the other.
        dropout : share of the attention probabilities that are dropped.
        """
        if not self.is_padded:
            learns_bias = self.bias is not None and self.bias.requires_grad and torch.is_grad_enabled()
            if not dropout and not learns_bias and takes_tiles(query, key, value):
                if self._tiled is None:
                    self._tiled = TiledAttention(self.batch.lengths, self.n_heads, self.bias, query.dtype)
                return self._tiled(query, key, value)
            return _PackedAttention.apply(query, key, value, self.bias, self.batch.lengths, self.n_heads, dropout)
        batch, width = self.batch, query.shape[1]
        longest = max(batch.lengths)

        def heads(tokens: torch.Tensor) -> torch.Tensor:
            rows = tokens if self._is_even else spread(tokens, batch)
            return rows.view(len(batch), longest, self.n_heads, width // self.n_heads).transpose(1, 2)

        mask = self._padded_mask(query.dtype)
        out = functional.scaled_dot_product_attention(
            heads(query), heads(key), heads(value), attn_mask=mask, dropout_p=dropout
        )
        out = out.transpose(1, 2).reshape(len(batch) * longest, width)
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
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bias: torch.Tensor | None,
        lengths: tuple[int, ...],
        n_heads: int,
        share: float,
    ) -> torch.Tensor:
        runs = list(runs_of(lengths))
        scale = (query.shape[1] // n_heads) ** -0.5
        out = torch.empty_like(query)
        kept_probabilities, kept_bits = [], []
        is_training = any(context.needs_input_grad)
        for run in runs:
            q, k, v = (_heads(tensor, run, n_heads) for tensor in (query, key, value))
            scores = torch.bmm(q, k.transpose(1, 2)).float().mul_(scale)
            if bias is not None:
                scores.view(run.n, n_heads, run.length, run.length).add_(bias[:, : run.length, : run.length])
            probabilities = torch.softmax(scores, -1).to(query.dtype)
            if is_training:
                kept_probabilities.append(probabilities)
            if share:
                keep = keep_bits(probabilities.numel(), share, probabilities.dtype)
                probabilities = with_bits(probabilities, keep)
                kept_bits.append(keep)
            _put(out, run, torch.bmm(probabilities, v), n_heads)
        if share:
            out.mul_(1 / (1 - share))
        if is_training:
            context.save_for_backward(query, key, value, *kept_probabilities, *kept_bits)
            context.settings = runs, n_heads, scale, share, None if bias is None else (bias.shape, bias.dtype)
        return out

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        runs, n_heads, scale, share, bias = context.settings
        query, key, value, *rest = context.saved_tensors
        kept_probabilities, kept_bits = rest[: len(runs)], rest[len(runs) :]
        gradient = gradients[0] * (1 / (1 - share)) if share else gradients[0]
        of_query, of_key, of_value = (torch.empty_like(tensor) for tensor in (query, key, value))
        of_bias = torch.zeros(bias[0], dtype=torch.float32) if bias and context.needs_input_grad[3] else None
        for number, run in enumerate(runs):
            q, k, v, g = (_heads(tensor, run, n_heads) for tensor in (query, key, value, gradient))
            probabilities = dropped = kept_probabilities[number]
            of_probabilities = torch.bmm(g, v.transpose(1, 2))
            if share:
                dropped = with_bits(probabilities, kept_bits[number])
                of_probabilities = with_bits(of_probabilities, kept_bits[number])
            of_scores = torch.ops.aten._softmax_backward_data(of_probabilities, probabilities, -1, query.dtype)
            _put(of_value, run, torch.bmm(dropped.transpose(1, 2), g), n_heads)
            _put(of_query, run, torch.bmm(of_scores, k), n_heads)
            _put(of_key, run, torch.bmm(of_scores.transpose(1, 2), q), n_heads)
            if of_bias is not None:
                by_text = of_scores.view(run.n, n_heads, run.length, run.length).float()
                of_bias[:, : run.length, : run.length] += by_text.sum(dim=0)
        of_query.mul_(scale)
        of_key.mul_(scale)
        return of_query, of_key, of_value, None if of_bias is None else of_bias.to(bias[1]), None, None, None


def _heads(tokens: torch.Tensor, run: Run, n_heads: int) -> torch.Tensor:
    """A run's rows as (texts × heads, length, width of a head)."""
    width = tokens.shape[1] // n_heads
    rows = tokens[run.start : run.stop].view(run.n, run.length, n_heads, width)
    return rows.transpose(1, 2).reshape(run.n * n_heads, run.length, width)


def _put(out: torch.Tensor, run: Run, values: torch.Tensor, n_heads: int) -> None:
    """The inverse of :func:`_heads`, into a run's rows."""
    width = out.shape[1] // n_heads
    rows = out[run.start : run.stop].view(run.n, run.length, n_heads, width)
    rows.copy_(values.view(run.n, n_heads, run.length, width).transpose(1, 2))
