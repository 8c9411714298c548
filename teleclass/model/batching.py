"""Tokenised texts, batches of them within a token budget, and the two forms a batch takes: packed and padded."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from teleclass.runtime.devices import has_amx

if TYPE_CHECKING:
    import torch
    from typing_extensions import Self

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Ragged:
    """N arrays of whole numbers in one: the i-th is ``flat[starts[i]:starts[i + 1]]``."""

    flat: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, arrays: Sequence[np.ndarray]) -> Self:
        """From N arrays."""
        flat = np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int32)
        return cls(flat.astype(np.int32), np.cumsum([0, *map(len, arrays)], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)

    def __getitem__(self, index: int | np.integer) -> np.ndarray:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{index} of {len(self)}")
        index = int(index) % len(self)
        return self.flat[self.starts[index] : self.starts[index + 1]]

    def replaced(self, rows: np.ndarray, arrays: Sequence[np.ndarray]) -> Self:
        """A copy in which some rows are other arrays."""
        new = dict(zip(rows.tolist(), arrays, strict=True))
        return self.of([new.get(row, self[row]) for row in range(len(self))])


class TokenizedTexts(Ragged):
    """Token ids of N texts."""


@dataclass(frozen=True)
class PackedTokens:
    """n texts one after the other, T tokens in all and none of them padding.

    Attributes
    ----------
    rows : (3, T): each token's id, its place in its text, and the number of its text; together for one transfer.
    lengths : tokens of each text, on the host.
    """

    rows: torch.Tensor
    lengths: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def ids(self) -> torch.Tensor:
        return self.rows[0]

    @property
    def positions(self) -> torch.Tensor:
        return self.rows[1]

    @property
    def documents(self) -> torch.Tensor:
        return self.rows[2]

    @property
    def n_tokens(self) -> int:
        return sum(self.lengths)

    def to(self, device: Any, non_blocking: bool = False) -> PackedTokens:
        return replace(self, rows=self.rows.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> PackedTokens:
        return replace(self, rows=self.rows.pin_memory())

    def chosen(self, texts: np.ndarray) -> PackedTokens:
        """Some of the texts, in the order of ``texts``."""
        import torch

        every = Ragged(np.arange(self.n_tokens), np.cumsum([0, *self.lengths]))
        some = Ragged.of([every[text] for text in texts])
        rows = self.rows[:, torch.from_numpy(some.flat).to(self.rows.device)]
        rows[2] = torch.from_numpy(np.repeat(np.arange(len(texts)), some.lengths))
        return PackedTokens(rows, tuple(some.lengths.tolist()))


@dataclass(frozen=True)
class PaddedTokens:
    """n texts as rows of the longest one's length; ``ids`` and ``mask`` are (n, length), the mask 1 on tokens."""

    ids: torch.Tensor
    mask: torch.Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_tokens(self) -> int:
        return int(self.mask.sum())

    def to(self, device: Any, non_blocking: bool = False) -> PaddedTokens:
        ids, mask = (tensor.to(device, non_blocking=non_blocking) for tensor in (self.ids, self.mask))
        return PaddedTokens(ids, mask)

    def pin_memory(self) -> PaddedTokens:
        return PaddedTokens(self.ids.pin_memory(), self.mask.pin_memory())

    def chosen(self, texts: np.ndarray) -> PaddedTokens:
        """Some of the texts, in the order of ``texts``, as rows of the longest one's length."""
        import torch

        rows = torch.from_numpy(texts).to(self.mask.device)
        length = int(self.mask[rows].sum(dim=1).max())
        return PaddedTokens(self.ids[rows, :length], self.mask[rows, :length])


TokenBatch = PackedTokens | PaddedTokens


def tokenize(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> TokenizedTexts:
    """Tokenise texts once, cut at ``max_tokens`` or the model's own limit; an empty text has its two special tokens."""
    max_tokens = min(max_tokens, tokenizer.model_max_length)
    pieces: list[np.ndarray] = []
    lengths: list[int] = []
    for start in range(0, len(texts), 1024):
        batch = list(texts[start : start + 1024])
        encoded = tokenizer(batch, truncation=True, max_length=max_tokens, return_attention_mask=False)
        lengths.extend(len(ids) for ids in encoded["input_ids"])
        pieces.extend(np.array(ids, dtype=np.int32) for ids in encoded["input_ids"])
    flat = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int32)
    return TokenizedTexts(flat, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))


def tokenize_to_file(tokenizer: Any, texts: Iterable[str], max_tokens: int, folder: Path) -> TokenizedTexts:
    """As :func:`tokenize`, with the token ids in a file without a name in ``folder``, which is mapped.

    A million documents of 125 tokens take 250 MB there, none of which has to stay in memory.
    """
    kind = np.uint16 if len(tokenizer) <= 1 << 16 else np.int32
    lengths = [np.zeros(1, dtype=np.int64)]
    iterator = iter(texts)
    with tempfile.TemporaryFile(dir=folder) as file:
        while some := list(islice(iterator, 1024)):
            tokens = tokenize(tokenizer, some, max_tokens)
            file.write(tokens.flat.astype(kind).tobytes())
            lengths.append(tokens.lengths)
        file.flush()
        starts = np.cumsum(np.concatenate(lengths))
        flat = np.memmap(file, dtype=kind, mode="r", shape=(int(starts[-1]),)) if starts[-1] else np.zeros(0, kind)
    return TokenizedTexts(flat, starts)


def packed(tokens: TokenizedTexts, rows: Sequence[int] | np.ndarray) -> PackedTokens:
    """Some texts without padding, in the order of ``rows``."""
    import torch

    lengths = tokens.lengths[rows]
    ends = np.cumsum(lengths)
    documents = np.repeat(np.arange(len(lengths)), lengths)
    positions = np.arange(ends[-1]) - (ends - lengths)[documents]
    ids = tokens.flat[tokens.starts[:-1][rows][documents] + positions]
    together = np.stack([ids, positions, documents]).astype(np.int64)
    return PackedTokens(torch.from_numpy(together), tuple(lengths.tolist()))


def padded(tokens: TokenizedTexts, rows: Sequence[int] | np.ndarray, pad_id: int) -> PaddedTokens:
    """Some texts as rows of the longest one's length."""
    import torch

    lengths = tokens.lengths[rows]
    mask = np.arange(lengths.max())[None, :] < lengths[:, None]
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask] = np.concatenate([tokens[row] for row in rows])
    return PaddedTokens(torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64)))


def tokens_at_once(kind: str) -> int:
    """Tokens that a device of a kind, ``cpu`` or ``cuda``, computes at once without gradients, by default.

    On an EPYC 1,024 to 8,192 differ by 4 %. A Xeon's matrix unit wants more: with 8,192 MiniLM took .79 to .92 times
    the CPU time of 2,048, with 1,024 1.2 times.
    """
    if kind == "cuda":
        return 65_536
    return 8_192 if has_amx() else 2_048


def token_batches(lengths: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    """Cut rows, longest first, into batches of at most ``budget`` tokens with padding (at least one row)."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, each made in a thread while the one before it is worked on."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, iterator, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, iterator, end)
            yield item  # type: ignore[misc]  # the end was ruled out
