"""The ranks watch each other: one that died, stands still or hangs ends the experiment, with a line that names it."""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from teleclass.errors import RankError, TeleclassError
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.processes import Stopped, is_stopped, process_start
from teleclass.runtime.pulse import Pulse, activity
from teleclass.runtime.standstill import AwakeClock, SupervisionConfig

PERIOD = 1.0
"""Seconds between two beats, and between two looks at the other ranks."""

GRACE = 4.0
"""Seconds that this rank gets to close its run once another one is lost; it may be stuck waiting for that one."""

PATIENCE = 3.0
"""Seconds that the end of another rank may take to show, when a connection to it has broken."""


@dataclass
class _Seen:
    """When a rank last showed something new, in this process's own seconds awake."""

    beat: int = -1
    ticks: int = -1
    meetings: int = -1
    beaten: float = 0.0
    ticked: float = 0.0
    met: float = 0.0
    pulse: Pulse | None = None


@dataclass(frozen=True)
class Loss:
    """A rank that is lost, why in words, and whether it has ended by itself and said so."""

    rank: int
    words: str
    has_told: bool = False


class Supervisor:
    """This rank's watch over the others.

    Rank 0 watches all, the others watch rank 0. Time is counted while this process is awake: one that was stopped
    itself, as by Ctrl-Z, blames nobody for it.

    Parameters
    ----------
    folder : the output folder, for ``logs/``: the pulse of every rank, and what ranks other than 0 write to standard
        error.
    """

    def __init__(self, folder: Path, ranks: Ranks, config: SupervisionConfig):
        self.folder = folder / "logs"
        self.ranks, self.config = ranks, config
        self._terminal = sys.stderr
        self._lock = threading.Lock()
        self._clock = AwakeClock()
        self._awake = 0.0
        self._seen: dict[int, _Seen] = {}
        self._own: Pulse | None = None
        self._end = ""
        self._loss: Loss | None = None
        self._over = threading.Event()
        self._is_closing = False
        self._last_words: Callable[[], None] = lambda: None

    @contextmanager
    def watching(self, last_words: Callable[[], None]) -> Iterator[None]:
        """Watch while the block runs; the ranks must be connected.

        Parameters
        ----------
        last_words : closes the run when this rank has to be ended because it waits for a lost one.

        Raises
        ------
        RankError : in the place of what broke the block when another rank is lost.
        Stopped : in its place when another rank was told to stop.
        """
        self._last_words = last_words
        self._start()
        end = "finished"
        try:
            yield
        except BaseException as error:
            end = _told(error)
            loss, cause = self._blame(error)
            if loss is not None:
                if self._is_speaker(loss.rank) and not self.ranks.is_first:
                    self._say(f"error: {loss.words}")
                self._leave_in_time()
                raise RankError(loss.words) from None
            if cause is not error:
                raise cause from None
            raise
        finally:
            self._is_closing = True
            self._stop(end)

    def log_of(self, rank: int) -> Path:
        """Where a rank other than 0 writes what would go to the terminal."""
        return self.folder / f"rank_{rank}.log"

    def _start(self) -> None:
        run = self.ranks.from_first(uuid.uuid4().hex)
        self._own = Pulse(run, self.ranks.rank, platform.node(), os.getpid(), process_start(os.getpid()) or "")
        if self.ranks.world_size > 1:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self.ranks.is_first:
                self._redirect()
        watched = range(self.ranks.world_size) if self.ranks.is_first else (0, self.ranks.rank)
        self._seen = {rank: _Seen() for rank in watched}
        self._beat()
        threading.Thread(target=self._watch, daemon=True, name="supervisor").start()

    def _redirect(self) -> None:
        """Have standard error go to this rank's log; the terminal stays known, for when rank 0 is lost."""
        with suppress(OSError, ValueError):
            self._terminal = os.fdopen(os.dup(2), "w")
            sys.stderr.flush()
            log = os.open(self.log_of(self.ranks.rank), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(log, 2)
            os.close(log)

    def _stop(self, end: str) -> None:
        with self._lock:
            self._end = end
        self._over.set()
        self._beat()

    def _beat(self) -> None:
        with self._lock:
            if self._own is None:
                return
            self._own = self._own.renewed(activity, self._end)
            if self.ranks.world_size > 1:
                with suppress(OSError):  # a full disk is told elsewhere, and renewing a file needs no space
                    self._own.write(self._file(self.ranks.rank))

    def _watch(self) -> None:
        while not self._over.wait(PERIOD):
            self._awake = self._clock.read()
            self._beat()
            loss = self._look()
            if loss is not None:
                self._give_up(loss)
                return

    def _look(self) -> Loss | None:
        """The first rank that is lost, if one is."""
        with self._lock:
            for rank, seen in self._seen.items():
                pulse = self._own if rank == self.ranks.rank else Pulse.read(self._file(rank))
                if pulse is None or self._own is None or pulse.run != self._own.run:
                    continue  # not there yet, or left by an earlier run
                if pulse.beat != seen.beat:
                    seen.beat, seen.beaten = pulse.beat, self._awake
                if pulse.ticks != seen.ticks or not pulse.is_looping:
                    seen.ticks, seen.ticked = pulse.ticks, self._awake
                if pulse.meetings != seen.meetings or not pulse.is_waiting:
                    seen.meetings, seen.met = pulse.meetings, self._awake
                seen.pulse = pulse
            if self._loss is None:
                self._loss = self._find()
            return self._loss

    def _find(self) -> Loss | None:
        known = {rank: (seen, seen.pulse) for rank, seen in self._seen.items() if seen.pulse is not None}
        for rank, (seen, pulse) in known.items():
            if rank == self.ranks.rank or pulse.end == "finished":
                continue
            if pulse.end.startswith("failed: "):
                return self._loss_of(pulse, pulse.end, has_told=True)
            is_here = pulse.host == platform.node()
            if not pulse.end and is_here and process_start(pulse.pid) != pulse.start:
                return self._loss_of(pulse, "was killed or crashed (often a lack of memory)")
            silent = self._awake - seen.beaten
            # A process of this machine that is not stopped may only be too busy for its threads.
            can_be_busy = is_here and not is_stopped(pulse.pid)
            deadline = self.config.stuck_after if can_be_busy else self.config.stopped_after
            if not pulse.end and deadline and silent >= deadline:
                return self._loss_of(pulse, f"has given no sign of life for {silent:.0f} s (stopped, or cut off)")
        return self._find_standstill([(seen, pulse) for seen, pulse in known.values() if not pulse.end])

    def _find_standstill(self, known: list[tuple[_Seen, Pulse]]) -> Loss | None:
        """The rank that hangs, if one does: a loop stands still, or all ranks wait for each other."""
        deadline = self.config.stuck_after
        if not (self.ranks.is_first and deadline and known):
            return None
        a_loop_stands = any(self._awake - seen.ticked >= deadline for seen, _ in known)
        all_wait = len(known) == self.ranks.world_size and all(self._awake - seen.met >= deadline for seen, _ in known)
        if not a_loop_stands and not all_wait:
            return None
        # Those that wait for the one that hangs wait in a library, have taken more steps or come to more meetings.
        pulse = min(
            (pulse for _, pulse in known), key=lambda one: (one.is_in_library, one.is_waiting, one.meetings, one.ticks)
        )
        return self._loss_of(pulse, f"has made no progress for {deadline} s (it is at {pulse.place})")

    def _loss_of(self, pulse: Pulse, what: str, has_told: bool = False) -> Loss:
        where = f"its log: {self.log_of(pulse.rank)}" if pulse.rank else "its messages stand above"
        words = (
            f"rank {pulse.rank} on {pulse.host}, phase {activity.phase}: {what}; run the same command again, it goes "
            f"on from what is complete; {where}"
        )
        return Loss(pulse.rank, words, has_told)

    def _blame(self, error: BaseException) -> tuple[Loss | None, BaseException]:
        """The rank whose loss is behind an error of this one, if one is; else what this rank ends by."""
        if self._loss is not None or self.ranks.world_size == 1 or isinstance(error, TeleclassError):
            return self._loss, error
        deadline = time.monotonic() + PATIENCE
        try:
            while (loss := self._look()) is None and not isinstance(error, (KeyboardInterrupt, Stopped)):
                if any(seen.pulse is not None and seen.pulse.end == "stopped" for seen in self._seen.values()):
                    return None, Stopped(128 + signal.SIGTERM)
                if time.monotonic() > deadline:
                    return None, error
                time.sleep(0.1)
        except (KeyboardInterrupt, Stopped) as stop:  # the launcher's, as it has seen another rank end
            return self._look(), stop
        return loss, error

    def _is_speaker(self, lost: int) -> bool:
        """Whether it is for this rank to tell of a loss: rank 0, or rank 1 where that is rank 0's, untold."""
        told = self._loss is not None and self._loss.has_told
        return self.ranks.is_first or (lost == 0 and self.ranks.rank == 1 and not told)

    def _give_up(self, loss: Loss) -> None:
        """End the lost rank where it can be reached, and this one, which may never hear of a signal."""
        pulse = self._seen[loss.rank].pulse
        if self._is_speaker(loss.rank) and pulse is not None and loss.rank != self.ranks.rank and not pulse.end:
            end_process(pulse)
        if not self._is_closing:
            os.kill(os.getpid(), signal.SIGTERM)
        if self._over.wait(GRACE):
            return
        if self._is_speaker(loss.rank):
            self._say(f"error: {loss.words}")
        closing = threading.Thread(target=self._last_words, daemon=True)
        closing.start()
        closing.join(GRACE / 2)
        os._exit(1)

    def _leave_in_time(self) -> None:
        """End this rank in any case, once its run is closed: taking leave of a lost rank may take for ever."""
        if self.ranks.world_size > 1:  # else the process may go on to something else
            timer = threading.Timer(GRACE, os._exit, (1,))
            timer.daemon = True
            timer.start()

    def _say(self, line: str) -> None:
        with suppress(OSError, ValueError):
            print(line, file=self._terminal, flush=True)

    def _file(self, rank: int) -> Path:
        return self.folder / f"rank_{rank}.json"


def end_process(pulse: Pulse) -> None:
    """End a rank's process by SIGKILL, where it is of this machine and still the same."""
    if pulse.host == platform.node() and process_start(pulse.pid) == pulse.start:
        with suppress(OSError):
            os.kill(pulse.pid, signal.SIGKILL)


def _told(error: BaseException) -> str:
    """How an error ends this rank, as the others read it."""
    if isinstance(error, (KeyboardInterrupt, Stopped)):
        return "stopped"
    words = str(error).strip().splitlines() or [""]
    name = "" if isinstance(error, TeleclassError) else f"{type(error).__name__}: "
    return f"failed: {name}{words[0]}"
