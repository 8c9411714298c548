"""The experiment with several seeds."""

from __future__ import annotations

import csv
import os
import signal
import statistics
import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import write_course_layout
from experiments import (
    SCRIPT,
    clean_environment,
    mlflow_artifacts,
    mlflow_runs,
    options,
    processes_in,
    run,
    write_ds_config,
)
from tracked import client_of

from teleclass import sweep
from teleclass.config import parse_arguments
from teleclass.data.dataset import read_dataset
from teleclass.errors import TeleclassError
from teleclass.pipeline import PHASES
from teleclass.sweep import run_seeds, summary_of

FP32 = {"fp16": {"enabled": False}}


@pytest.fixture(scope="module")
def swept(tmp_path_factory, tiny_model):
    """Seeds 5 and 6 in processes of their own: the working directory and what was printed."""
    folder = tmp_path_factory.mktemp("sweep")
    data = write_course_layout(folder / "data")
    ds_file = write_ds_config(folder / "ds.json", 4, **FP32)
    arguments = options(data, tiny_model, folder / "out", "--deepspeed_config", str(ds_file), "--seeds", "5,6")
    return folder, run([sys.executable, SCRIPT, *arguments, "--tracking.run_name", "trial"], folder)


@pytest.mark.slow
def test_each_seed_is_a_run_below_one_that_has_their_means(swept):
    folder, process = swept
    assert process.returncode == 0, process.stderr
    parent, *children = mlflow_runs(folder)[:3]
    assert [run.info.run_name for run in (parent, *children)] == ["trial", "trial-seed_5", "trial-seed_6"]
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    assert [run.data.params["seed"] for run in children] == ["5", "6"]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert parent.data.params["seeds"] == "5,6"
    assert "seed" not in parent.data.params
    assert parent.inputs.to_dictionary() == children[1].inputs.to_dictionary()
    tested = {name for name in children[0].data.metrics if name.startswith("test/")}
    assert {"test/example_f1", "test/mean_confidence", "test/agreement_label_model_classifier"} <= tested
    for name in tested:
        values = [run.data.metrics[name] for run in children]
        assert parent.data.metrics[name] == pytest.approx(statistics.fmean(values)), name
        assert parent.data.metrics[f"{name}_std"] == pytest.approx(statistics.stdev(values)), name
    assert parent.data.metrics["test/mean_confidence_std"] > 0, "the seed has no part in training"
    assert mlflow_artifacts(folder, parent.info.run_id) == {"seeds.json", "metrics_by_seed.csv"}


@pytest.mark.slow
def test_what_does_not_depend_on_the_seed_is_done_once(swept):
    folder, process = swept
    assert process.stderr.count("encode is fresh, reused") == 1
    first, second = (run.data.tags["reused_phases"] for run in mlflow_runs(folder)[1:3])
    assert (first, second) == ("none", "encode, label, augment, expand")
    one, two = (folder / "out" / f"seed_{seed}" / "intermediate" / "document_embeddings.npy" for seed in (5, 6))
    assert os.path.samefile(one, two)
    models = [(folder / "out" / f"seed_{seed}" / "model" / "model.safetensors").read_bytes() for seed in (5, 6)]
    assert models[0] != models[1]


@pytest.mark.slow
def test_means_and_deviations_are_printed_and_kept_in_a_table(swept):
    folder, process = swept
    lines = [line.split() for line in process.stderr.splitlines()]
    assert ["metric", "mean", "std", "seed_5", "seed_6"] in lines
    with (folder / "out" / "metrics_by_seed.csv").open() as stream:
        rows = {row["metric"]: row for row in csv.DictReader(stream)}
    confidence = rows["test/mean_confidence"]
    printed = next(line for line in lines if line and line[0] == "test/mean_confidence")
    assert printed[1:] == [f"{float(confidence[name]):.4f}" for name in ("mean", "std", "seed_5", "seed_6")]
    assert process.stderr.splitlines()[-1].startswith("2 seeds finished in ")


@pytest.mark.slow
def test_stopping_it_ends_the_seed_that_runs_and_both_runs_are_killed(swept, tiny_model):
    folder, _ = swept
    arguments = options(folder / "data", tiny_model, folder / "stopped", "--seeds", "1,2")
    process = subprocess.Popen(
        [sys.executable, SCRIPT, *arguments], cwd=folder, env=clean_environment(), stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        if line.startswith("[1/7] encode"):
            break
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read()
    assert process.wait(timeout=60) == 143, rest
    assert "Traceback" not in rest
    assert [run.info.status for run in mlflow_runs(folder)[3:]] == ["KILLED", "KILLED"]
    assert processes_in(folder) == []


@pytest.fixture
def told(monkeypatch):
    """What each seed's process was told, in place of running it, and the statuses that they end with."""
    found = SimpleNamespace(arguments=[], statuses=[])

    def run_one(arguments, number, parent, n_ranks, device_ids):
        found.arguments.append(list(arguments))
        return found.statuses[number]

    monkeypatch.setattr(sweep, "_run", run_one)
    return found


def start(arguments):
    config = parse_arguments(arguments)
    return run_seeds(config, arguments, PHASES, read_dataset(config.data_folder), n_ranks=1)


def test_a_seed_that_fails_is_named_and_ends_the_sweep_as_failed(here, told, data_dir, tiny_model, tmp_path):
    told.statuses = [0, 2]
    arguments = options(data_dir, tiny_model, tmp_path / "out", "--seeds", "7,8,9", "--tracking.experiment", "failing")
    with pytest.raises(TeleclassError, match="seed 8 ended with status 2"):
        start(arguments)
    assert len(told.arguments) == 2
    client = client_of(here)
    runs = client.search_runs([client.get_experiment_by_name("failing").experiment_id])
    assert [run.info.status for run in runs] == ["FAILED"]


@pytest.mark.parametrize(
    ("force", "later"), [("", ""), ("label", "train"), ("predict", "predict")], ids=["none", "shared", "own"]
)
def test_a_forced_phase_that_seeds_share_is_done_again_once(told, data_dir, tiny_model, tmp_path, force, later):
    told.statuses = [0, 1]
    arguments = options(data_dir, tiny_model, tmp_path / "out", "--seeds", "7,8", "--tracking.enabled", "false")
    if force:
        arguments += ["--force", force]
    with pytest.raises(TeleclassError):
        start(arguments)
    first, second = (parse_arguments(one) for one in told.arguments)
    assert [one.seed for one in (first, second)] == [7, 8]
    assert [one.seeds for one in (first, second)] == ["", ""]
    assert [one.output_dir for one in (first, second)] == [str(tmp_path / "out" / f"seed_{seed}") for seed in (7, 8)]
    assert (first.force, second.force) == (force, later)


def test_one_seed_has_a_mean_and_no_deviation():
    assert summary_of({"test/mrr": [0.5]}) == {"test/mrr": 0.5}
    assert summary_of({"test/mrr": [0.25, 0.75]}) == {
        "test/mrr": 0.5,
        "test/mrr_std": pytest.approx(0.25 * 2**0.5),
    }
