"""Dropout that is cheap on a CPU: the same draws, made 16 bits at a time and applied to the numbers' own bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional

POOL = 1 << 17
"""Words of 64 bits in each of the two pools that masks are made of."""
PIECE = POOL // 4
"""Words of a mask that are taken from one place of the pools."""
PIECES = 512
"""Pieces that are made of the same pools; then they are drawn anew. A step of 16 reviews with MiniLM takes 270."""


class Draws:
    """The random bits of one forward pass, from torch's own generator: a state of it that is restored repeats them.

    Drawing a number a value took a seventh of a training step (MiniLM, 16 documents of 125 tokens), even 16 bits at a
    time. So two pools are drawn, and a mask is the exclusive or of a piece of each, from places drawn at random. Within
    a piece all bits are independent. Bits of two pieces are the same only where both places are shifted by as much, for
    one pair of pieces in 100,000; any others are independent in pairs.
    """

    def __init__(self) -> None:
        self._pools: tuple[torch.Tensor, torch.Tensor] | None = None
        self._places: Iterator[list[int]] = iter(())

    def keep_bits(self, count: int, share: float, dtype: torch.dtype) -> torch.Tensor:
        """``count`` integers as wide as ``dtype``: all bits 0 with probability ``share``, else all bits 1.

        The share is met to 1 / 32,768.
        """
        words = torch.empty(-(-count // 4), dtype=torch.int64)
        for start in range(0, len(words), PIECE):
            piece = words[start : start + PIECE]
            first, second = self._two_pieces(len(piece))
            torch.bitwise_xor(first, second, out=piece)
        lanes = words.view(torch.int16)[:count]  # -32,768 to -1; those that the share makes positive are dropped
        keep = lanes.add_(round(share * 0x8000)).bitwise_right_shift_(15)
        return keep if dtype.itemsize == 2 else keep.to(torch.int32)  # the sign goes with it

    def _two_pieces(self, size: int) -> list[torch.Tensor]:
        places = next(self._places, None)
        if places is None or self._pools is None:
            bits = torch.empty(2, POOL, dtype=torch.int64).random_(-(2**63), None)
            bits[0].view(torch.int16).bitwise_or_(-0x8000)
            bits[1].view(torch.int16).bitwise_and_(0x7FFF)
            self._pools = bits[0], bits[1]
            self._places = iter(torch.randint(POOL - PIECE + 1, (PIECES, 2)).tolist())
            places = next(self._places)
        return [pool[place : place + size] for pool, place in zip(self._pools, places, strict=True)]


def dropout(values: torch.Tensor, share: float, draws: Draws | None) -> torch.Tensor:
    """Set a share of the values to zero and scale the others by 1 / (1 − share), as torch's own dropout does.

    Parameters
    ----------
    draws : the bits of the pass; None outside of training, where nothing is dropped.
    """
    if draws is None or not share:
        return values
    if not has_bits(values):
        return functional.dropout(values, share)
    return _BitDropout.apply(values, None, draws.keep_bits(values.numel(), share, values.dtype), 1 / (1 - share))


def add_dropped(values: torch.Tensor, share: float, draws: Draws | None, stream: torch.Tensor) -> torch.Tensor:
    """The sum of a stream and :func:`dropout` of the values, which on a CPU is one operation less."""
    if draws is None or not share or not has_bits(values) or values.dtype != stream.dtype:
        return dropout(values, share, draws) + stream
    return _BitDropout.apply(values, stream, draws.keep_bits(values.numel(), share, values.dtype), 1 / (1 - share))


def has_bits(values: torch.Tensor) -> bool:
    """Whether dropout is by the values' own bits: on a CPU, where torch's own took a sixth of a training step."""
    return values.device.type == "cpu" and values.element_size() in (2, 4)


def with_bits(values: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """The values where all bits are 1, zero where they are 0."""
    return values.contiguous().view(keep.dtype).bitwise_and(keep.view(values.shape)).view(values.dtype)


def clear_bits(values: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """As :func:`with_bits`, in place; the values must be contiguous."""
    values.view(keep.dtype).bitwise_and_(keep.view(values.shape))
    return values


class _BitDropout(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, values: torch.Tensor, stream: torch.Tensor | None, keep: torch.Tensor, scale: float
    ) -> torch.Tensor:
        context.save_for_backward(keep)
        context.scale = scale
        kept = with_bits(values, keep)
        return kept.mul_(scale) if stream is None else torch.add(stream, kept, alpha=scale, out=kept)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (keep,) = context.saved_tensors
        of_values = with_bits(gradients[0], keep).mul_(context.scale)
        return of_values, gradients[0] if context.needs_input_grad[1] else None, None, None
