"""Trust without gold: what the views of a corpus say of each other."""

from __future__ import annotations

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


def agreement_with_classifier(model: LabelModel, embeddings: np.ndarray, logits: np.ndarray, paths: PathIndex) -> float:
    """Share of documents for which label model and classifier, each alone, find the same path most probable.

    Parameters
    ----------
    logits : (documents, C), the classifier's.
    """
    if not len(embeddings):
        return 1.0
    same = 0
    for rows in blocks(len(embeddings), paths.n_classes):
        labelled = model.posterior(embeddings[rows], paths).argmax(axis=1)
        same += int((labelled == classifier_log_posterior(np.asarray(logits[rows]), paths).argmax(axis=1)).sum())
    return same / len(embeddings)
