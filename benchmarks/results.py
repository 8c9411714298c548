"""The measurements in one JSON file, rewritten whole after each."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from teleclass.errors import InputError
from teleclass.runtime.devices import cpu_cores
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.facts import run_tags


@dataclass(frozen=True)
class Result:
    """One method on one data set by one seed.

    Attributes
    ----------
    seed : None where nothing is drawn.
    metrics : by name; empty where the method was left out, for the reason of ``left_out``.
    fingerprint : of the data and the experiment's options.
    """

    data: str
    method: str
    seed: int | None
    metrics: dict[str, float]
    left_out: str = ""
    seconds: float = 0.0
    options: str = ""
    fingerprint: str = ""
    date: str = ""
    machine: str = ""
    versions: dict[str, str] = field(default_factory=dict)


class Results:
    """The measurements that a file holds.

    Raises
    ------
    InputError : a file that is none of ours.
    """

    def __init__(self, file: Path):
        self.file = file
        self._results: dict[tuple[str, str, int | None], Result] = {}
        if file.exists():
            try:
                content = json.loads(file.read_text("utf-8"))["results"]
                results = [Result(**entry) for entry in content]
            except (ValueError, TypeError, KeyError):
                raise InputError("holds no measurements of this program; give another --output", file) from None
            self._results = {(one.data, one.method, one.seed): one for one in results}

    def find(self, data: str, method: str, seed: int | None, fingerprint: str) -> Result | None:
        """A measurement on the same data with the same options; one that was left out is tried again."""
        found = self._results.get((data, method, seed))
        return found if found and found.fingerprint == fingerprint and found.metrics else None

    def add(self, result: Result) -> None:
        """Add a measurement, in place of an earlier one of the same data set, method and seed, and write the file."""
        self._results[result.data, result.method, result.seed] = result
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_name(f".{self.file.name}.partial")
        content = {"results": [asdict(one) for one in self._results.values()]}
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
        os.replace(partial, self.file)


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def machine() -> str:
    """The processor's model, and the cores that this process may use."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {cpu_cores()} cores"


def versions() -> dict[str, str]:
    """Versions of what results hang on, and the commit of the source tree."""
    tags = run_tags(Ranks())
    found = {name.removeprefix("version."): value for name, value in tags.items() if name.startswith("version.")}
    for package in ("scikit-learn", "setfit"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    changed = " with changes" if tags.get("git.dirty") == "true" else ""
    return found | {"commit": tags.get("git.commit", "none") + changed}
