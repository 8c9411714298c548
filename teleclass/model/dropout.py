"""Dropout that is cheap on a CPU: the same draws, made 16 bits at a time and applied to the numbers' own bits."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional


def dropout(values: torch.Tensor, share: float, training: bool) -> torch.Tensor:
    """Set a share of the values to zero and scale the others by 1 / (1 − share), as torch's own dropout does.

    On a CPU torch draws a number a value: 3.5 ms for 768 thousand of them, 8 ms with its backward pass. A random
    16-bit lane a value and one bitwise operation take .6 ms; dropout was a sixth of a training step with torch's.
    The share is met to 1 / 32,768. Draws come from torch's own generator, so a restored state repeats them.
    """
    if not training or not share:
        return values
    if values.device.type != "cpu" or values.element_size() not in (2, 4):
        return functional.dropout(values, share)
    return _BitDropout.apply(values, keep_bits(values.numel(), share, values.dtype), 1 / (1 - share))


def keep_bits(count: int, share: float, dtype: torch.dtype) -> torch.Tensor:
    """``count`` integers as wide as ``dtype``: all bits 0 with probability ``share``, else all bits 1."""
    draws = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    lanes = draws.view(torch.int16)[:count].bitwise_and_(0x7FFF)
    keep = lanes.sub_(round(share * 0x8000)).bitwise_right_shift_(15).bitwise_not_()
    return keep if dtype.itemsize == 2 else keep.to(torch.int32)  # the sign goes with it


def with_bits(values: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """The values where all bits are 1, zero where they are 0."""
    return values.contiguous().view(keep.dtype).bitwise_and(keep.view(values.shape)).view(values.dtype)


class _BitDropout(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: torch.Tensor, keep: torch.Tensor, scale: float) -> torch.Tensor:
        context.save_for_backward(keep)
        context.scale = scale
        return with_bits(values, keep).mul_(scale)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (keep,) = context.saved_tensors
        return with_bits(gradients[0], keep).mul_(context.scale), None, None
