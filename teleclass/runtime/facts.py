"""What a run is tagged with: versions, commit, devices."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

from teleclass.runtime.devices import device_name, rank_device
from teleclass.runtime.distributed import Ranks

PACKAGES = ("teleclass", "torch", "deepspeed", "transformers", "sentence-transformers", "mlflow")


def run_tags(ranks: Ranks) -> dict[str, str]:
    """Tags of this run; every rank must call it, as each tells its device."""
    devices = ranks.gather(device_name(rank_device(ranks.local_rank)))
    return software_tags() | {
        "world_size": str(ranks.world_size),
        "devices": ", ".join(f"{devices.count(name)} × {name}" for name in dict.fromkeys(devices)),
    }


def software_tags() -> dict[str, str]:
    """Versions of what the program stands on, and the commit of the program itself; touches no device."""
    tags = {f"version.{name}": _version(name) for name in PACKAGES} | {"version.python": platform.python_version()}
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    if commit is not None:
        tags |= {"git.commit": commit, "git.dirty": str(bool(changes)).lower()}
    return tags


def _git(*arguments: str) -> str | None:
    """What git says of the checkout that this package lies in; None without git or without a checkout."""
    try:
        answer = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, timeout=10, cwd=Path(__file__).parent
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
