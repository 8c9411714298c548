"""What is measured on: the texts of a data folder, and how many classes it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "teleclass" / "data" / "sample"
REVIEWS = ROOT.parent / "shared" / "data" / "amazon_531_generated"


@dataclass(frozen=True)
class Documents:
    """Texts to measure on, in the order of the files and in turn again where they don't suffice."""

    texts: tuple[str, ...]
    n_classes: int

    def first(self, number: int) -> list[str]:
        return [self.texts[index % len(self.texts)] for index in range(number)]


def default_folder() -> Path:
    """531 classes of reviews where they lie beside the source tree, else the sample that comes with it."""
    return REVIEWS if REVIEWS.is_dir() else SAMPLE


def read_documents(data_dir: Path) -> Documents:
    """The documents of a data folder that are not empty; gold is not read."""
    from teleclass.data.dataset import read_dataset

    data = read_dataset(data_dir)
    return Documents(tuple(text for text in data.corpus.texts if text), data.taxonomy.n_classes)


def random_targets(n_documents: int, n_classes: int, seed: int = 0) -> list[np.ndarray]:
    """Three classes a document, drawn at random: what is learnt does not change how fast it is learnt."""
    generator = np.random.default_rng(seed)
    return [generator.choice(n_classes, size=min(3, n_classes), replace=False) for _ in range(n_documents)]


def lengths_like_reviews(number: int, longest: int = 168, seed: int = 0) -> np.ndarray:
    """Tokens a document: from 8 to ``longest``, with the mean of the reviews, 125 of 168, mostly near the longest."""
    share = np.random.default_rng(seed).beta(4.4, 1.62, size=number)
    return np.rint(8 + (longest - 8) * share).astype(np.int64)


def mean_length(texts: Sequence[str], model: Path, max_tokens: int) -> float:
    """Mean tokens of texts as a model reads them."""
    from transformers import AutoTokenizer

    from teleclass.model.batching import tokenize

    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    return float(tokenize(tokenizer, texts, max_tokens).lengths.mean())
