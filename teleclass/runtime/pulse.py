"""Signs of life: what this process is at, counted up as it works, and written where other ranks can read it."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

RECORD_BYTES = 2048
"""Of a pulse's file: always the same, so that renewing it needs no space on the disk."""


MEETING_PLACES = (
    "/torch/distributed/", "/deepspeed/", "/teleclass/runtime/distributed.py", "/teleclass/runtime/exchange.py",
)  # fmt: skip
"""Parts of file names of the code in which ranks wait for each other."""


@dataclass
class Activity:
    """What this process is at.

    Attributes
    ----------
    phase : of the experiment.
    ticks : steps of loops, counted over all of them.
    loops : loops under way, each of whose steps takes seconds.
    waits : whether it waits for other ranks, which may take hours.
    meetings : waits for other ranks that it has begun; the same on every rank once all are there.
    """

    phase: str = "start"
    ticks: int = 0
    loops: int = 0
    waits: int = 0
    meetings: int = 0

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
        self.meetings += 1
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
    ticks, is_looping, is_waiting, meetings : see :class:`Activity`; a rank that waits for others is in no loop.
    place : where its main thread is: a file, a line and a function.
    is_in_library : whether that is in torch.distributed or DeepSpeed, or in our calls of them, where ranks meet.
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
    is_waiting: bool = False
    meetings: int = 0
    place: str = ""
    is_in_library: bool = False
    end: str = ""

    def renewed(self, now: Activity, end: str) -> Pulse:
        file, place = _place()
        return replace(
            self,
            phase=now.phase,
            beat=self.beat + 1,
            ticks=now.ticks,
            is_looping=now.loops > 0 and not now.waits,
            is_waiting=now.waits > 0,
            meetings=now.meetings,
            place=place,
            is_in_library=any(one in file for one in MEETING_PLACES),
            end=end,
        )

    def write(self, file: Path) -> None:
        """Write it over the one before; a reader may meet half of each, and reads again."""
        words = json.dumps(asdict(self) | {"end": self.end[:200]}).encode()
        with file.open("r+b" if file.exists() else "wb") as stream:
            stream.write(words.ljust(RECORD_BYTES))

    @classmethod
    def read(cls, file: Path) -> Pulse | None:
        """The pulse of a file; None where there is none, or where it was met half-written."""
        try:
            return cls(**json.loads(file.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None


def _place() -> tuple[str, str]:
    """The file that the main thread is in, and with it the line and the function."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    if frame is None:
        return "", ""
    file, name = frame.f_code.co_filename, frame.f_code.co_name
    return file, f"{Path(file).name}, line {frame.f_lineno}, in {name}"
