"""Processes that this one starts, and how all of them end when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GRACE = 45
"""Seconds that processes get to end by themselves; DeepSpeed's launcher gives its ranks 30."""


WAVE = 2.0
"""Seconds in which signals are one request: a launcher passes on what its whole group has been sent already."""

STARTER = "TELECLASS_STARTED_BY"
"""Environment variable with the process that started an experiment or its launcher: its id and its start."""


class Stopped(SystemExit):
    """A signal asked this process to stop; a program that does not catch it ends with the status that shells expect."""


@contextmanager
def signals_raise() -> Iterator[None]:
    """Turn SIGTERM into :class:`Stopped`, so that runs are closed as KILLED and files are cleaned up.

    Python drops what is raised while it clears up an object. A signal that comes just then, Ctrl-C too, comes again.
    """

    def stop(number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a launcher's second one must not break off the closing
        raise Stopped(128 + number)

    def dropped(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, Stopped | KeyboardInterrupt):
            hook(unraisable)
            return
        number = signal.SIGTERM if isinstance(unraisable.exc_value, Stopped) else signal.SIGINT
        if number == signal.SIGTERM:
            signal.signal(number, stop)
        again = threading.Timer(0.05, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread, as in some notebooks: the caller's handlers stay
        yield
        return
    hook, sys.unraisablehook = sys.unraisablehook, dropped
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGTERM, before)


@dataclass
class StopRequest:
    """The signal that asked this process to stop, and when; 0 where none did."""

    number: int = 0
    since: float = 0.0

    @property
    def is_made(self) -> bool:
        return self.number != 0

    def obey(self) -> None:
        """Raise what the signal stands for; without one, as where another rank got it, as for SIGTERM."""
        raise KeyboardInterrupt if self.number == signal.SIGINT else Stopped(128 + (self.number or signal.SIGTERM))


@contextmanager
def signals_wait() -> Iterator[StopRequest]:
    """The first Ctrl-C or SIGTERM is only noted, so that the block can save what it has and then obey; one that comes
    later is raised at once. What the block has not obeyed is raised at its end.
    """
    request = StopRequest()

    def note(number: int, frame: Any) -> None:
        if not request.is_made:
            request.number, request.since = number, time.monotonic()
        elif time.monotonic() - request.since > WAVE:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            request.obey()

    numbers = (signal.SIGINT, signal.SIGTERM)
    try:
        before = [signal.signal(number, note) for number in numbers]
    except ValueError:  # not the main thread: the caller's handlers stay
        yield request
        return
    try:
        yield request
    finally:
        for number, handler in zip(numbers, before, strict=True):
            # As in signals_raise: a launcher's second SIGTERM must not break off the closing.
            is_answered = request.is_made and number == signal.SIGTERM
            signal.signal(number, signal.SIG_IGN if is_answered else handler)
    if request.is_made:
        request.obey()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C and SIGTERM do nothing while the block runs: it closes what must not stay half open."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    try:
        before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def run_group(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a command to its end, in a process group of its own; returns its exit status.

    Ctrl-C or SIGTERM to this process ends the whole group before it is raised here, as KeyboardInterrupt or
    :class:`Stopped`.
    """
    with signals_raise():
        process = subprocess.Popen(command, env=as_starter(environment), start_new_session=True)
        try:
            return process.wait()
        finally:
            if process.returncode is None:
                with undisturbed():
                    end_group(process)


def as_starter(environment: Mapping[str, str] | None) -> dict[str, str]:
    """An environment for processes that are to end with this one."""
    own = os.environ if environment is None else environment
    return {**own, STARTER: f"{os.getpid()} {process_start(os.getpid())}"}


def end_group(process: subprocess.Popen, grace: float = GRACE) -> None:
    """End a process and those of its group: by SIGTERM, and by SIGKILL those that are there after ``grace`` seconds.

    The first process of a group often ends before the others: DeepSpeed's launcher does while its ranks still close
    their run.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        deadline = time.monotonic() + grace
        while process.poll() is None or _is_alive(process.pid):
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        else:
            return


def process_start(pid: int) -> str | None:
    """When a process started: the boot of the machine and the clock ticks since; None for one that has ended.

    A process id is given again to later processes, hence the start beside it.
    """
    try:
        fields = _status(pid)
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{boot}/{fields[19]}"


def is_stopped(pid: int) -> bool:
    """Whether a process of this machine was stopped, by SIGSTOP or a debugger, and not continued."""
    with suppress(OSError):
        return _status(pid)[0] in "Tt"
    return False


def _status(pid: int) -> list[str]:
    """A process's state and what follows; its name, in parentheses before that, may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _is_alive(group: int) -> bool:
    """Whether a process group has a process that has not ended; ended ones may wait long for whoever started them."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, number = file.read_text().rpartition(")")[2].split()[:3]
            if int(number) == group and state != "Z":
                return True
    return False
