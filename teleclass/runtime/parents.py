"""No process outlives the one that started it: ranks follow their launcher, workers follow their rank."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from teleclass.runtime.processes import STARTER, process_start

LAUNCHERS = ("deepspeed", "deepspeed.launcher.runner", "deepspeed.launcher.launch", "torchrun", "torch.distributed.run")
"""Programs and modules that start ranks."""

SECONDS_TO_CLOSE = 2.5
"""For a rank whose launcher is gone to close its run and its files before it is ended."""

_PR_SET_PDEATHSIG = 1  # from linux/prctl.h
_PERIOD = 0.5

Process = tuple[int, str]
"""A process id and the start of that process."""


@cache
def follow_launcher() -> None:
    """From now on end this process soon after what started it for us: DeepSpeed's launcher, or this program.

    DeepSpeed's ``deepspeed`` starts a launcher on each machine, which starts the ranks; either can be killed alone. A
    process that a user started by hand follows nobody.
    """
    parent = os.getppid()
    if is_launcher(parent):
        end_with_parent(signal.SIGTERM)
    followed = _ancestors(parent)
    if os.getppid() != parent or _has_lost_its_launcher(parent):
        os._exit(128 + signal.SIGTERM)  # it ended before the kernel was asked
    if not followed:
        return
    threading.Thread(target=_follow, args=(followed,), daemon=True, name="launcher watch").start()


def follow_parent(is_of_main_thread: bool = False) -> None:
    """End this worker process when its parent ends, however that happened.

    The kernel would take the end of the thread that started a worker for the end of its parent; hence a pipe tells,
    which closes with the process. A stopped worker hears of it by the kernel alone.

    Parameters
    ----------
    is_of_main_thread : whether the parent's main thread started this worker.
    """
    import multiprocessing
    from multiprocessing.connection import wait

    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if is_of_main_thread:
        end_with_parent(signal.SIGKILL)

    def end() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end, daemon=True, name="parent watch").start()


def end_with_parent(number: int) -> None:
    """Have the kernel send this process a signal when its parent ends.

    The kernel watches the parent's thread: only for children that a main thread started.
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def is_launcher(pid: int) -> bool:
    """Whether a process is one that starts ranks."""
    return any(Path(word).name in LAUNCHERS for word in _command(pid))


def _ancestors(parent: int) -> list[Process]:
    """The processes that this one is to follow: launchers above it, and this program where it started them."""
    found: list[Process] = []
    pid, _, start = os.environ.get(STARTER, "").partition(" ")
    if pid.isdigit():
        found.append((int(pid), start))
    while parent > 0 and is_launcher(parent):
        found.append((parent, process_start(parent) or "ended"))
        parent = _parent_of(parent)
    return found


def _has_lost_its_launcher(parent: int) -> bool:
    """Whether DeepSpeed's launcher started this process and the kernel has given it another parent since."""
    return "CROSS_RANK" in os.environ and parent == 1 and not is_launcher(parent)


def _follow(followed: list[Process]) -> None:
    while all(process_start(pid) == start for pid, start in followed):
        time.sleep(_PERIOD)
    for pid, start in followed:  # DeepSpeed's launcher does not notice that its own is gone
        if process_start(pid) == start and is_launcher(pid):
            with suppress(OSError):
                os.kill(pid, signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_CLOSE)
    os._exit(128 + signal.SIGTERM)


def _command(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    return []


def _parent_of(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0
