"""Which process writes a run, so that a run whose process is gone can be told from one that still works."""

from __future__ import annotations

import getpass
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

PARENT_VARIABLE = "TELECLASS_PARENT_RUN"
"""The environment variable that makes a run the child of another."""


def owner_tags() -> dict[str, str]:
    """Tags that name this process: the machine, the process id, and when that process started."""
    return {"host": platform.node(), "pid": str(os.getpid()), "process_start": _start_of(os.getpid()) or "unknown"}


def mlflow_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """What MLflow's own columns show: the parent run, the user, the program, the commit."""
    program = Path(sys.argv[0]).name
    found = {
        "mlflow.parentRunId": os.environ.get(PARENT_VARIABLE, ""),
        "mlflow.user": _user(),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": "teleclass" if program in ("", "__main__.py") else program,
        "mlflow.source.git.commit": tags.get("git.commit", ""),
    }
    return {name: value for name, value in found.items() if value}


def is_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process that these tags name ran on this machine and is no more.

    A process id is given again to later processes, hence the comparison of starts.
    """
    if tags.get("host") != platform.node() or not tags.get("pid", "").isdigit():
        return False
    return _start_of(int(tags["pid"])) != tags.get("process_start")


def is_alive(tags: Mapping[str, str]) -> bool:
    """Whether the process that these tags name runs on this machine."""
    return tags.get("host") == platform.node() and not is_gone(tags)


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


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user id without a name
        return ""
