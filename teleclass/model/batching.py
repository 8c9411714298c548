"""Batches of texts of like length: for inference by a token budget, for training by a number of documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

TOKENS_PER_BATCH = {"cpu": 4096, "cuda": 65536}
"""Padded tokens that a device computes at once without gradients, by its kind."""


@dataclass(frozen=True)
class TokenizedTexts:
    """Token ids of N texts in one array: text i is ``flat[starts[i]:starts[i + 1]]``."""

    flat: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.flat[self.starts[index] : self.starts[index + 1]]


def tokenize(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> TokenizedTexts:
    """Tokenise texts once, cut at ``max_tokens`` or the model's own limit; an empty text has its two special tokens."""
    max_tokens = min(max_tokens, tokenizer.model_max_length)
    pieces: list[list[int]] = []
    for start in range(0, len(texts), 1024):
        batch = list(texts[start : start + 1024])
        encoded = tokenizer(batch, truncation=True, max_length=max_tokens, return_attention_mask=False)
        pieces.extend(encoded["input_ids"])
    lengths = [len(piece) for piece in pieces]
    flat = np.fromiter((token for piece in pieces for token in piece), dtype=np.int32, count=sum(lengths))
    return TokenizedTexts(flat, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))


def padded(tokens: TokenizedTexts, rows: Sequence[int] | np.ndarray, pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and attention mask of some texts, both (rows, longest of them)."""
    lengths = tokens.lengths[rows]
    mask = np.arange(lengths.max())[None, :] < lengths[:, None]
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask] = np.concatenate([tokens[row] for row in rows])
    return ids, mask.astype(np.int64)


def token_batches(lengths: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    """Cut rows, longest first, into batches of at most ``budget`` tokens with padding (at least one row)."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size


class RankBatches:
    """The training batches of one rank: random order, like lengths together, equally many on every rank.

    All ranks shuffle alike and deal each global batch out among themselves. The last global batch is filled up with
    documents from the start of the order, so that every rank takes the same number of steps; no document stands in an
    epoch twice beyond that.

    Parameters
    ----------
    lengths : (N,), tokens of each document.
    batch_size : documents a rank and step.
    multiple : the number of batches is a multiple of this (the gradient accumulation steps).
    """

    POOL = 32
    """Global batches that are sorted by length together; more save padding, fewer keep the order random."""

    def __init__(self, lengths: np.ndarray, batch_size: int, rank: int, world_size: int, seed: int, multiple: int = 1):
        self.lengths = lengths
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size
        self.seed = seed
        self.epoch = 0
        self._global = batch_size * world_size
        self._n_batches = -(-len(lengths) // (self._global * multiple)) * multiple

    def __len__(self) -> int:
        return self._n_batches

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng((self.seed, self.epoch))
        order = generator.permutation(len(self.lengths))
        order = np.resize(order, self._n_batches * self._global)
        pool = self.POOL * self._global
        batches: list[np.ndarray] = []
        for start in range(0, len(order), pool):
            chunk = order[start : start + pool]
            chunk = chunk[np.argsort(self.lengths[chunk], kind="stable")]
            batches.extend(chunk.reshape(-1, self._global))
        for index in generator.permutation(len(batches)):
            yield batches[index][self.rank :: self.world_size].tolist()
