"""Two ranks, of which one dies, stands still or hangs, without a launcher that would end the other."""

from __future__ import annotations

import os
import signal
import time

import pytest
from faults.harness import wait_until

from teleclass.runtime.pulse import Pulse

pytestmark = pytest.mark.slow

ENDLESS = ("--training.epochs", "100000", "--training.max_steps", "0")
LOST = "error: rank {} on "


def training(bench, *more):
    """Two ranks in the middle of a training that does not end by itself."""
    output = bench.copied("endless", "train")
    forks = bench.start(output, *ENDLESS, *more)
    forks[0].wait_for("[5/7] train")
    time.sleep(1.5)
    return output, forks


def ends(forks, seconds):
    """The seconds after which all of them have ended."""
    try:
        return wait_until(lambda: not any(fork.is_alive() for fork in forks), seconds)
    finally:
        for fork in forks:
            if fork.is_alive():
                os.kill(fork.pid, signal.SIGKILL)


def is_looping(file, pid):
    """Whether a rank takes steps: standstill is looked for from then on, and slow machines take a while."""
    pulse = Pulse.read(file)
    return pulse is not None and pulse.pid == pid and pulse.is_looping


@pytest.mark.parametrize("lost", [pytest.param(0, marks=pytest.mark.faults), 1])
@pytest.mark.twin("teleclass.runtime.supervision:Supervisor._look")
def test_a_dead_rank_ends_the_other_in_ten_seconds_with_a_line_that_names_it(bench_of_two, lost):
    output, forks = training(bench_of_two)
    os.kill(forks[lost].pid, signal.SIGKILL)
    ends(forks, 10)
    assert forks[1 - lost].wait() not in (0, None)
    (line,) = [one for one in forks[1 - lost].text().splitlines() if one.startswith("error: ")]
    assert line.startswith(LOST.format(lost))
    assert ", phase train: was killed or crashed" in line
    assert "; run the same command again" in line
    assert (str(output / "logs" / "rank_1.log") in line) == (lost == 1)
    assert "Traceback" not in forks[1 - lost].text()
    assert bench_of_two.left() == []
    if lost == 1:
        assert bench_of_two.statuses()[-1] == "FAILED"


@pytest.mark.parametrize("lost", [pytest.param(0, marks=pytest.mark.faults), 1])
@pytest.mark.twin("teleclass.runtime.supervision:is_stopped=lambda _: False")
def test_a_stopped_rank_is_noticed_at_the_deadline_and_ended_with_the_other(bench_of_two, lost):
    _, forks = training(bench_of_two, "--supervision.stopped_after", "3")
    os.kill(forks[lost].pid, signal.SIGSTOP)
    ends(forks, 3 + 5)
    (line,) = [one for one in forks[1 - lost].text().splitlines() if one.startswith("error: ")]
    assert line.startswith(LOST.format(lost))
    assert "has given no sign of life for" in line
    assert bench_of_two.left() == []


@pytest.mark.faults
@pytest.mark.parametrize("how", ["hang", "hang_waiting"])
@pytest.mark.twin("teleclass.runtime.supervision:Supervisor._find")
def test_a_rank_that_hangs_is_named_and_not_the_one_that_waits_for_it(bench_of_two, how):
    """In a step, or where ranks wait for each other: there the other may wait too."""
    output = bench_of_two.copied("hanging", "train")
    forks = bench_of_two.start(output, *ENDLESS, "--supervision.stuck_after", "4", kill=f"1 train 1000 {how}")
    forks[0].wait_for("[5/7] train")
    wait_until(lambda: is_looping(output / "logs" / "rank_1.json", forks[1].pid), 60)
    os.kill(forks[1].pid, signal.SIGUSR1)
    ends(forks, 60)
    (line,) = [one for one in forks[0].text().splitlines() if one.startswith("error: ")]
    assert line.startswith(LOST.format(1))
    assert "phase train: has made no progress for 4 s (it is at sitecustomize.py" in line
    assert bench_of_two.left() == []


@pytest.mark.faults
@pytest.mark.twin("teleclass.runtime.supervision:Supervisor._look")
def test_an_error_of_another_rank_is_told_with_its_words(bench_of_two):
    """Rank 1 fails by itself, with a traceback in its own log."""
    output = bench_of_two.copied("failing", "train")
    forks = bench_of_two.start(output, *ENDLESS, kill="1 train 1.5 raise")
    ends(forks, 40)
    (line,) = [one for one in forks[0].text().splitlines() if one.startswith("error: ")]
    assert "rank 1 on " in line
    assert "phase train: failed: ZeroDivisionError: of the test; run the same command again" in line
    assert "ZeroDivisionError: of the test" in (output / "logs" / "rank_1.log").read_text()
    assert bench_of_two.statuses()[-1] == "FAILED"
