"""Packed texts on CPUs that multiply a tile at a time (AMX): whole tiles, and fused operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from teleclass.runtime.devices import has_amx, has_onednn_products

TILE = 16
"""Tokens that texts are filled up to multiples of. What fills no vector the kernel takes one by one: a text of 126
tokens took .50 ms, of 128 .29, and of 126 filled up, with the mask, .30 (12 heads of 32, bf16, Xeon with AMX)."""


def filled_up(length: Any, tile: int = TILE) -> Any:
    """The next multiples of ``tile``, of one length or an array of them."""
    return -(-length // tile) * tile


def tile_of(dtype: torch.dtype) -> int:
    """Tokens that texts are best filled up to multiples of on this CPU, with gradients."""
    return TILE if dtype is torch.bfloat16 and has_amx() else 1


def takes_tiles(*tensors: torch.Tensor | None) -> bool:
    """Whether these are bf16 on a CPU with AMX and nobody asks for their gradients."""
    return not _want_gradients(*tensors) and are_narrow(*tensors)


def _want_gradients(*tensors: torch.Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


def are_narrow(*tensors: torch.Tensor | None) -> bool:
    """Whether these are bf16 on a CPU with AMX."""
    there = [tensor for tensor in tensors if tensor is not None]
    return all(one.device.type == "cpu" and one.dtype is torch.bfloat16 for one in there) and has_amx()


def linear(tokens: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """A linear layer, (T, in) to (T, out), with its bias added while the product is written.

    torch's own first writes the bias into every row of the result, then adds the product: 7 % of MiniLM's time.
    """
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise") or not are_narrow(tokens, weight, bias):
        return functional.linear(tokens, weight, bias)
    return _FusedLinear.apply(tokens, weight, bias)


def linear_gelu(tokens: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """GELU of a linear layer, (T, in) to (T, out), taken of fp32 while the product is written, in no pass of its own.

    With gradients, which need what GELU was taken of, and where oneDNN does not multiply, torch's two operations.
    MiniLM takes .96 of their time on an EPYC, and 1 - cosine against fp32 is 2.5e-5 for 3.6e-5 at worst.
    """
    is_fast = tokens.device.type == "cpu" and tokens.dtype is torch.bfloat16 and has_onednn_products()
    if _want_gradients(tokens, weight, bias) or not is_fast or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return functional.gelu(linear(tokens, weight, bias))
    return torch.ops.mkldnn._linear_pointwise(tokens, weight, bias, "gelu", [], "none")


class _FusedLinear(torch.autograd.Function):
    """The operation that torch.compile makes of a linear layer on a CPU; torch has no gradient of it."""

    @staticmethod
    def forward(context: Any, tokens: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        context.save_for_backward(tokens, weight)
        return torch.ops.mkldnn._linear_pointwise(tokens, weight, bias, "none", [], "none")

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        tokens, weight = context.saved_tensors
        (gradient,) = gradients
        of_tokens, of_weight, of_bias = context.needs_input_grad
        return (
            gradient @ weight if of_tokens else None,
            _of_weight(gradient, tokens) if of_weight else None,
            gradient.sum(dim=0) if of_bias else None,
        )


def _of_weight(gradient: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """The gradient of a linear layer's weight, (out, in), from those of its results, (T, out), and its inputs, (T, in).

    Of narrow gradients a transposed copy is made first: 3.7 ms instead of 4.8 (1,536 to 384, 2,048 tokens), but of wide
    ones that alone takes 3.6.
    """
    turned = gradient.t()
    return (turned.contiguous() if 2 * gradient.shape[1] <= tokens.shape[1] else turned) @ tokens


@dataclass(frozen=True)
class _Group:
    """Texts of one width: ``n`` of ``width`` rows, and what is added to their scores."""

    n: int
    width: int
    mask: torch.Tensor | None


class TiledAttention:
    """Softmax attention of every token over the tokens of its own text, for one packed batch and all of its layers.

    Parameters
    ----------
    lengths : tokens of each text of the batch.
    bias : (heads, L, L), added to the scores of the first L positions.
    dtype : of the queries.
    """

    def __init__(self, lengths: Sequence[int], n_heads: int, bias: torch.Tensor | None, dtype: torch.dtype):
        self.n_heads = n_heads
        tokens = np.array(lengths)
        widths = filled_up(tokens)
        keys = widths if bias is None else tokens  # with a bias the mask is of one length
        order = np.argsort(keys, kind="stable")
        firsts = (np.cumsum(tokens) - tokens)[order]
        tokens, widths = tokens[order], widths[order]
        starts = np.cumsum(widths) - widths
        places = np.arange(widths.sum()) - np.repeat(starts, widths)
        # A row that fills up repeats the text's last token; as a key the mask leaves it out.
        filled = np.repeat(firsts, widths) + np.minimum(places, np.repeat(tokens, widths) - 1)
        self._filled = torch.from_numpy(filled)
        kept = np.empty(tokens.sum(), dtype=np.int64)
        is_token = places < np.repeat(tokens, widths)
        kept[filled[is_token]] = np.flatnonzero(is_token)
        self._kept = torch.from_numpy(kept)
        self._groups = []
        for first, stop in _runs(keys[order]):
            width = int(widths[first])
            mask = _mask(tokens[first:stop], width, bias, dtype)
            self._groups.append(_Group(stop - first, width, mask))

    def __call__(self, projected: torch.Tensor) -> torch.Tensor:
        """Attend in one layer, from queries, keys and values beside each other, (T, 3 H), to (T, H)."""
        if more := len(projected) - len(self._kept):  # rows that belong to no text; made once for all layers
            self._kept = functional.pad(self._kept, (0, more))
        # Each by itself: on rows that lie beside each other the kernel takes a fifth longer.
        three = [part.index_select(0, self._filled) for part in projected.chunk(3, dim=1)]
        pieces, start = [], 0
        for group in self._groups:
            stop = start + group.n * group.width
            shape = (group.n, group.width, self.n_heads, -1)
            query, key, value = (part[start:stop].view(shape).transpose(1, 2) for part in three)
            out = functional.scaled_dot_product_attention(query, key, value, attn_mask=group.mask)
            pieces.append(out.transpose(1, 2).reshape(stop - start, -1))
            start = stop
        together = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        return together.index_select(0, self._kept)


def _mask(lengths: np.ndarray, width: int, bias: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """(n or 1, heads or 1, width or 1, width): minus infinity for keys that fill up, and the bias."""
    if bias is None and (lengths == width).all():
        return None
    is_filling = torch.from_numpy(np.arange(width) >= lengths[:, None])[:, None, None, :]
    if bias is None:
        return torch.zeros(is_filling.shape, dtype=dtype).masked_fill_(is_filling, float("-inf"))
    length = int(lengths[0])
    mask = torch.zeros(1, len(bias), width, width, dtype=dtype)
    mask[..., :length, :length] = bias[:, :length, :length]
    return mask.masked_fill_(is_filling[:1], float("-inf"))


def _runs(values: np.ndarray) -> list[tuple[int, int]]:
    """First and one behind the last of equal neighbours."""
    bounds = np.flatnonzero(np.diff(values, prepend=-1, append=-1)).tolist()
    return list(pairwise(bounds))
