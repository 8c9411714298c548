"""Starting DeepSpeed's launcher, for those who did not."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from teleclass.runtime.devices import visible_gpus
from teleclass.runtime.processes import run_group

OUTCOME = "TELECLASS_OUTCOME"
"""Environment variable with the file that the first rank makes when the experiment has ended well."""


def ranks_to_launch() -> int:
    """How many ranks a launcher should start: one a visible GPU; 1 when a launcher started us or without GPUs."""
    return 1 if is_launched() else max(1, visible_gpus())


def is_launched() -> bool:
    """Whether a launcher started this process as one of its ranks."""
    return "RANK" in os.environ or "LOCAL_RANK" in os.environ


def launch(
    arguments: Sequence[str],
    n_ranks: int,
    device_ids: Sequence[int] | None = None,
    more: Mapping[str, str] | None = None,
) -> int:
    """Run the experiment under DeepSpeed's launcher on this machine; returns its exit status.

    Ctrl-C or SIGTERM ends the launcher and its ranks before it is raised here, as by
    :func:`~teleclass.runtime.processes.run_group`.

    Parameters
    ----------
    arguments : the experiment's own.
    n_ranks : processes to start.
    device_ids : GPUs to use; the visible ones when None. Without any GPU only their number counts.
    more : environment variables that the ranks are given besides this process's.
    """
    environment = os.environ | dict(more or {})
    if device_ids is not None and visible_gpus():
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(str(number) for number in device_ids)
    command = [
        sys.executable, "-m", "deepspeed.launcher.runner", "--num_accelerators", str(n_ranks), "--master_port",
        str(_free_port()), "--no_local_rank", "--module", "teleclass", "run", *arguments,
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="teleclass.") as folder:
        outcome = Path(folder) / "finished"
        status = run_group(command, environment | {OUTCOME: str(outcome)})
        # DeepSpeed's runner ends with status 0 where the launcher that it started was killed.
        return status or (0 if outcome.exists() else 1)


def tell_success() -> None:
    """Tell whoever started the launcher that the experiment ended well; for the first rank."""
    if OUTCOME in os.environ:
        with suppress(OSError):
            Path(os.environ[OUTCOME]).touch()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
