"""The classifier's logits and the label model's posterior, made into one posterior over paths."""

from __future__ import annotations

import numpy as np

from teleclass.labelling.paths import PathIndex
from teleclass.labelling.similarity import softmax


def classifier_log_posterior(logits: np.ndarray, paths: PathIndex) -> np.ndarray:
    """Log probability of every path under the classifier, shape (rows, P).

    With independent classes a path has the probability of σ on it times 1 − σ off it; divided by the product of
    1 − σ over all classes, which is the same for every path, that is exp of the sum of the path's logits.
    """
    summed = np.ascontiguousarray((paths.membership @ logits.T).T)
    shifted = summed - summed.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def combine(posterior: np.ndarray, logits: np.ndarray, paths: PathIndex, classifier_weight: float) -> np.ndarray:
    """Weighted geometric mean of both posteriors over paths, shape (rows, P).

    Parameters
    ----------
    posterior : (rows, P), the label model's.
    logits : (rows, C), the classifier's.
    classifier_weight : 0 takes the label model alone, 1 the classifier alone.
    """
    log_posterior = np.log(np.maximum(posterior, 1e-12))
    return softmax(
        (1 - classifier_weight) * log_posterior + classifier_weight * classifier_log_posterior(logits, paths)
    )
