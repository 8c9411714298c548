"""Which process writes a run, so that a run whose process is gone can be told from one that still works."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping

from teleclass.runtime.processes import process_start


def owner_tags() -> dict[str, str]:
    """Tags that name this process: the machine, the process id, and when that process started."""
    return {"host": platform.node(), "pid": str(os.getpid()), "process_start": process_start(os.getpid()) or "unknown"}


def is_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process that these tags name ran on this machine and is no more."""
    if tags.get("host") != platform.node() or not tags.get("pid", "").isdigit():
        return False
    return process_start(int(tags["pid"])) != tags.get("process_start")
