"""Self-training: training documents get new labels from the classifier and the label model together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teleclass.labelling.combination import combine
from teleclass.labelling.decoding import Decoder
from teleclass.labelling.expansion import confidence_weight, ignored_classes
from teleclass.labelling.label_model import LabelModel
from teleclass.labelling.paths import path_margins
from teleclass.labelling.similarity import blocks


@dataclass(frozen=True)
class NewLabels:
    """Labels of n documents: positives and ignored classes by position, and the weight of each document."""

    positives: list[np.ndarray]
    ignored: list[np.ndarray]
    weights: np.ndarray


def relabel(
    embeddings: np.ndarray,
    logits: np.ndarray,
    model: LabelModel,
    decoder: Decoder,
    classifier_weight: float,
    weight_floor: float,
) -> NewLabels:
    """Decode the two posteriors' weighted geometric mean, as the prediction does.

    Parameters
    ----------
    embeddings : (n, D). logits : (n, C), of the same documents.
    """
    paths, taxonomy = decoder.paths, decoder.taxonomy

    def posterior_of(rows: slice | np.ndarray) -> np.ndarray:
        return combine(model.posterior(embeddings[rows], paths), logits[rows], paths, classifier_weight)

    multiplicity = decoder.multiplicity(posterior_of, len(logits))
    found = NewLabels([], [], np.zeros(len(logits), dtype=np.float32))
    for rows in blocks(len(logits), max(paths.n_paths, paths.n_classes)):
        posterior = posterior_of(rows)
        found.weights[rows] = confidence_weight(path_margins(posterior), weight_floor)
        for labels in decoder.decode(posterior, multiplicity):
            found.positives.append(np.array(sorted(labels), dtype=int))
            found.ignored.append(np.array(sorted(ignored_classes(labels, taxonomy)), dtype=int))
    return found
