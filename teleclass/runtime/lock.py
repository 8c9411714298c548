"""One experiment at a time in an output folder."""

from __future__ import annotations

import getpass
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from teleclass.errors import LockedError, TeleclassError

LOCK = ".lock"
HOLDER = ".lock_holder.json"
"""Who holds the lock, in a file of its own: some versions of filelock empty the lock's file when they try it."""


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the lock of an output folder, which is made where it does not exist.

    The kernel takes the lock from a process that dies.

    Raises
    ------
    TeleclassError : the folder cannot be written.
    LockedError : another process holds it; names that process, its machine and since when.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise LockedError(_told(folder)) from None
    except OSError as error:
        raise TeleclassError(f"{folder} cannot be written ({error.strerror}); give another --output_dir") from None
    holder = folder / HOLDER
    try:
        with suppress(OSError):  # a full disk: the lock holds without it
            holder.write_text(json.dumps(_this_process()), "utf-8")
        yield
    finally:
        with suppress(OSError):
            holder.unlink()
        lock.release()


def _this_process() -> dict[str, str | int]:
    user = ""
    with suppress(OSError, KeyError):  # a container's user id without a name
        user = getpass.getuser()
    return {"host": platform.node(), "pid": os.getpid(), "user": user, "since": time.strftime("%Y-%m-%d %H:%M:%S %z")}


def _told(folder: Path) -> str:
    try:
        holder = json.loads((folder / HOLDER).read_text("utf-8"))
        host, who = holder["host"], f"process {holder['pid']} of {holder['user']} on {holder['host']}"
        since = f", since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        host, who, since = platform.node(), "another process", ""
    hint = "" if host == platform.node() else f"; should {host} have died, remove {folder / LOCK}"
    return f"{folder} is being written to by {who}{since}; wait for its end, or give another --output_dir{hint}"
