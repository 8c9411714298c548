"""Experiments that are killed in every phase, on every rank, by every signal, and then run again."""

from __future__ import annotations

import functools

import pytest
from faults.harness import Bench

from teleclass.config import PHASE_NAMES

pytestmark = pytest.mark.slow

IN_CI = [
    (1, "0 encode 0.8 9"),
    (1, "0 train after_2 9"),
    (1, "0 predict before_3 15"),
    (2, "1 label start 9"),
    (2, "0 train 0.2 15"),
    (2, "0 evaluate marker 2"),
]
"""(ranks, kill): which rank is killed, in which phase, at which moment, by which signal."""

CLOSING = pytest.mark.twin(
    "teleclass.pipeline:Tracker.end_leftovers", "teleclass.pipeline:signals_raise=signals_end_at_once",
    "teleclass.model.training:signals_wait=signals_end_at_once", "teleclass.runtime.supervision:Supervisor._look",
)  # fmt: skip
"""What closes a run that is killed: by itself, by the other rank, or by the next start."""

MOMENTS = {
    "encode": ("start", "3", "6", "before_1", "after_1"),
    "label": ("start", "0.2", "before_2", "after_3", "marker"),
    "augment": ("start", "before_1", "after_2"),
    "expand": ("start", "after_1", "marker"),
    "train": ("start", "4", "8", "before_1", "after_1", "after_2", "marker"),
    "predict": ("start", "0.3", "before_1", "after_2", "before_4", "after_5"),
    "evaluate": ("start", "before_2", "after_4", "marker"),
}
SIGNALS = (9, 15, 2)

ON_THE_SAMPLE = [
    (1, f"0 {phase} {moment} {SIGNALS[number % 3]}")
    for phase in PHASE_NAMES
    for number, moment in enumerate(MOMENTS[phase])
] + [
    (2, f"{rank} {phase} {moment} {SIGNALS[(number + rank) % 3]}")
    for number, phase in enumerate(PHASE_NAMES)
    for rank, moment in ((0, MOMENTS[phase][-1]), (1, "start"))
]


@pytest.fixture(scope="module")
def of_the_sample(zygote, tmp_path_factory):
    """Undisturbed experiments on the embedded sample by their number of ranks, each run when it is first asked for."""
    return functools.cache(lambda ranks: Bench.of_the_sample(zygote, tmp_path_factory.mktemp(f"sample_{ranks}"), ranks))


def check_kill(bench, kill):
    """Kill an experiment, run it again, and compare what it leaves with what the undisturbed one left."""
    phase = kill.split()[1]
    output = bench.copied("killed", phase)
    before = len(bench.statuses())
    statuses, text = bench.run(output, kill=kill)
    assert 0 not in statuses, text
    assert bench.left() == [], text
    assert "Traceback" not in text
    statuses, text = bench.run(output)
    assert statuses == [0] * bench.ranks, text
    assert bench.results(output) == bench.expected
    runs = bench.statuses()[before:]
    assert runs[-1] == "FINISHED"
    assert "RUNNING" not in runs
    assert bench.left() == []
    assert not list(output.rglob("*.partial*")), "what the killed run left is cleaned up"


@CLOSING
@pytest.mark.parametrize(("ranks", "kill"), IN_CI)
def test_after_a_kill_the_same_command_ends_with_the_same_submission(request, ranks, kill):
    check_kill(request.getfixturevalue({1: "bench_of_one", 2: "bench_of_two"}[ranks]), kill)


@CLOSING
@pytest.mark.faults
@pytest.mark.parametrize(("ranks", "kill"), ON_THE_SAMPLE)
def test_after_any_kill_the_same_command_ends_with_the_same_submission_on_the_sample(of_the_sample, ranks, kill):
    check_kill(of_the_sample(ranks), kill)


@pytest.mark.twin("teleclass.pipeline:Tracker.end_leftovers")
def test_the_next_start_ends_the_run_that_a_kill_left_running(bench_of_one):
    output = bench_of_one.copied("left_running", "evaluate")
    bench_of_one.run(output, kill="0 evaluate start 9")
    assert bench_of_one.statuses()[-1] == "RUNNING"
    _, text = bench_of_one.run(output)
    assert "was left RUNNING by a process that is gone: ended as KILLED" in text
    assert bench_of_one.statuses()[-2:] == ["KILLED", "FINISHED"]
