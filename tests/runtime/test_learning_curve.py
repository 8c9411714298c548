import json
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from teleclass.errors import TeleclassError
from teleclass.runtime.artifacts import Artifacts
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.learning_curve import LearningCurve
from teleclass.runtime.tracking import Tracker, TrackingConfig
from teleclass.runtime.workplace import Workplace


class Engine:
    """What the learning curve asks of a DeepSpeed engine."""

    def __init__(self):
        self.global_steps = 0
        self.skipped_steps = 0
        self.norm = 2.0
        self.optimizer = SimpleNamespace(cur_scale=1024.0)

    def get_global_grad_norm(self):
        return self.norm

    def get_lr(self):
        return [0.5 / self.global_steps, 7.0]


class Recorder(Tracker):
    """A tracker that keeps the points and the steps at which it was told to send them."""

    def __init__(self, every_steps=50):
        super().__init__(TrackingConfig(every_steps=every_steps))
        self.points = {}
        self.flushed = []

    def metrics(self, values, step=0):
        assert step not in self.points
        self.points[step] = dict(values)

    def flush(self):
        self.flushed.append(max(self.points))


class TwoRanks(Ranks):
    """Rank 0 of two; the other one had a mean loss of 9 and 500 tokens."""

    def gather(self, value):
        return [value, (9.0, 500)]


def curve_of(tmp_path, every, *, ranks=None, every_steps=50):
    work = Workplace(Artifacts(tmp_path), ranks or Ranks(), Recorder(every_steps), seed=0)
    return LearningCurve(work, every), work.tracker


def train(curve, engine, losses, *, accumulation=1, tokens=10, loss_scaling=False):
    for number, loss in enumerate(losses, start=1):
        curve.add(torch.tensor(loss), tokens)
        if number % accumulation == 0:
            engine.global_steps += 1
            curve.step(engine, loss_scaling)


def test_the_first_step_and_every_third_are_points_with_the_means_since_the_last_one(tmp_path):
    curve, tracker = curve_of(tmp_path, every=3)
    train(curve, Engine(), [8.0, 6.0, 4.0, 3.0, 2.0, 1.0, 100.0])
    losses = {step: point["train/loss"] for step, point in tracker.points.items()}
    # step 1 alone; (6 + 4) / 2; (3 + 2 + 1) / 3; step 7 waits for step 9
    assert losses == {1: 8.0, 3: 5.0, 6: 2.0}
    assert curve.last == 2.0


def test_with_every_step_logged_no_loss_is_counted_twice(tmp_path):
    curve, tracker = curve_of(tmp_path, every=1)
    train(curve, Engine(), [3.0, 1.0, 2.0])
    assert [point["train/loss"] for point in tracker.points.values()] == [3.0, 1.0, 2.0]


def test_all_micro_batches_of_a_step_count(tmp_path):
    curve, tracker = curve_of(tmp_path, every=2)
    train(curve, Engine(), [1.0, 3.0, 4.0, 8.0], accumulation=2)
    assert {step: point["train/loss"] for step, point in tracker.points.items()} == {1: 2.0, 2: 6.0}


