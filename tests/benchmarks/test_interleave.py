"""Methods in turn, what is told of their rounds, and processes that load once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial

import pytest

from benchmarks import interleave
from benchmarks.interleave import (
    Figure,
    Method,
    MethodError,
    Outcome,
    Round,
    Work,
    alone,
    in_turn,
    ratio,
    ratio_of_least,
)


class Fake:
    """A method without processes that writes down what is asked of it."""

    def __init__(self, method, calls, fails_at=None):
        self.name, self.calls, self.fails_at, self.number = method.name, calls, fails_at, 0
        calls.append(f"start {self.name}")

    def ready(self):
        if self.fails_at == 0:
            raise MethodError("cannot be loaded")

    def round(self):
        self.number += 1
        self.calls.append(f"{self.name}{self.number}")
        if self.number == self.fails_at:
            raise MethodError("broke")
        return Round(10, self.number, 2.0 * self.number)

    def close(self):
        self.calls.append(f"close {self.name}")


def never():
    raise AssertionError("a fake method is not prepared")


def methods(*names, **changes):
    return [Method(name, never, **changes.get(name, {})) for name in names]


def test_methods_take_turns_and_are_started_once():
    calls = []
    outcomes = in_turn(methods("a", "b", b={"rounds": 2}), 3, partial(Fake, calls=calls))
    assert calls == ["start a", "start b", "a1", "b1", "a2", "b2", "a3", "close a", "close b"]
    assert [len(outcomes[name].rounds) for name in "ab"] == [3, 2]


@pytest.mark.parametrize(("fails_at", "rounds", "why"), [(0, 0, "cannot be loaded"), (2, 1, "broke")])
def test_a_method_that_fails_is_left_out_from_then_on_and_others_go_on(fails_at, rounds, why):
    calls = []
    outcomes = in_turn(
        methods("a", "b"), 3, lambda method: Fake(method, calls, fails_at if method.name == "a" else None)
    )
    assert len(outcomes["a"].rounds) == rounds
    assert outcomes["a"].failure == why
    assert len(outcomes["b"].rounds) == 3
    assert calls[-2:] == ["close a", "close b"]
    assert f"a{rounds + 2}" not in calls


def test_methods_are_closed_when_the_program_is_stopped():
    calls = []

    class Stopped(Fake):
        def round(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_turn(methods("a"), 1, partial(Stopped, calls=calls))
    assert calls == ["start a", "close a"]


def test_figures_are_medians_with_least_and_greatest():
    assert Figure.of([5.0, 1.0, 2.0]) == Figure(2.0, 1.0, 5.0)
    assert Figure.of(iter([4.0])) == Figure(4.0, 4.0, 4.0)


def test_ratios_are_of_medians_and_their_spread_is_round_by_round():
    ours = Outcome([Round(10, cpu, 1) for cpu in (1.0, 2.0, 4.0)])
    peer = Outcome([Round(10, cpu, 1) for cpu in (4.0, 4.0, 12.0)])
    assert ratio(ours, peer, lambda one: one.cpu_a_document) == Figure(2.0, 2.0, 4.0)
    assert ratio(ours, Outcome(failure="broke"), lambda one: one.cpu_a_document) is None


def test_what_a_round_tells_by_document():
    one = Round(documents=20, cpu_seconds=4.0, wall_seconds=5.0)
    assert (one.cpu_a_document, one.documents_per_second) == (0.2, 4.0)


def test_small_turns_alternate_and_count_together_as_one_round():
    calls = []
    outcomes = in_turn(
        methods("a", "b", b={"rounds": 1}), 2, lambda method: Fake(method, calls, 6 if method.name == "a" else None), 3
    )
    assert calls[2:8] == ["a1", "b1", "a2", "b2", "a3", "b3"]
    assert outcomes["a"].rounds == outcomes["b"].rounds == [Round(30, 1 + 2 + 3, 2.0 * (1 + 2 + 3))]
    assert outcomes["a"].failure == "broke"  # in the sixth turn: what was done of that round does not count
    assert outcomes["a"].turns == [Round(10, 1, 2), Round(10, 2, 4), Round(10, 3, 6)]


def test_a_method_may_have_fewer_turns_a_round_than_the_others():
    calls = []
    one = {"rounds": 1, "turns": 1}
    outcomes = in_turn(methods("a", "b", "c", b={"turns": 2}, c=one), 2, partial(Fake, calls=calls), turns=3)
    assert calls[3:-3] == ["a1", "b1", "c1", "a2", "b2", "a3", "a4", "b3", "a5", "b4", "a6"]
    assert outcomes["a"].rounds == [Round(30, 6, 12), Round(30, 15, 30)]
    assert outcomes["b"].rounds == [Round(20, 3, 6), Round(20, 7, 14)]
    assert outcomes["c"].rounds == [Round(10, 1, 2)]


def test_the_least_turns_tell_nothing_of_disturbed_ones():
    ours = Outcome([Round(30, 20.0, 3)], turns=[Round(10, cpu, 1) for cpu in (10, 9, 1)])
    peer = Outcome([Round(30, 25.0, 3)], turns=[Round(10, cpu, 1) for cpu in (11, 2, 12)])
    assert ratio(ours, peer, lambda one: one.cpu_a_document).median == pytest.approx(1.25)
    assert ratio_of_least(ours, peer, lambda one: one.cpu_a_document) == 2.0
    assert ratio_of_least(ours, Outcome(failure="broke"), lambda one: one.cpu_a_document) is None


def prepare_counting():
    """A method that tells its process, its cores, its threads and which round this is."""
    rounds = []

    def measure():
        rounds.append(1)
        sum(range(200_000))
        return Work(
            3,
            tokens=7,
            values={
                "round": len(rounds), "process": os.getpid(), "cores": len(os.sched_getaffinity(0)),
                "core": min(os.sched_getaffinity(0)), "threads": float(os.environ["OMP_NUM_THREADS"]),
                "rank": float(os.environ.get("RANK", -1)),
            },
        )  # fmt: skip

    return measure


def prepare_failing(fails_in_round):
    def measure():
        raise ValueError("no such thing\nand more of it")

    if not fails_in_round:
        measure()
    return measure


def prepare_dying():
    return lambda: os._exit(3)


@pytest.mark.slow
def test_a_process_is_loaded_once_on_its_cores_and_times_itself():
    rounds = in_turn([Method("one", prepare_counting)], 2)["one"].rounds
    assert [one.values["round"] for one in rounds] == [1, 2]
    assert len({one.values["process"] for one in rounds} | {os.getpid()}) == 2
    assert {(one.values["cores"], one.values["threads"]) for one in rounds} == {(1, 1)}
    assert all(one.cpu_seconds > 0 and one.wall_seconds > 0 for one in rounds)
    assert (rounds[0].documents, rounds[0].tokens) == (3, 7)


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core alone")
@pytest.mark.parametrize("rotates", [True, False])
def test_rounds_run_on_the_same_core_or_on_each_in_turn(rotates):
    rounds = in_turn([Method("one", prepare_counting, rotates=rotates)], 3)["one"].rounds
    first, second = sorted(os.sched_getaffinity(0))[:2]
    third = (sorted(os.sched_getaffinity(0)) * 2)[2]
    assert [one.values["core"] for one in rounds] == ([first, second, third] if rotates else [first] * 3)


@pytest.mark.slow
def test_several_processes_of_a_method_add_up():
    environments = interleave.rank_environments(2)
    assert [one["RANK"] for one in environments] == ["0", "1"]
    assert len({one["MASTER_PORT"] for one in environments}) == 1
    outcome = alone(Method("two", prepare_counting, environments=environments))
    assert not outcome.failure
    assert (outcome.rounds[0].documents, outcome.rounds[0].tokens) == (6, 14)
    assert outcome.rounds[0].values["rank"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (partial(prepare_failing, False), "ValueError: no such thing"),
        (partial(prepare_failing, True), "ValueError: no such thing"),
        (prepare_dying, "its process ended"),
    ],
)
def test_a_process_that_fails_says_why(prepare, why):
    outcome = alone(Method("broken", prepare))
    assert outcome.failure.startswith(why)
    assert not outcome.rounds


def test_cpu_seconds_count_processes_that_still_run():
    sum(range(5_000_000))
    own = interleave.cpu_seconds()
    # This process named as a living one counts twice: by its own usage and by the kernel's ticks.
    assert interleave.cpu_seconds([os.getpid()]) > own + 0.5 * time.process_time()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core alone")
def test_every_thread_of_another_process_is_kept_on_cores():
    program = "import sys, threading; threading.Thread(target=sys.stdin.read).start(); print(flush=True)"
    core = max(os.sched_getaffinity(0))
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        interleave.keep_on_cores([process.pid], [core])
        threads = [int(thread) for thread in os.listdir(f"/proc/{process.pid}/task")]
        assert [os.sched_getaffinity(thread) for thread in threads] == [{core}] * 2
        process.stdin.close()
