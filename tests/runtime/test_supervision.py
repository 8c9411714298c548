"""Which rank is said to hang, from what two ranks tell of themselves."""

from __future__ import annotations

import inspect
import os
import platform

import pytest
import torch

from teleclass.runtime import exchange
from teleclass.runtime.distributed import Ranks, import_deepspeed
from teleclass.runtime.processes import process_start
from teleclass.runtime.pulse import MEETING_PLACES, Activity, Pulse
from teleclass.runtime.standstill import SupervisionConfig
from teleclass.runtime.supervision import Supervisor, _Seen

deepspeed = import_deepspeed()

WAITS = {"is_waiting": True, "is_in_library": True}
LOOPS = {"is_looping": True}
MEETS_IN_A_STEP = {"is_looping": True, "is_in_library": True}
"""In DeepSpeed, within a training step."""


def pulse(rank: int, beat: int, **more) -> Pulse:
    return Pulse("a run", rank, platform.node(), os.getpid(), process_start(os.getpid()), "train", beat, **more)


@pytest.fixture
def lost(tmp_path):
    """The rank that rank 0 says hangs, or None, after so many seconds in which both ranks showed the same."""
    (tmp_path / "logs").mkdir()

    def after(seconds: int, first: dict, second: dict | None, changing: str = "", stuck_after: int = 4) -> int | None:
        config = SupervisionConfig(stopped_after=60, stuck_after=stuck_after)
        supervisor = Supervisor(tmp_path, Ranks(0, 2, 0, 2), config)
        supervisor._seen = {0: _Seen(), 1: _Seen()}
        for second_awake in range(seconds + 1):
            supervisor._awake = float(second_awake)
            change = {changing: second_awake} if changing else {}
            supervisor._own = pulse(0, second_awake, **first | change)
            if second is not None:
                pulse(1, second_awake, **second | change).write(supervisor._file(1))
            if (loss := supervisor._look()) is not None:
                assert second_awake >= stuck_after
                assert f"rank {loss.rank} on " in loss.words
                return loss.rank
        return None

    return after


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (MEETS_IN_A_STEP, LOOPS, 1),
        (LOOPS, WAITS, 0),
        (MEETS_IN_A_STEP, {"is_waiting": True}, 1),
        (MEETS_IN_A_STEP, WAITS, 0),
        (WAITS | {"meetings": 8}, WAITS | {"meetings": 7}, 1),
        (WAITS | {"meetings": 7}, WAITS | {"meetings": 8}, 0),
        (WAITS | {"meetings": 8}, {"is_waiting": True, "meetings": 8}, 1),
        (MEETS_IN_A_STEP | {"ticks": 5}, MEETS_IN_A_STEP | {"ticks": 4}, 1),
    ],
    ids=["in a step", "while the other waits", "as it came from a wait", "in a step, the other waits",
         "behind in waits", "behind in waits, the first", "both wait, one out of the library", "a step behind"],
)  # fmt: skip
def test_the_rank_that_hangs_is_found(lost, first, second, expected):
    assert lost(10, first, second) == expected


@pytest.mark.parametrize(
    ("first", "second", "changing"),
    [
        ({}, WAITS, ""),
        (WAITS, None, ""),
        (WAITS, WAITS, "meetings"),
        (LOOPS, LOOPS, "ticks"),
        (WAITS, WAITS | {"end": "finished"}, ""),
    ],
    ids=[
        "one works alone",
        "the other is not there yet",
        "they meet again and again",
        "they take steps",
        "one is done",
    ],
)
def test_nobody_hangs_where_somebody_works(lost, first, second, changing):
    assert lost(30, first, second, changing) is None


def test_without_a_deadline_nobody_hangs(lost):
    assert lost(30, WAITS, WAITS, stuck_after=0) is None


@pytest.mark.parametrize(
    ("function", "meets"),
    [
        (Ranks.begin_maximum, True),
        (exchange.reduce_by_messages, True),
        (exchange.gather_by_broadcasts, True),
        (torch.distributed.send, True),
        (deepspeed.comm.barrier, True),
        (Activity.waiting, False),
        (Supervisor.watching, False),
    ],
)
def test_a_rank_that_waits_in_a_step_stands_where_ranks_meet(function, meets):
    """The innermost frame while it waits is of our own code, of torch's or of DeepSpeed's."""
    file = inspect.unwrap(function).__code__.co_filename
    assert any(place in file for place in MEETING_PLACES) == meets


def test_meetings_are_counted_as_they_begin():
    own = Activity()
    with own.waiting():
        seen = pulse(0, 0).renewed(own, "")
        assert (seen.meetings, seen.is_waiting) == (1, True)
    with own.waiting():
        pass
    seen = pulse(0, 0).renewed(own, "")
    assert (seen.meetings, seen.is_waiting) == (2, False)
