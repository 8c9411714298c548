"""Trust without gold: what the views of a corpus say of each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from teleclass.labelling.combination import classifier_log_posterior
from teleclass.labelling.label_model import LabelModel
from teleclass.labelling.paths import PathIndex
from teleclass.labelling.similarity import blocks, sample_rows

SAMPLE = 32_768
"""Documents that the mean entropy is taken over at most."""


def entropy(model: LabelModel, embeddings: np.ndarray, paths: PathIndex) -> float:
    """Mean entropy of the path posterior, as a share of that of a uniform one: 0 is sure, 1 knows nothing.

    Of more documents than :data:`SAMPLE` so many, drawn at random, are looked at.
    """
    if paths.n_paths < 2 or not len(embeddings):
        return 0.0
    chosen = sample_rows(len(embeddings), SAMPLE)
    total = 0.0
    for rows in blocks(len(chosen), paths.n_paths):
        posterior = model.posterior(embeddings[chosen[rows]], paths)
        total -= float((posterior * np.log(np.maximum(posterior, 1e-12))).sum())
    return total / len(chosen) / float(np.log(paths.n_paths))


def best_paths(
    model: LabelModel, embeddings: np.ndarray, logits: np.ndarray, paths: PathIndex
) -> tuple[np.ndarray, np.ndarray]:
    """The most probable path of each document by the label model alone and by the classifier alone, (documents,) each.

    Parameters
    ----------
    logits : (documents, C), the classifier's.
    """
    labelled, classified = np.zeros((2, len(embeddings)), dtype=np.int64)
    for rows in blocks(len(embeddings), paths.n_classes):
        labelled[rows] = model.posterior(embeddings[rows], paths).argmax(axis=1)
        classified[rows] = classifier_log_posterior(np.asarray(logits[rows]), paths).argmax(axis=1)
    return labelled, classified


def agreement_by_level(one: Iterable[Sequence[int]], other: Iterable[Sequence[int]]) -> list[float]:
    """Share of documents whose two paths, root first, pass the same class on each level, from the first level down.

    A level counts the documents of which either path reaches it: one path that ends early disagrees below.
    """
    same: list[int] = []
    reached: list[int] = []
    for left, right in zip(one, other, strict=True):
        depth = max(len(left), len(right))
        if depth > len(reached):
            same += [0] * (depth - len(same))
            reached += [0] * (depth - len(reached))
        for level in range(depth):
            reached[level] += 1
            same[level] += level < min(len(left), len(right)) and left[level] == right[level]
    return [hits / number for hits, number in zip(same, reached, strict=True)]
