"""DeepSpeed's own launcher, which is killed, or has a rank killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from experiments import DEEPSPEED, SCRIPT, clean_environment, free_port
from faults.harness import below, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.faults]

ENDLESS = ("--training.epochs", "100000", "--training.max_steps", "0")


def launched(bench):
    """``deepspeed`` in the middle of a training, and its processes by what they are."""
    output = bench.copied("launched", "train")
    words = [DEEPSPEED, "--num_accelerators", "2", "--master_port", str(free_port()), SCRIPT]
    stderr = bench.cwd / "launched.stderr"
    with stderr.open("wb") as stream:
        process = subprocess.Popen(
            [*words, *bench.arguments(output, *ENDLESS)], cwd=bench.cwd, stderr=stream, start_new_session=True,
            env=clean_environment(OMP_NUM_THREADS="1"),
        )  # fmt: skip
    wait_until(lambda: "[5/7] train" in stderr.read_text(), 120)
    time.sleep(3)
    return output, process, stderr, children(process.pid)


def children(pid: int) -> dict[str, int]:
    """The launcher below ``deepspeed`` and the ranks below that."""
    (launcher,) = below(pid)
    ranks = {environment_of(one)["RANK"]: one for one in below(launcher) if "RANK" in environment_of(one)}
    return {"runner": pid, "launcher": launcher, "rank 0": ranks["0"], "rank 1": ranks["1"]}


def environment_of(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(one.split("=", 1) for one in pairs if "=" in one)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("killed", ["runner", "launcher"])
@pytest.mark.twin("teleclass.pipeline:follow_launcher", "teleclass.runtime.supervision:Supervisor._look")
def test_nothing_is_left_five_seconds_after_the_launcher_died(bench_of_two, killed, number):
    if (killed, number) == ("launcher", signal.SIGTERM):
        pytest.skip("it ends its ranks itself, in 30 s at most")
    _, process, stderr, found = launched(bench_of_two)
    os.kill(found[killed], number)
    try:
        wait_until(lambda: process.poll() is not None and not bench_of_two.left(0), 5)
    finally:
        for pid in found.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
    assert "Traceback" not in stderr.read_text()


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.twin("teleclass.runtime.supervision:Supervisor._look")
def test_a_rank_that_is_killed_ends_the_launcher_with_a_line(bench_of_two, rank):
    _, process, stderr, found = launched(bench_of_two)
    started = time.monotonic()
    os.kill(found[f"rank {rank}"], signal.SIGKILL)
    assert process.wait(30) != 0
    assert time.monotonic() - started < 10
    assert wait_until(lambda: not bench_of_two.left(), 5) < 5
    (line,) = [one for one in stderr.read_text().splitlines() if one.startswith("error: ")]
    assert line.startswith(f"error: rank {rank} on ")
    assert "was killed or crashed" in line
