"""A run's values on the seven-class data set, without having run it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from teleclass.data.dataset import Dataset, read_dataset
from teleclass.labelling.errors_in_taxonomy import taxonomy_errors
from teleclass.labelling.metrics import class_table, example_f1, level_table
from teleclass.report.values import AgainstGold, RunValues
from teleclass.runtime.artifacts import Marker

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)

GOLD = [{FOOD, FRUIT}, {TOOLS, LADDERS}, {FOOD, BREAD, BREAD_KNIVES}, {FOOD, BREAD}]
PREDICTED = [{FOOD, FRUIT}, {TOOLS, KNIVES}, {FOOD, BREAD}, {FOOD, FRUIT}]
"""Right, a sibling, too short, a sibling."""

CURVE = {
    "step": [1.0, 10.0, 20.0],
    "loss": [5.0, 3.0, 2.0],
    "learning_rate": [0.0, 5e-5, 1e-5],
    "loss_scale": [65536.0, 32768.0, 32768.0],
    "skipped_steps": [0.0, 1.0, 1.0],
}


def against_gold(data: Dataset, predicted: list[set[int]], gold: list[set[int]]) -> AgainstGold:
    errors = taxonomy_errors(predicted, gold, data.taxonomy)
    return AgainstGold(
        rows=np.arange(len(gold)),
        labels=gold,
        f1=np.array([example_f1([p], [g]) for p, g in zip(predicted, gold, strict=True)]),
        kinds=errors.kinds,
        wrong_classes=errors.wrong_classes,
        confused=errors.confused,
        reliability={"labels": np.array([4, 4]), "probability": np.array([0.6, 0.9]), "accuracy": np.array([0.5, 1.0])},
        by_class=class_table(predicted, gold, data.taxonomy),
        by_level=level_table(predicted, gold, data.taxonomy),
    )


def run_values(folder: Path, with_gold: bool = True, **changes) -> RunValues:
    """The four test documents, predicted and with gold as above."""
    data = read_dataset(folder)
    phases = {
        "label": Marker("", 2.5, {"label/coverage": 1.0}, {"label_choice": "both", "label_reason": "so"}, rss_mb=300.0),
        "train": Marker("", 75.0, {"train/steps": 20.0}, {"precision_asked": "fp16", "precision_used": "bf16"},
                        notes=["8 documents"], rss_mb=2048.0, gpu_memory_mb=512.0),
    }  # fmt: skip
    values = RunValues(
        data=data,
        phases=phases,
        reused=["label"],
        metrics={"label/coverage": 1.0, "test/example_f1": 0.7, "test/mean_confidence": 0.5, "train/steps": 20.0},
        learning_curve={name: np.array(column) for name, column in CURVE.items()},
        pseudo_labelled=np.array([5, 3, 2, 4, 1, 3, 0]),
        augmented=np.array([1, 0, 1, 1, 1, 0, 1]),
        predicted=PREDICTED,
        margin=np.array([0.9, 0.2, 0.6, 0.4]),
        agrees=np.array([True, False, True, False]),
        agreement_by_level=[0.75, 0.5],
    )
    gold = against_gold(data, PREDICTED, GOLD) if with_gold else None
    return replace(values, **({"gold": gold} | changes))
