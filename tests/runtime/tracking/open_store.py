"""A process that opens the store at the same moment as another one; see the fixture made_at_once."""

import sys
import time
from pathlib import Path

import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  # the slow part, so that both meet at the store

from teleclass.runtime.tracking import Tracker, TrackingConfig

Path(f"ready_{sys.argv[1]}").touch()
while len(list(Path().glob("ready_*"))) < 2:
    time.sleep(0.005)
tracker = Tracker(TrackingConfig(experiment="at once", run_name=sys.argv[1]))
tracker.start({"process": sys.argv[1]}, {})
tracker.end("FINISHED")