def test_a_point_is_the_mean_over_the_ranks_and_the_sum_of_their_tokens(tmp_path, monkeypatch):
    clock = iter([100.0, 104.0])  # the curve's start and its first point
    monkeypatch.setattr("teleclass.runtime.learning_curve.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    curve, tracker = curve_of(tmp_path, every=1, ranks=TwoRanks())
    train(curve, Engine(), [3.0], tokens=100)
    assert tracker.points[1]["train/loss"] == 6.0  # (3 + 9) / 2
    assert tracker.points[1]["train/tokens_per_second"] == 150.0  # (100 + 500) / 4 s


def test_the_speed_counts_only_what_came_since_the_last_point(tmp_path, monkeypatch):
    clock = iter([0.0, 1.0, 5.0])
    monkeypatch.setattr("teleclass.runtime.learning_curve.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    curve, tracker = curve_of(tmp_path, every=2)
    train(curve, Engine(), [1.0, 1.0], tokens=20)
    speeds = [point["train/tokens_per_second"] for point in tracker.points.values()]
    assert speeds == [20.0, 5.0]  # 20 tokens in 1 s, then 20 in 4 s


def test_a_point_holds_what_the_engine_says_of_itself(tmp_path):
    curve, tracker = curve_of(tmp_path, every=2)
    engine = Engine()
    engine.skipped_steps = 1
    train(curve, engine, [1.0, 1.0], loss_scaling=True)
    point = tracker.points[2]
    assert point["train/learning_rate"] == 0.25  # the first group's, 0.5 / 2
    assert point["train/grad_norm"] == 2.0
    assert point["train/loss_scale"] == 1024.0
    assert point["train/skipped_steps"] == 1.0


def test_without_loss_scaling_the_scale_is_one_and_the_optimizer_is_not_asked(tmp_path):
    curve, tracker = curve_of(tmp_path, every=1)
    engine = Engine()
    del engine.optimizer
    engine.norm = None  # before the first step that was taken
    train(curve, engine, [1.0], loss_scaling=False)
    assert tracker.points[1]["train/loss_scale"] == 1.0
    assert tracker.points[1]["train/grad_norm"] == 0.0


@pytest.mark.parametrize("norm", [float("inf"), float("nan"), torch.tensor(float("inf"))])
def test_a_gradient_norm_that_overflowed_is_left_out_of_its_point(tmp_path, norm):
    curve, tracker = curve_of(tmp_path, every=1)
    engine = Engine()
    engine.norm = norm
    train(curve, engine, [1.0], loss_scaling=True)
    assert "train/grad_norm" not in tracker.points[1]
    assert tracker.points[1]["train/loss"] == 1.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_names_the_step_and_the_remedy(tmp_path, bad):
    curve, tracker = curve_of(tmp_path, every=2)
    with pytest.raises(TeleclassError, match=rf"loss is {bad} at step 4; lower optimizer\.params\.lr"):
        train(curve, Engine(), [1.0, 1.0, bad, 1.0])
    assert list(tracker.points) == [1, 2]


def test_another_ranks_loss_that_is_not_finite_stops_this_rank_too(tmp_path):
    class Broken(TwoRanks):
        def gather(self, value):
            return [value, (float("nan"), 1)]

    curve, _ = curve_of(tmp_path, every=1, ranks=Broken())
    with pytest.raises(TeleclassError, match="loss is nan at step 1"):
        train(curve, Engine(), [1.0])


def test_half_precision_losses_are_averaged_in_fp32(tmp_path):
    curve, tracker = curve_of(tmp_path, every=2)
    engine = Engine()
    for loss in (1.0, 1 + 2**-10):  # neighbours in fp16, which has nothing between them
        curve.add(torch.tensor(loss, dtype=torch.float16), 1)
    engine.global_steps = 2
    curve.step(engine, loss_scaling=False)
    assert tracker.points[2]["train/loss"] == 1 + 2**-11


def test_points_are_sent_together(tmp_path):
    curve, tracker = curve_of(tmp_path, every=2, every_steps=4)
    train(curve, Engine(), [1.0] * 9)
    assert list(tracker.points) == [1, 2, 4, 6, 8]
    assert tracker.flushed == [4, 8]


def test_points_are_sent_in_time_where_the_two_intervals_do_not_divide_each_other(tmp_path):
    """Points at 1, 3, 6, 9, 12; sent every 4 steps, they may not wait for step 12, the common multiple."""
    curve, tracker = curve_of(tmp_path, every=3, every_steps=4)
    train(curve, Engine(), [1.0] * 11)
    assert list(tracker.points) == [1, 3, 6, 9]
    assert tracker.flushed
    assert tracker.flushed[0] <= 6  # the first point after step 4


def test_the_points_are_kept_for_the_report_too(tmp_path):
    """What was not finite is an empty cell."""
    curve, tracker = curve_of(tmp_path, every=2)
    engine = Engine()
    engine.norm = float("inf")
    train(curve, engine, [4.0, 2.0], loss_scaling=True)
    curve.save(tmp_path / "curve.csv")
    table = pd.read_csv(tmp_path / "curve.csv")
    assert table["step"].tolist() == list(tracker.points) == [1, 2]
    assert table["loss"].tolist() == [4.0, 2.0]
    assert table["learning_rate"].tolist() == [0.5, 0.25]
    assert table["loss_scale"].tolist() == [1024.0, 1024.0]
    assert table["skipped_steps"].tolist() == [0, 0]
    assert table["grad_norm"].isna().all()


def test_a_training_without_a_point_leaves_a_table_without_rows(tmp_path):
    curve, _ = curve_of(tmp_path, every=2)
    curve.save(tmp_path / "curve.csv")
    assert len(pd.read_csv(tmp_path / "curve.csv")) == 0


def test_a_curve_that_is_put_back_goes_on_as_if_it_had_not_been_stopped(tmp_path):
    losses, engine = [8.0, 6.0, 4.0, 3.0, 2.0, 1.0, 5.0, 7.0, 9.0], Engine()
    whole, _ = curve_of(tmp_path, every=3)
    train(whole, Engine(), losses)
    stopped, _ = curve_of(tmp_path, every=3)
    train(stopped, engine, losses[:5])
    state = json.loads(json.dumps(stopped.state()))
    resumed, tracker = curve_of(tmp_path, every=3)
    resumed.put_back(state, stopped.pending(), 1.0, "cpu")
    assert [tracker.points[step]["train/loss"] for step in (1, 3)] == [8.0, 5.0], "the tracker's run is a new one"
    train(resumed, engine, losses[5:])
    assert list(resumed.points) == [1, 3, 6, 9]
    for step, point in whole.points.items():
        assert {**point, "tokens_per_second": 0} == {**resumed.points[step], "tokens_per_second": 0}
    again, _ = curve_of(tmp_path, every=3)
    again.put_back(state, None, 2.0, "cpu")
    assert list(again.points) == [2, 6], "another number of ranks counts steps in its own way"
