"""What the person at the terminal sees: one line a phase, progress bars, no library noise."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterable
from functools import cache
from typing import Any

from teleclass.runtime.pulse import activity

log = logging.getLogger("teleclass")

NOISY = (
    "transformers", "sentence_transformers", "deepspeed", "DeepSpeed", "mlflow", "alembic", "torch", "filelock",
    "openai", "httpx", "urllib3", "sqlalchemy",
)  # fmt: skip

SECONDS_A_LINE = 60
LINE = "{desc}: {n_fmt} of {total_fmt}{unit} in {elapsed}, {remaining} to go"


def is_first_rank() -> bool:
    """Whether this process may write to the terminal: rank 0, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def set_up_console() -> None:
    """Send our lines to standard error, from rank 0 only, and keep libraries to their errors.

    Must run before the libraries are imported: several of them read their log level once, at import.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not (is_first_rank() and sys.stderr.isatty()):
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("DS_LOG_LEVEL", "error")
    warnings.filterwarnings("ignore")
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.propagate = False
    log.setLevel(logging.INFO if is_first_rank() else logging.ERROR)


def quiet_libraries() -> None:
    """Once more after the imports: DeepSpeed sets its own level and transformers its own progress bars."""
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    if "transformers" in sys.modules:
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()


def progress(iterable: Iterable | None = None, *, total: int | None = None, unit: str, what: str) -> Any:
    """How far a loop is, on rank 0: a tqdm bar after two seconds on a terminal, elsewhere a line a minute.

    Each of its steps counts as a sign of progress; as a context, it is a loop whose steps are to come every now and
    then.
    """
    described: dict[str, Any] = {"total": total, "unit": f" {unit}", "desc": f"  {what}", "leave": False}
    bar, line = _bar_types()
    if not is_first_rank():
        return bar(iterable, disable=True, **described)
    if sys.stderr.isatty():
        return bar(iterable, delay=2, **described)
    seconds = {"delay": SECONDS_A_LINE, "mininterval": SECONDS_A_LINE, "maxinterval": SECONDS_A_LINE}
    return line(iterable, file=_Lines(), miniters=1, bar_format=LINE, **seconds, **described)


class _Lines:
    """Where a bar that is no bar writes: a line in the log for each of its states."""

    def write(self, text: str) -> None:
        if state := text.replace("\x1b[A", "").strip("\r\n "):
            log.info("  %s", state)

    def flush(self) -> None:
        """Lines are not held back."""


@cache
def _bar_types() -> tuple[Any, Any]:
    """The classes of bars and of lines, made when tqdm is needed."""
    from tqdm import tqdm

    class Bar(tqdm):
        _loop: Any = None

        def __iter__(self) -> Any:
            for one in super().__iter__():
                activity.tick()
                yield one

        def update(self, n: float | None = 1) -> bool | None:
            activity.tick()
            return super().update(n)

        def __enter__(self) -> Any:
            self._loop = activity.looping()
            self._loop.__enter__()
            return super().__enter__()

        def __exit__(self, *raised: Any) -> None:
            self._loop.__exit__(*raised)
            super().__exit__(*raised)

    class Line(Bar):
        monitor_interval = 0  # no thread beside it

    Line.set_lock(threading.RLock())  # tqdm's own is shared with other processes, and takes one to look after it
    return Bar, Line


def duration(seconds: float) -> str:
    """Seconds as a person reads them: ``4.2 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
