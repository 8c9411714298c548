"""Processes that neither work nor end, and when they are given up."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from teleclass.runtime.processes import is_stopped

MOST_AT_ONCE = 2.0
"""Seconds that count between two readings of the clock; a longer gap is one in which this process was stopped."""


@dataclass(frozen=True)
class SupervisionConfig:
    """When a process that does not end by itself is given up.

    Parameters
    ----------
    stopped_after
        seconds without a sign of life after which a rank or worker counts as lost, as when it was stopped or its
        machine is gone; 0 waits for ever.
    stuck_after
        seconds without progress, within a loop, after which a rank or worker counts as lost though it lives; 0 waits
        for ever.
    """

    stopped_after: int = 60
    stuck_after: int = 3600

    def __post_init__(self) -> None:
        if self.stopped_after < 0 or self.stuck_after < 0:
            raise ValueError("supervision.stopped_after and supervision.stuck_after must be 0 or more")


DEADLINES = SupervisionConfig()
"""Those of whoever configures none."""


class AwakeClock:
    """Seconds in which this process was not stopped itself, as by Ctrl-Z; read it every second or so."""

    def __init__(self) -> None:
        self._awake = 0.0
        self._read = time.monotonic()

    def read(self) -> float:
        now = time.monotonic()
        self._awake += min(now - self._read, MOST_AT_ONCE)
        self._read = now
        return self._awake


class Standstill:
    """Finds the process that has stood still for too long; ask every second or so.

    Parameters
    ----------
    stopped_after : seconds that a process may be stopped (SIGSTOP); 0 for any time.
    stuck_after : seconds that it may count no step; 0 for any time.
    """

    def __init__(self, stopped_after: float, stuck_after: float = 0):
        self.stopped_after, self.stuck_after = stopped_after, stuck_after
        self._clock = AwakeClock()
        self._running: dict[int, float] = {}
        self._steps: dict[int, tuple[int, float]] = {}

    def find(self, steps: Iterable[tuple[int, int]]) -> tuple[int, str] | None:
        """The place of the first process that stands still, and why in words.

        Parameters
        ----------
        steps : (process id, steps that it has counted); one that counts none gives a negative number.
        """
        now = self._clock.read()
        for place, (pid, count) in enumerate(steps):
            if not is_stopped(pid):
                self._running[pid] = now
            before, since = self._steps.get(pid, (-1, now))
            if count != before or count < 0:
                self._steps[pid] = (count, now)
            stopped = now - self._running.setdefault(pid, now)
            if self.stopped_after and stopped >= self.stopped_after:
                return place, f"was stopped for {stopped:.0f} s"
            if self.stuck_after and now - self._steps.setdefault(pid, (count, since))[1] >= self.stuck_after:
                return place, f"made no progress for {self.stuck_after:.0f} s"
        return None
