"""Texts as a model's tokenizer sees them: how long they are, what of them is cut, and what it does not know."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 1024
UNLIMITED = 10**9
"""A tokenizer's limit from here on is none: some write 10^30."""


@dataclass(frozen=True)
class TokenCounts:
    """Tokens of N texts, none of them cut.

    Attributes
    ----------
    lengths : (N,), with the special tokens.
    unknown : (N,), how many of them the tokenizer has no piece for; 0 where it knows none such.
    """

    lengths: np.ndarray
    unknown: np.ndarray

    @property
    def unknown_share(self) -> np.ndarray:
        """(N,), of the tokens that are not special."""
        return self.unknown / np.maximum(1, self.lengths - 2)


def count_tokens(folder: Path, texts: Sequence[str]) -> TokenCounts:
    """Tokenise texts whole and count.

    Parameters
    ----------
    folder : a model's, with its tokenizer.
    """
    tokenizer = _tokenizer(folder)
    unknown_id = tokenizer.unk_token_id
    lengths: list[int] = []
    unknown: list[int] = []
    for start in range(0, len(texts), BLOCK):
        encoded = tokenizer(list(texts[start : start + BLOCK]), truncation=False, return_attention_mask=False)
        for ids in encoded["input_ids"]:
            lengths.append(len(ids))
            unknown.append(0 if unknown_id is None else ids.count(unknown_id))
    return TokenCounts(np.array(lengths, dtype=np.int64), np.array(unknown, dtype=np.int64))


def mean_tokens(folder: Path, texts: Sequence[str], limit: int) -> float:
    """Mean number of tokens that are read of a text."""
    return float(np.minimum(count_tokens(folder, texts).lengths, limit).mean()) if texts else 0.0


def token_limit(folder: Path, asked: int = 0) -> int:
    """Tokens that are read of a text: the model's own limit, or ``asked`` where that is lower and not 0."""
    files = (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length"))
    known = [int(found) for file, key in files if (found := _read(folder / file).get(key))]
    own = min([limit for limit in known if limit < UNLIMITED], default=512)
    return min(own, asked) if asked else own


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}


@cache
def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    tokenizer.model_max_length = UNLIMITED  # else every text above it is warned of
    return tokenizer
