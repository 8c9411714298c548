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
    kinds : what is wrong with each, one of the kinds of :mod:`teleclass.labelling.errors_in_taxonomy`.
    wrong_classes : number of wrong classes by (kind, level).
    confused : documents by (missed class, wrong sibling), by class position.
    reliability : columns ``labels``, ``probability`` and ``accuracy`` of bins of labels, from the least probable up.
    by_class, by_level : columns of the tables by class and by level.
    """

    rows: np.ndarray
    labels: Sequence[set[int]]
    f1: np.ndarray
    kinds: Sequence[str]
    wrong_classes: Mapping[tuple[str, int], int]
    confused: Mapping[tuple[int, int], int]
    reliability: Mapping[str, np.ndarray]
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
    agrees : (N,), whether label model and classifier, each alone, find the same path most probable.
    agreement_by_level : share of documents for which they pass the same class on each level, from the first down.
    gold : None where no predicted document has any.
    """

    data: Dataset
    phases: Mapping[str, Marker]
    reused: Sequence[str]
    metrics: Mapping[str, float]
    learning_curve: Mapping[str, np.ndarray]
    pseudo_labelled: np.ndarray
    augmented: np.ndarray
    predicted: Sequence[set[int]]
    margin: np.ndarray
    agrees: np.ndarray
    agreement_by_level: list[float]
    gold: AgainstGold | None = field(default=None)

    @property
    def repairs(self) -> list[str]:
        """What was mended in the data folder, a sentence a file."""
        return self.data.mender.summary(self.data.folder)

    def name(self, node: int) -> str:
        """A class's name as it is read."""
        return self.data.taxonomy.names[node].replace("_", " ")
