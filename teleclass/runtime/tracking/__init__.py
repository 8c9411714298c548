"""MLflow: the one place that imports it. One run an experiment, written by rank 0."""

from teleclass.runtime.tracking.config import TrackingConfig
from teleclass.runtime.tracking.owner import PARENT_VARIABLE
from teleclass.runtime.tracking.store import has_store, shown_uri, tracking_uri, ui_command
from teleclass.runtime.tracking.tracker import TrackedCorpus, Tracker

__all__ = [
    "PARENT_VARIABLE",
    "TrackedCorpus",
    "Tracker",
    "TrackingConfig",
    "has_store",
    "shown_uri",
    "tracking_uri",
    "ui_command",
]
