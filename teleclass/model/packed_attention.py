"""Attention within packed texts as a loop over runs of them that stays in the cache of a CPU, and its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from teleclass.model.dropout import Draws, clear_bits, with_bits
from teleclass.model.tiles import filled_up

RUN_SCORES = 32_768
"""Scores a head that texts of one width may have together to be computed at once: more fall out of the cache. Two texts
of 128 tokens took 1.1 to 4 times as long as one after the other on an EPYC (bf16, 12 heads of 32)."""

TILED_RUN_SCORES = 4 * RUN_SCORES
"""The same where texts are filled up to whole tiles, for AMX: a text's products take it less than torch needs to start
them. Forward and backward pass of a training step took .87 of the time that they took with 32,768; with half as many as
here .93, with twice as many .88 (Xeon, 16 reviews, MiniLM)."""


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
    """Neighbours of one width, filled up to a multiple of ``tile``, as many together as the cache holds scores of."""
    runs, first, start = [], 0, 0
    most = RUN_SCORES if tile == 1 else TILED_RUN_SCORES
    for index in range(1, len(lengths) + 1):
        width = filled_up(lengths[first], tile)
        is_full = (index - first + 1) * width * width > most
        if index == len(lengths) or filled_up(lengths[index], tile) != width or is_full:
            runs.append(Run.of(lengths[first:index], width, start))
            first, start = index, runs[-1].stop
    return runs


class PackedAttention(torch.autograd.Function):
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
