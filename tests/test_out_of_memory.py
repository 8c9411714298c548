"""Experiments on a device that runs out of memory: torch's error is raised where a batch is larger than it can be."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from experiments import DEEPSPEED, FP32, Finished, free_port, options, run, write_ds_config

LIMITED = """
import sys, torch
from teleclass import pipeline
from teleclass.model import classifier

def limited(forward, limit):
    def call(self, **arguments):
        if arguments["batch"].ids.numel() > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, **arguments)
    return call

of_training, of_documents = {limit}, {limit}
C = classifier.LabelMatchingClassifier
C.forward = limited(C.forward, of_training)
features = C.document_features
def document_features(self, batch):
    if not self.training and batch.ids.numel() > of_documents:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return features(self, batch)
C.document_features = document_features
sys.exit(pipeline.main())
"""


def again(one: Finished, name: str, limit: int, command: list[str], arguments: list[str]) -> Finished:
    """The experiment from its training on, with memory for so many tokens at once in training and prediction."""
    output = one.cwd / name
    shutil.copytree(one.output, output)
    script = one.cwd / f"{name}.py"
    script.write_text(LIMITED.format(limit=limit))
    arguments = [str(output) if value == str(one.output) else value for value in arguments]
    process = run([*command, str(script), *arguments, "--force", "train"], one.cwd)
    return Finished(one.cwd, output, arguments, process)


def first_point(finished: Finished) -> pd.Series:
    return pd.read_csv(finished.output / "intermediate" / "learning_curve.csv").iloc[0]


@pytest.mark.slow
@pytest.mark.twin("teleclass.model.passes:is_out_of_memory=lambda _: False")
def test_training_and_prediction_go_on_with_less_at_once_and_the_results_stay(one_process):
    limited = again(one_process, "limited", 22, [sys.executable], one_process.arguments)
    assert limited.process.returncode == 0, limited.process.stderr
    said = limited.process.stderr
    assert "out of memory on cpu: documents a pass of training go down from" in said
    assert "out of memory on cpu: tokens a batch go down from" in said
    assert "Traceback" not in said
    point, expected = first_point(limited), first_point(one_process)
    assert point["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    # Rounding of fp32 sums in another order: .5e-6 to 1.6e-6 over six seeds; one
    # pass counted 1e-4 too much makes 5e-5.
    assert point["grad_norm"] == pytest.approx(expected["grad_norm"], rel=4e-6)
    np.testing.assert_allclose(limited.classifier_scores, one_process.classifier_scores, atol=2e-3)
    assert limited.submission == one_process.submission


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.twin("teleclass.model.passes:is_out_of_memory=lambda _: False")
def test_two_ranks_agree_on_the_passes(one_process):
    """Two documents a rank and step, of which one fits at a time."""
    ds_file = write_ds_config(one_process.cwd / "ds_limited.json", 2, **FP32)
    arguments = options(one_process.cwd / "data", Path(one_process.arguments[3]), one_process.output,
                        "--deepspeed_config", str(ds_file))  # fmt: skip
    command = [DEEPSPEED, "--num_accelerators", "2", "--master_port", str(free_port())]
    limited = again(one_process, "limited_two", 14, command, arguments)
    assert limited.process.returncode == 0, limited.process.stderr
    assert re.search(r"documents a pass of training go down from 2 to 1\b", limited.process.stderr)
    point, expected = first_point(limited), first_point(one_process)
    assert point["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-5)


@pytest.mark.slow
def test_a_document_that_does_not_fit_alone_ends_in_one_line(one_process):
    limited = again(one_process, "too_small", 3, [sys.executable], one_process.arguments)
    assert limited.process.returncode == 2
    (line,) = [line for line in limited.process.stderr.splitlines() if line.startswith("error: ")]
    assert re.search(r"does not fit into the memory of cpu; give a lower --\w+\.max_tokens", line)
