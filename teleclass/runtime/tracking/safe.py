"""MLflow at arm's length: every call ends by a deadline, and what cannot be sent is kept in a file."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from teleclass.runtime.console import log
from teleclass.runtime.tracking.entries import Entry
from teleclass.runtime.tracking.owner import owner_tags
from teleclass.runtime.tracking.store import without_password

Result = TypeVar("Result")

OPEN_SECONDS = 60
"""To open the store: making one takes several seconds, and others that make it at once are waited for."""
CALL_SECONDS = 10
"""To log values, which takes a tenth of a second."""
MEGABYTES_PER_SECOND = 1.0
"""What a store for artifacts is expected to take at least."""
MODEL_SECONDS = 120
"""To log a model besides copying it: it is loaded once."""
LAST_SECONDS = 30
"""To send, when the run ends, what was kept; DeepSpeed's launcher lets a rank live so long after SIGTERM."""

FORMAT = 1
FOLDER = "unlogged"
"""Where in the output folder the files lie."""

HTTP = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
"""For MLflow's client, which waits two minutes and tries seven times where nothing is set."""


def within(seconds: float, function: Callable[..., Result], *arguments: Any) -> Result:
    """What a function returns, if it does so in time; a late one goes on in its thread, which ends with the program.

    Raises
    ------
    TimeoutError : it has not returned in time.
    Exception : what the function raises.
    """
    outcome: list[tuple[bool, Any]] = []

    def work() -> None:
        try:
            outcome.append((True, function(*arguments)))
        except BaseException as error:
            outcome.append((False, error))

    thread = threading.Thread(target=work, daemon=True, name="MLflow call")
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"no answer in {seconds:.0f} s")
    is_well, value = outcome[0]
    if not is_well:
        raise value
    return value


def seconds_for(path: Path) -> float:
    """How long logging a file or a folder may take."""
    files = [path] if path.is_file() else path.rglob("*")
    size = sum(file.stat().st_size for file in files if file.is_file())
    return CALL_SECONDS + size / 1e6 / MEGABYTES_PER_SECOND


def set_http_limits() -> None:
    """Have MLflow's client give up early, unless the user has said otherwise."""
    for name, value in HTTP.items():
        os.environ.setdefault(name, value)


def is_refusal(error: Exception) -> bool:
    """Whether the store works and does not take this one thing, such as a parameter that has another value already."""
    return getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE"


def one_line(error: BaseException) -> str:
    """The heart of an error of MLflow, SQLAlchemy or urllib3, whose messages hold statements and addresses."""
    cause = error
    while (inner := cause.__cause__ or getattr(cause, "orig", None)) is not None:
        cause = inner
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    return without_password(lines[0])[:160]


class Journal:
    """A file of what could not be logged: a header, then an entry a line, each written at once.

    Parameters
    ----------
    output : the experiment's output folder; paths below it are kept relative to it. None keeps nothing.
    header : what the run is; see :meth:`Tracker.start`.

    Attributes
    ----------
    file : made with the first entry.
    is_broken : whether it cannot be written either.
    """

    def __init__(self, output: Path | None, header: Mapping[str, Any]):
        self.output = output or Path()
        identity = uuid.uuid4().hex
        self.file = self.output / FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}-{identity[:6]}.jsonl"
        self.is_broken = output is None
        self._header = {"format": FORMAT, "id": identity, "owner": owner_tags(), **header}

    def write(self, entry: Entry) -> None:
        """Keep an entry; a file that cannot be written is told once and then left alone."""
        if self.is_broken:
            return
        try:
            lines = [entry]
            if not self.file.exists():
                self.file.parent.mkdir(parents=True, exist_ok=True)
                lines = [self._header, entry]
            with self.file.open("a", encoding="utf-8") as stream:
                stream.writelines(json.dumps(self._relative(line), default=_plain) + "\n" for line in lines)
        except OSError as error:
            self.is_broken = True
            log.info("  what MLflow misses cannot be kept either: %s: %s", self.file, error.strerror)

    def _relative(self, entry: Entry) -> dict[str, Any]:
        """Paths by the output folder where they lie in it, for the folder to be moved; else absolute."""
        found = dict(entry)
        for name in ("path", "code"):
            if name in found:
                path, output = Path(found[name]).resolve(), self.output.resolve()
                found[name] = str(path.relative_to(output) if path.is_relative_to(output) else path)
        return found


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy, and tables of pandas, as JSON holds them."""
    if hasattr(value, "to_dict"):
        return value.to_dict(orient="list")
    return value.tolist() if hasattr(value, "tolist") else str(value)
