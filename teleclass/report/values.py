"""What the evaluate phase hands the report: values alone, so that the report reads no file, and no gold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from teleclass.data.dataset import Dataset
from teleclass.runtime.artifacts import Marker


@dataclass(frozen=True)
class AgainstGold:
    """Documents with gold.

    Attributes
    ----------
    rows : (G,), their rows among the predicted documents.
    labels : their gold sets, by class position.
    f1 : (G,), Example-F1.
    probability, is_right : of every label given to them, (labels,).
    by_class, by_level : columns of the tables by class and by level.
    """

    rows: np.ndarray
    labels: list[set[int]]
    f1: np.ndarray
    probability: np.ndarray
    is_right: np.ndarray
    by_class: Mapping[str, list]
    by_level: Mapping[str, list]


@dataclass(frozen=True)
class RunValues:
    """A run's results.

    Attributes
    ----------
    phases : completion markers of the phases before evaluate, in their order.
    reused : names of the phases that were not run this time.
    metrics : by their MLflow names, those of all phases.
    learning_curve : columns of the learning curve, (points,) each.
    pseudo_labelled, augmented : (C,), training documents of each class by pseudo labels, and those added.
    predicted : label sets of the N documents to be filed, by class position.
    margin : (N,), their confidence, the gap between their two best paths.
    label_model_paths, classifier_paths : the N paths that each finds most probable alone, root first.
    gold : None where no predicted document has any.
    """

    data: Dataset
    phases: Mapping[str, Marker]
    reused: Sequence[str]
    metrics: Mapping[str, float]
    learning_curve: Mapping[str, np.ndarray]
    pseudo_labelled: np.ndarray
    augmented: np.ndarray
    predicted: list[set[int]]
    margin: np.ndarray
    label_model_paths: list[list[int]]
    classifier_paths: list[list[int]]
    gold: AgainstGold | None = field(default=None)

    def name(self, node: int) -> str:
        """A class's name as it is read."""
        return self.data.taxonomy.names[node].replace("_", " ")
