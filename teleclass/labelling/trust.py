"""Trust without gold: what the views of a corpus say of each other."""

from __future__ import annotations

import numpy as np

from teleclass.labelling.combination import classifier_log_posterior
from teleclass.labelling.label_model import LabelModel
from teleclass.labelling.paths import PathIndex
from teleclass.labelling.similarity import blocks


def entropy(model: LabelModel, embeddings: np.ndarray, paths: PathIndex) -> float:
    """Mean entropy of the path posterior, as a share of that of a uniform one: 0 is sure, 1 knows nothing."""
    if paths.n_paths < 2 or not len(embeddings):
        return 0.0
    total = 0.0
    for rows in blocks(len(embeddings)):
        posterior = model.posterior(embeddings[rows], paths)
        total -= float((posterior * np.log(np.maximum(posterior, 1e-12))).sum())
    return total / len(embeddings) / float(np.log(paths.n_paths))


def agreement_with_classifier(model: LabelModel, embeddings: np.ndarray, logits: np.ndarray, paths: PathIndex) -> float:
    """Share of documents for which label model and classifier, each alone, find the same path most probable.

    Parameters
    ----------
    logits : (documents, C), the classifier's.
    """
    if not len(embeddings):
        return 1.0
    same = 0
    for rows in blocks(len(embeddings)):
        labelled = model.posterior(embeddings[rows], paths).argmax(axis=1)
        same += int((labelled == classifier_log_posterior(np.asarray(logits[rows]), paths).argmax(axis=1)).sum())
    return same / len(embeddings)
