"""What the person at the terminal sees: one line a phase, progress bars, no library noise."""

from __future__ import annotations

import logging
import os
import sys
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
    """A tqdm bar that appears after two seconds, on rank 0 and only where standard error is a terminal.

    Each of its steps counts as a sign of progress; as a context, it is a loop whose steps are to come every now and
    then.
    """
    quiet = not (is_first_rank() and sys.stderr.isatty())
    return _bar_type()(iterable, total=total, unit=f" {unit}", desc=f"  {what}", delay=2, disable=quiet, leave=False)


@cache
def _bar_type() -> Any:
    """The class of bars, made when tqdm is needed."""
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

    return Bar


def duration(seconds: float) -> str:
    """Seconds as a person reads them: ``4.2 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
