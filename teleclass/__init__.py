"""teleclass: hierarchical text classification without labels."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from teleclass.classifier import Prediction, TELEClassifier
    from teleclass.pipeline import ExperimentResult, TELEClassPipeline

__all__ = ["ExperimentResult", "Prediction", "TELEClassPipeline", "TELEClassifier"]

_HOMES = {"Prediction": "classifier", "TELEClassifier": "classifier"}
"""Where names lie that are not the pipeline's: the classifier loads without what the experiment needs."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module(f"teleclass.{_HOMES.get(name, 'pipeline')}"), name)
    raise AttributeError(f"module 'teleclass' has no attribute {name!r}")
