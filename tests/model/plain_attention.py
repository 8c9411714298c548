"""What attention within packed texts is compared with."""

from __future__ import annotations

import torch


def attend_plainly(lengths, n_heads, query, key, value, bias=None):
    """A text after the other, in fp32 and without anything fused."""
    out, start, width = [], 0, query.shape[1]
    for length in lengths:
        rows = slice(start, start + length)
        q, k, v = (t[rows].view(length, n_heads, -1).transpose(0, 1) for t in (query, key, value))
        scores = q @ k.transpose(1, 2) / (width // n_heads) ** 0.5
        if bias is not None:
            scores = scores + bias[:, :length, :length]
        out.append((scores.softmax(-1) @ v).transpose(0, 1).reshape(length, width))
        start += length
    return torch.cat(out)
