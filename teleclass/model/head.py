"""Where the label-matching head starts: at the labelling's own scores, not at random ones."""

from __future__ import annotations

import numpy as np
import torch

from teleclass.model.classifier import LabelMatchingClassifier

MAX_PAIRS = 2_000_000
"""(document, class) pairs that scale and bias are fitted on at most."""


@torch.no_grad()
def start_head(
    classifier: LabelMatchingClassifier,
    features: np.ndarray,
    documents: np.ndarray,
    class_vectors: np.ndarray,
    targets: np.ndarray,
) -> None:
    """Set the head so that its first logits reproduce the scores that the pseudo labels came from.

    The projection is the ridge regression of the labelling's document vectors on BERT's features; scale and bias are
    a logistic regression of the pseudo labels on the resulting cosines. With a random head, hundreds of classes and
    few documents the first epochs would only rediscover what the labelling knows.

    Parameters
    ----------
    features : (n, hidden size), :meth:`LabelMatchingClassifier.document_features` of n training documents.
    documents : (n, D), their vectors as the label model sees them.
    class_vectors : (C, D).
    targets : (n, C), 0 or 1.
    """
    from sklearn.linear_model import LogisticRegression, Ridge

    strength = 1e-3 * float((features - features.mean(axis=0)).var(axis=0).sum())
    ridge = Ridge(alpha=max(strength, 1e-6)).fit(features, documents)
    projected = features @ ridge.coef_.T + ridge.intercept_
    projected /= np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-9)
    rows = np.random.default_rng(0).permutation(len(features))[: max(1, MAX_PAIRS // len(class_vectors))]
    cosine = (projected[rows] @ class_vectors.T).reshape(-1, 1)
    labels = targets[rows].reshape(-1)
    scale, bias = 20.0, -8.0
    if 0 < labels.sum() < len(labels):
        fitted = LogisticRegression(C=1e6).fit(cosine, labels)
        scale, bias = max(1.0, float(fitted.coef_[0, 0])), float(fitted.intercept_[0])
    classifier.projection.weight.copy_(torch.from_numpy(ridge.coef_.astype(np.float32)))
    classifier.projection.bias.copy_(torch.from_numpy(np.asarray(ridge.intercept_, dtype=np.float32)))
    classifier.class_vectors.copy_(torch.from_numpy(np.asarray(class_vectors, dtype=np.float32)))
    classifier.class_bias.fill_(bias)
    classifier.log_scale.fill_(float(np.log(scale)))
