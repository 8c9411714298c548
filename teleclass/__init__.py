"""teleclass: hierarchical text classification without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from teleclass.pipeline import ExperimentResult, TELEClassPipeline

__all__ = ["ExperimentResult", "TELEClassPipeline"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from teleclass import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'teleclass' has no attribute {name!r}")
