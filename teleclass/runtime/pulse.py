"""Signs of life: what this process is at, counted up as it works, and written where other ranks can read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

RECORD_BYTES = 2048
"""Of a pulse's file: always the same, so that renewing it needs no space on the disk."""


@dataclass
class Activity:
    """What this process is at.

    Attributes
    ----------
    phase : of the experiment.
    ticks : steps of loops, counted over all of them.
    loops : loops under way, each of whose steps takes seconds.
    waits : whether it waits for other ranks, which may take hours.
    """

    phase: str = "start"
    ticks: int = 0
    loops: int = 0
    waits: int = 0

    def tick(self) -> None:
        self.ticks += 1

    @contextmanager
    def looping(self) -> Iterator[None]:
        """A loop whose steps :meth:`tick`."""
        self.loops += 1
        try:
            yield
        finally:
            self.loops -= 1

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """For other ranks, however long they take."""
        self.waits += 1
        try:
            yield
        finally:
            self.waits -= 1


activity = Activity()
"""This process's own."""


@dataclass(frozen=True)
class Pulse:
    """What a rank last said of itself.

    Attributes
    ----------
    run : tells this start of an experiment from others in the same folder.
    pid, start : the process, and when it started.
    beat : counted up every second by a thread of its own.
    ticks, is_looping : see :class:`Activity`; a rank that waits for others is in no loop.
    end : empty while it runs; ``finished``, ``stopped``, or ``failed: `` and why.
    """

    run: str
    rank: int
    host: str
    pid: int
    start: str
    phase: str = "start"
    beat: int = 0
    ticks: int = 0
    is_looping: bool = False
    end: str = ""

    def renewed(self, now: Activity, end: str) -> Pulse:
        return replace(
            self, phase=now.phase, beat=self.beat + 1, ticks=now.ticks, is_looping=now.loops > 0 and not now.waits,
            end=end,
        )  # fmt: skip

    def write(self, file: Path) -> None:
        """Write it over the one before; a reader may meet half of each, and reads again."""
        words = json.dumps(asdict(self) | {"end": self.end[:400]}).encode()
        with file.open("r+b" if file.exists() else "wb") as stream:
            stream.write(words.ljust(RECORD_BYTES))

    @classmethod
    def read(cls, file: Path) -> Pulse | None:
        """The pulse of a file; None where there is none, or where it was met half-written."""
        try:
            return cls(**json.loads(file.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
