"""What the machine does during a run: MLflow's own sampling of CPU, memory, disk, network and GPUs."""

from __future__ import annotations

import logging
from typing import Any

from teleclass.runtime.console import log
from teleclass.runtime.tracking.store import tracking_uri

SECONDS = 10
"""Between two samples: a run of an hour has 360 of each metric."""


class NodeMonitor:
    """Samples this machine into a run until it is stopped.

    Parameters
    ----------
    node : goes into the metrics' names, ``system/node_1/…``; None where there is one machine alone.
    """

    def __init__(self, run_id: str, node: int | None = None):
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self._monitor: Any = SystemMetricsMonitor(
            run_id,
            sampling_interval=SECONDS,
            node_id=None if node is None else f"node_{node}",
            tracking_uri=tracking_uri(),
        )
        self._monitor.start()

    def stop(self) -> None:
        """Send what is sampled and end the thread."""
        self._monitor.finish()

    def abandon(self) -> None:
        """Have the thread end by itself, without a word and without sending anything: the store has failed."""
        logging.getLogger("mlflow").setLevel(logging.CRITICAL)
        self._monitor._shutdown_event.set()


def start_monitor(run_id: str, node: int | None) -> NodeMonitor | None:
    """A started monitor; None, with a word about it, where psutil is not installed."""
    try:
        return NodeMonitor(run_id, node)
    except ImportError as error:
        log.info("  no system metrics: %s", error)
        return None
