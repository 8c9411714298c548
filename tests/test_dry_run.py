"""A dry run: what it prints, and that it writes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from experiments import options

from teleclass import TELEClassPipeline
from teleclass.config import flatten, parse_arguments
from teleclass.estimate import Estimate, Workload
from teleclass.pipeline import main

PHASES = ("encode", "label", "augment", "expand", "train", "predict", "evaluate")


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """In a folder of its own, on a CPU, started by no launcher."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def arguments(data_dir, tiny_model, tmp_path):
    return options(data_dir, tiny_model, tmp_path / "out", "--training.max_steps", "7")


@pytest.fixture
def quick(monkeypatch):
    """An estimate that is not measured."""
    made = Estimate(dict.fromkeys(("start", *PHASES), 2.0), Workload(*[1] * 10), "a test")
    monkeypatch.setattr("teleclass.dry_run.estimate", lambda config, data, world_size: made)


def plan_of(printed):
    """State and reason by phase, from the table in comments."""
    rows = [line.removeprefix("# ").split("  ") for line in printed.splitlines() if line.startswith("# [")]
    rows = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    return {row[0].split("] ")[1]: tuple(row[1:]) for row in rows}


def test_it_prints_what_config_reads_and_every_phase_and_writes_nothing(arguments, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert main([*arguments, "--dry_run"]) == 0
    assert sorted(tmp_path.rglob("*")) == before
    printed = capsys.readouterr().out
    plan = plan_of(printed)
    assert tuple(plan) == PHASES
    assert {state[:2] for state in plan.values()} == {("to do", "not done yet")}
    assert all(state[2].startswith("about ") for state in plan.values())
    assert "timed on 1 × cpu" in printed
    assert yaml.safe_load(printed)["training"]["max_steps"] == 7
    (tmp_path / "kept.yaml").write_text(printed)
    kept = parse_arguments(["--config", str(tmp_path / "kept.yaml")])
    assert flatten(kept) == flatten(replace(parse_arguments(arguments), dry_run=False))


def test_with_several_gpus_it_starts_no_launcher_and_says_how_many_ranks_there_would_be(
    arguments, quick, monkeypatch, capsys
):
    monkeypatch.setattr("teleclass.pipeline.ranks_to_launch", lambda: 3)
    monkeypatch.setattr("teleclass.pipeline.launch", lambda *_: pytest.fail("the launcher was started"))
    assert main([*arguments, "--dry_run"]) == 0
    assert "# a real run would have 3 ranks\n" in capsys.readouterr().out


def test_from_python_its_devices_count_and_the_result_has_no_metrics(
    data_dir, tiny_model, tmp_path, quick, monkeypatch, capsys
):
    monkeypatch.setattr("teleclass.pipeline.launch", lambda *_: pytest.fail("the launcher was started"))
    result = TELEClassPipeline(
        data_dir, device_ids=[0, 1], dry_run=True, output_dir=tmp_path / "out", encoder={"model": tiny_model},
        training={"model": tiny_model},
    ).run()  # fmt: skip
    assert "2 ranks" in capsys.readouterr().out
    assert (result.output_dir, result.metrics) == (tmp_path / "out", {})
    assert not (tmp_path / "out").exists()


def test_under_a_launcher_the_first_rank_alone_speaks(arguments, quick, monkeypatch, capsys):
    for rank, speaks in (("1", False), ("0", True)):
        for name, value in {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2"}.items():
            monkeypatch.setenv(name, value)
        assert main([*arguments, "--dry_run"]) == 0
        assert ("2 ranks" in capsys.readouterr().out) == speaks


def test_of_several_seeds_each_has_its_plan_and_what_they_share_is_done_once(arguments, quick, tmp_path, capsys):
    assert main([*arguments, "--seeds", "5,6", "--dry_run"]) == 0
    printed = capsys.readouterr().out
    first, second = printed.split("# seed 5, in ")[1].split("# seed 6, in ")
    assert {state[0] for state in plan_of(first).values()} == {"to do"}
    plan = plan_of(second)
    assert [name for name, state in plan.items() if state[0] == "fresh"] == ["encode", "label", "augment", "expand"]
    # Twice the start, seven phases and three: 2 s each.
    assert "about 24.0 s in all" in printed
    assert not (tmp_path / "out").exists()


def test_a_fault_of_the_input_is_told_as_in_a_real_run(arguments, data_dir, capsys):
    (data_dir / "test" / "test_labels.txt").write_text("0\t99\n")
    assert main([*arguments, "--dry_run"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "test_labels.txt, line 1: class 99" in told.err


def test_a_terminal_gets_no_comments(arguments, quick, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert main([*arguments, "--dry_run"]) == 0
    printed = capsys.readouterr().out
    assert "\n[1/7] encode " in printed
    assert "#" not in printed
