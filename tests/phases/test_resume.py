"""A training that was stopped goes on where it was: the same weights to the bit, by SHA-256 over all of them."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from experiments import DEEPSPEED, FP32, ROOT, free_port, run, write_ds_config
from safetensors.numpy import load_file

pytestmark = pytest.mark.slow

DRIVER = str(Path(__file__).with_name("resume_driver.py"))
BF16 = {"fp16": {"enabled": False}, "bf16": {"enabled": True}}
FP16 = {"fp16": {"enabled": True, "loss_scale": 0, "initial_scale_power": 20, "loss_scale_window": 3, "hysteresis": 1}}
PRECISIONS = {"fp32": FP32, "bf16": BF16, "fp16": FP16}
LENGTH = (["--training.epochs", "2", "--training.self_training_rounds", "1"], ["--training.epochs", "3"])
"""Three epochs of 10 steps; a CPU's layer norm does not score documents in fp16, which self-training would ask for."""
STOPS = [5, 20, 23]
"""In an epoch, at the end of one, which is where self-training begins, and in the next."""


@pytest.fixture(scope="module")
def unsteady_model(tiny_model, tmp_path_factory) -> Path:
    """The tiny model with dropout, which draws random numbers at every step."""
    folder = tmp_path_factory.mktemp("model") / "unsteady"
    shutil.copytree(tiny_model, folder)
    for file in folder.rglob("config.json"):
        config = json.loads(file.read_text())
        if "hidden_dropout_prob" in config:
            file.write_text(json.dumps(config | {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2}))
    return folder


def scenario(one_process, model: Path, folder: Path, precision: str, **more) -> dict:
    """Two documents a step, whatever the number of ranks."""
    folder.mkdir()
    content = {"train_batch_size": 2, **PRECISIONS[precision]}
    ds_file = write_ds_config(folder / "ds.json", "auto", **content)
    return {
        "folder": str(folder), "data": str(one_process.cwd / "data"), "model": str(model),
        "intermediate": str(one_process.output / "intermediate"), "stops": STOPS,
        "options": ["--deepspeed_config", str(ds_file), "--training.log_every", "3", *LENGTH[precision == "fp16"]],
        "by_deepspeed_alone": True,
        **more,
    }  # fmt: skip


def carry_out(scenarios: dict[str, dict], folder: Path, n_ranks: int) -> dict[str, dict[str, str]]:
    plan = folder / f"plan_{n_ranks}.json"
    plan.write_text(json.dumps(scenarios))
    launcher = [DEEPSPEED, "--num_accelerators", str(n_ranks), "--master_port", str(free_port()), "--no_local_rank"]
    command = [*(launcher if n_ranks > 1 else [sys.executable]), DRIVER, str(plan)]
    process = run(command, folder, PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}", OMP_NUM_THREADS="1")
    assert process.returncode == 0, process.stderr[-4000:]
    (folder / f"said_{n_ranks}").write_text(process.stderr)
    return json.loads(plan.with_suffix(".results").read_text())


@pytest.fixture(scope="module")
def trained(one_process, tiny_model, unsteady_model, tmp_path_factory):
    """The results by number of ranks, and the folder."""
    folder = tmp_path_factory.mktemp("resume")

    def all_precisions(n_ranks):
        return {name: scenario(one_process, unsteady_model, folder / f"{name}_{n_ranks}", name) for name in PRECISIONS}

    left = {"stops": [6], "ends": False, "by_deepspeed_alone": False}
    left_behind = scenario(one_process, tiny_model, folder / "left", "fp32", **left)
    two = carry_out(all_precisions(2) | {"left": left_behind}, folder, 2)
    one = carry_out(all_precisions(1) | {"left": left_behind | {"stops": [], "whole": False, "ends": True}}, folder, 1)
    return folder, {1: one, 2: two}


@pytest.mark.parametrize(("precision", "n_ranks"), [("fp32", 1), ("fp32", 2), ("bf16", 2), ("fp16", 2)])
def test_stopped_at_any_step_the_weights_are_the_same_to_the_bit(trained, precision, n_ranks):
    folder, results = trained
    assert results[n_ranks][precision]["parts"] == results[n_ranks][precision]["whole"]
    whole, parts = (folder / f"{precision}_{n_ranks}" / name / "intermediate" / "learning_curve.csv" for name in
                    ("whole", "parts"))  # fmt: skip
    varying = "tokens_per_second"
    pd.testing.assert_frame_equal(pd.read_csv(whole).drop(columns=varying), pd.read_csv(parts).drop(columns=varying))


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_weights_are_those_of_deepspeed_without_our_shortcuts_to_the_bit(trained, precision, n_ranks):
    """Clipped and, in fp16, with steps that are skipped as gradients overflow."""
    found = trained[1][n_ranks][precision]
    assert found["whole"] == found["plain"]


def test_what_was_compared_differs_from_precision_to_precision_and_overflows(trained):
    folder, results = trained
    assert len({found["whole"] for name, found in results[2].items() if name in PRECISIONS}) == 3
    curve = pd.read_csv(folder / "fp16_2" / "whole" / "intermediate" / "learning_curve.csv")
    assert curve["skipped_steps"].iloc[-1] > 0
    assert curve["loss_scale"].nunique() > 1


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_every_stop_says_what_is_saved_and_the_next_run_that_it_goes_on_there(trained, n_ranks):
    said = (trained[0] / f"said_{n_ranks}").read_text()
    for stop in STOPS:
        assert said.count(f"  stopped after step {stop} of 30, which is saved; the same command goes on there\n") >= 1
        assert said.count(f"  goes on after step {stop} of 30\n") >= 1


def test_one_rank_goes_on_with_what_two_have_saved(trained):
    folder, _ = trained
    two, one = (load_file(folder / "left" / name / "model" / "model.safetensors") for name in ("whole", "parts"))
    assert two.keys() == one.keys()
    for name, weights in two.items():
        np.testing.assert_allclose(one[name], weights, atol=1e-5, err_msg=name)
    assert "  goes on after step 6 of 30 as saved by 2 ranks" in (folder / "said_1").read_text()
    assert not (folder / "left" / "parts" / "checkpoints" / ".universal.partial").exists()
