"""fp16 with dynamic loss scaling, on a CPU whose DeepSpeed accelerator is told that it has fp16."""

from __future__ import annotations

import sys

import pytest
from conftest import write_course_layout
from deepspeed.accelerator import get_accelerator
from experiments import mlflow_runs, options, run, write_ds_config
from safetensors.numpy import load_file

from teleclass.phases import train

pytestmark = pytest.mark.slow

CODE = """
import sys
from deepspeed.accelerator import get_accelerator

get_accelerator().__class__.is_fp16_supported = lambda self: True
from teleclass.phases import train
from teleclass.pipeline import main

train.supports_of = lambda device: lambda precision: True

sys.exit(main(sys.argv[1:]))
"""


def test_the_loss_scale_halves_at_every_overflow_and_no_step_is_taken_then(tmp_path, tiny_model):
    power = 24
    scaling = {
        "enabled": True,
        "loss_scale": 0,
        "initial_scale_power": power,
        "loss_scale_window": 1000,
        "hysteresis": 1,
        "min_loss_scale": 1,
    }
    data = write_course_layout(tmp_path / "data")
    ds_file = write_ds_config(tmp_path / "ds.json", 4, fp16=scaling)
    more = ["--deepspeed_config", str(ds_file), "--training.epochs", "20", "--training.log_every", "1"]
    arguments = options(data, tiny_model, tmp_path / "out", *more)
    process = run([sys.executable, "-c", CODE, *arguments], tmp_path)
    assert process.returncode == 0, process.stderr
    finished = mlflow_runs(tmp_path)[0]
    assert finished.data.tags["precision_asked"] == finished.data.tags["precision_used"] == "fp16"
    skipped = finished.data.metrics["train/skipped_steps"]
    assert 1 <= skipped < finished.data.metrics["train/steps"]
    assert finished.data.metrics["train/loss_scale"] == 2.0 ** (power - skipped)
    weights = load_file(tmp_path / "out" / "model" / "model.safetensors")
    assert {array.dtype.name for array in weights.values()} == {"float32"}
    assert all(abs(array).max() < 1e4 for array in weights.values())


def test_without_fp16_the_precision_falls_back_and_says_so(tmp_path, tiny_model):
    data = write_course_layout(tmp_path / "data")
    process = run([sys.executable, "-m", "teleclass", "run", *options(data, tiny_model, tmp_path / "out")], tmp_path)
    assert process.returncode == 0, process.stderr
    used = mlflow_runs(tmp_path)[0].data.tags["precision_used"]
    assert used in ("bf16", "fp32")
    assert f"precision: fp16 asked, {used} used" in process.stderr


@pytest.mark.parametrize(("has_bf16", "takes_fp16"), [(True, False), (False, True)])
def test_a_cpu_with_instructions_for_both_takes_bf16(monkeypatch, has_bf16, takes_fp16):
    accelerator = get_accelerator()
    for name in ("is_fp16_supported", "is_bf16_supported"):
        monkeypatch.setattr(type(accelerator), name, lambda self: True)
    monkeypatch.setattr(train, "fast_bf16", lambda device: has_bf16)
    supports = train.supports_of("cpu")
    assert (supports("fp16"), supports("bf16")) == (takes_fp16, has_bf16)
