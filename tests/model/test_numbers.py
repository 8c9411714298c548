"""A loss that is not finite is told by its document, and steps are not skipped for ever."""

from __future__ import annotations

import sys

import pytest
from conftest import write_course_layout
from experiments import FP32, mlflow_runs, options, run, write_ds_config

from teleclass.model.training import TrainingConfig

CODE = """
import sys

import torch
from deepspeed.accelerator import get_accelerator

get_accelerator().__class__.is_fp16_supported = lambda self: True
from teleclass.model.classifier import LabelMatchingClassifier
from teleclass.phases import train
from teleclass.pipeline import main

train.supports_of = lambda device: lambda precision: True
before, what, token = LabelMatchingClassifier.document_features, "", 0
has_trained = False


def features_of(self, batch):
    global has_trained
    features = before(self, batch)
    has_trained |= self.training
    if what == "document" and has_trained:
        is_bad = torch.zeros(len(batch), 1, dtype=features.dtype)
        is_bad[batch.documents[batch.ids == token]] = float("nan")
        return features + is_bad
    if what == "gradient" and features.requires_grad:
        features.register_hook(lambda gradient: gradient * float("inf"))
    return features


LabelMatchingClassifier.document_features = features_of
from transformers import AutoTokenizer

token = AutoTokenizer.from_pretrained(sys.argv[1])("climb")["input_ids"][1]
fp32, fp16 = sys.argv[2:4]
arguments = sys.argv[4:]
for what, ds_file, more in (
    ("document", fp32, []), ("gradient", fp32, ["--training.max_skipped_steps", "3"]), ("gradient", fp16, []),
):
    has_trained = False
    print(main([*arguments, "--deepspeed_config", ds_file, *more]), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def trainings(tmp_path_factory, tiny_model):
    """What three trainings print: a document gives NaN; gradients are infinite in fp32; the same in fp16."""
    folder = tmp_path_factory.mktemp("numbers")
    data = write_course_layout(folder / "data")
    scaling = {"enabled": True, "loss_scale": 0, "initial_scale_power": 3, "hysteresis": 1, "min_loss_scale": 1}
    fp32, fp16 = (str(write_ds_config(folder / f"{name}.json", 4, **changes))
                  for name, changes in (("fp32", FP32), ("fp16", {"fp16": scaling})))  # fmt: skip
    arguments = options(data, tiny_model, folder / "out", "--training.epochs", "20", "--training.log_every", "5",
                        "--enrichment.corpus_terms", "false")  # fmt: skip
    process = run([sys.executable, "-c", CODE, str(tiny_model), fp32, fp16, *arguments], folder)
    assert process.returncode == 0, process.stderr
    found = [line for line in process.stderr.splitlines() if line.startswith("error: ") or "is skipped:" in line]
    said = [[]]
    for line in found:
        said[-1].append(line)
        if line.startswith("error: "):
            said.append([])
    return folder, said


@pytest.mark.slow
def test_the_document_behind_a_loss_that_is_not_finite_is_named(trainings):
    folder, said = trainings
    error = said[0][-1]
    assert error.startswith("error: the training loss is nan at step ")
    assert "document 'c' gives no finite score; remove it, or lower optimizer.params.lr" in error
    assert [one.info.status for one in mlflow_runs(folder)] == ["FAILED"] * 3


@pytest.mark.slow
def test_without_a_loss_scale_steps_are_not_skipped_for_ever(trainings):
    told, error = trainings[1][1]
    assert told == "  step 1 is skipped: its gradients are not finite"
    assert "the gradients are not finite: 4 steps in a row were skipped up to step 4, in fp32" in error


@pytest.mark.slow
def test_a_loss_scale_that_can_fall_no_further_ends_the_training_with_a_clear_word(trainings):
    (error,) = trainings[1][2]
    assert "the gradients are not finite: the loss scale is at its minimum up to step 3, in fp16" in error


def test_a_negative_limit_is_refused():
    with pytest.raises(ValueError, match="max_skipped_steps must be 0 or more"):
        TrainingConfig(max_skipped_steps=-1)
