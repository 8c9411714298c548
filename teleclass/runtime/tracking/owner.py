"""Which process writes a run, so that a run whose process is gone can be told from one that still works."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path


def owner_tags() -> dict[str, str]:
    """Tags that name this process: the machine, the process id, and when that process started."""
    return {"host": platform.node(), "pid": str(os.getpid()), "process_start": _start_of(os.getpid()) or "unknown"}


def is_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process that these tags name ran on this machine and is no more.

    A process id is given again to later processes, hence the comparison of starts.
    """
    if tags.get("host") != platform.node() or not tags.get("pid", "").isdigit():
        return False
    return _start_of(int(tags["pid"])) != tags.get("process_start")


def _start_of(pid: int) -> str | None:
    """When a process started: the boot of the machine and the clock ticks since; None for no process."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    # The name, in parentheses, may hold spaces; the state is the first field after it, and Z has ended.
    fields = status.rpartition(")")[2].split()
    return None if fields[0] == "Z" else f"{boot}/{fields[19]}"
