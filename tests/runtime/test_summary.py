"""What is told when an experiment is over."""

from teleclass.runtime.summary import metric_lines, phase_table
from teleclass.runtime.workplace import PhaseTiming


def test_phases_are_told_with_their_share_and_reused_ones_take_nothing():
    table = phase_table([PhaseTiming("encode", 30.0, is_reused=True), PhaseTiming("train", 6.0)], 8.0)
    assert table.rows == (
        ("encode", "–", "–", "reused, took 30.0 s"),
        ("train", "6.0 s", "75 %", "done"),
        ("start, checks, logging", "2.0 s", "25 %", ""),
        ("total", "8.0 s", "100 %", ""),
    )


def test_the_main_metrics_are_told_in_their_order_where_there_are_any():
    assert metric_lines({"test/mrr": 0.5, "test/example_f1": 0.80404, "test/level_1_f1": 1.0}) == [
        "  test/example_f1 = 0.8040", "  test/mrr = 0.5000",
    ]  # fmt: skip
    assert metric_lines({}) == []
