"""Training rows: positives, ignored classes and weight, three separate things."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from teleclass.data.taxonomy import Taxonomy


@dataclass(frozen=True)
class ExpansionConfig:
    """How pseudo labels become training rows.

    Parameters
    ----------
    weight_floor
        weight of a document whose two best paths are equally likely, where a sure one weighs 1. Unsure
        documents are kept: dropping them empties the rare classes.
    """

    weight_floor: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.weight_floor <= 1:
            raise ValueError("expansion.weight_floor must lie between 0 and 1")


def ignored_classes(positives: Iterable[int], taxonomy: Taxonomy) -> set[int]:
    """The descendants of a document's deepest classes.

    Its label says that the document belongs there, and nothing about which of the classes below it belongs to, so
    they are neither positive nor negative (TELEClass, section 3.4).
    """
    positives = set(positives)
    deepest = [node for node in positives if positives.isdisjoint(taxonomy.children(node))]
    below: set[int] = set()
    return below.union(*(taxonomy.descendants(node) for node in deepest)) - positives


def confidence_weight(margin: np.ndarray, floor: float) -> np.ndarray:
    """Weight from the gap between a document's two best paths, (documents,), between ``floor`` and 1."""
    return floor + (1 - floor) * np.clip(margin, 0, 1)


def generated_weight(n_corpus: int, n_generated: int) -> float:
    """Weight of a generated document: |corpus documents| / |generated documents|, and never above 1.

    TELEClass, section 3.4, so that many written documents do not outweigh the corpus.
    """
    return min(1.0, n_corpus / n_generated) if n_generated else 0.0


def mean_one(weights: np.ndarray) -> np.ndarray:
    """Scale weights to a mean of 1, so that the loss means the same whatever the weights."""
    mean = weights.mean() if len(weights) else 0
    return weights / mean if mean > 0 else np.ones_like(weights)
