"""Which process writes a run, so that a run whose process is gone can be told from one that still works."""

from __future__ import annotations

import getpass
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from teleclass.runtime.processes import process_start

PARENT_VARIABLE = "TELECLASS_PARENT_RUN"
"""The environment variable that makes a run the child of another."""


def owner_tags() -> dict[str, str]:
    """Tags that name this process: the machine, the process id, and when that process started."""
    return {"host": platform.node(), "pid": str(os.getpid()), "process_start": process_start(os.getpid()) or "unknown"}


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
    """Whether the process that these tags name ran on this machine and is no more."""
    if tags.get("host") != platform.node() or not tags.get("pid", "").isdigit():
        return False
    return process_start(int(tags["pid"])) != tags.get("process_start")


def is_alive(tags: Mapping[str, str]) -> bool:
    """Whether the process that these tags name runs on this machine."""
    return tags.get("host") == platform.node() and not is_gone(tags)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user id without a name
        return ""
