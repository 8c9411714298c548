"""The whole experiment as users start it: one process, two processes, again, and ended early."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import EDGES, TEST, write_course_layout
from experiments import (
    DEEPSPEED,
    FP32,
    SCRIPT,
    Finished,
    clean_environment,
    free_port,
    mlflow_artifacts,
    mlflow_runs,
    options,
    run,
    write_ds_config,
)
from safetensors.numpy import load_file

pytestmark = pytest.mark.slow

PHASES = ("encode", "label", "augment", "expand", "train", "predict", "evaluate")


@pytest.fixture(scope="module")
def folder(one_process) -> Path:
    return one_process.cwd


@pytest.fixture(scope="module")
def two_processes(folder, tiny_model, one_process) -> Finished:
    """Two processes with batches of 2: the same four documents a step."""
    ds_file = write_ds_config(folder / "ds_two.json", 2, **FP32)
    arguments = options(folder / "data", tiny_model, folder / "two", "--deepspeed_config", str(ds_file))
    arguments[arguments.index("cpu")] = "cpu,cpu"
    command = [DEEPSPEED, "--num_accelerators", "2", "--master_port", str(free_port()), SCRIPT, *arguments]
    return Finished(folder, folder / "two", arguments, run(command, folder))


def test_one_process_ends_well_and_says_where_the_results_are(one_process):
    process = one_process.process
    assert process.returncode == 0, process.stderr
    assert process.stdout == ""
    lines = process.stderr.splitlines()
    for number, phase in enumerate(PHASES, start=1):
        assert sum(line.startswith(f"[{number}/7] {phase}") for line in lines) == 2, lines
    assert "submission.csv" in lines[-2]
    assert "teleclass ui" in lines[-1]
    table = [line.split() for line in lines[lines.index(next(one for one in lines if "share" in one)) + 1 :]]
    assert [row[0] for row in table[:9]] == [*PHASES, "start,", "total"]
    assert {row[-1] for row in table[:7]} == {"done"}
    assert not (one_process.output / "checkpoints").exists(), "a complete training needs none"
    assert len(lines) <= 40, "a library's warnings came through:\n" + process.stderr
    assert not [line for line in lines if "Warning" in line or "Traceback" in line]


def test_no_operator_is_compiled_whose_lock_a_kill_could_leave(one_process):
    assert not (one_process.cwd / "compiled").exists()


def test_the_submission_holds_the_files_ids_and_closed_sets_of_class_ids(one_process):
    lines = (one_process.output / "submission.csv").read_text().splitlines()
    assert lines[0] == "id,labels"
    assert [line.split(",")[0] for line in lines[1:]] == list(TEST)
    for line in lines[1:]:
        quoted = line.split(",", 1)[1]
        assert quoted.startswith('"')
        assert quoted.endswith('"')
        classes = [int(number) for number in quoted.strip('"').split(",")]
        assert classes == sorted(classes)
        for number in classes:
            parents = {parent for parent, child in EDGES if child == number}
            assert not parents or parents & set(classes)


def test_every_artifact_has_its_columns(one_process):
    inner = one_process.output / "intermediate"
    assert {"document", "class", "confidence"} <= set(pd.read_parquet(inner / "pseudo_labels.parquet"))
    rows = pd.read_parquet(inner / "training_set.parquet")
    assert {"positives", "ignored", "weight"} <= set(rows)
    assert "g" not in set(rows["document"]), "an empty document teaches nothing"
    assert rows["weight"].mean() == pytest.approx(1, abs=1e-5)
    assert list(pd.read_parquet(one_process.output / "predictions.parquet")["document"]) == list(TEST)
    assert one_process.rows("document_embeddings").shape == (12, 32)
    assert one_process.rows("class_embeddings").shape == (7, 32)
    report = (one_process.output / "report.html").read_text()
    assert "bread knives" in report
    for trust in ("label/prior_gain", "label/entropy", "test/agreement_label_model_classifier"):
        assert trust in report
    for text in [TEST[document] for document in sorted(TEST)]:
        assert text in report, "of four documents, every one is an example"
    curve = pd.read_csv(inner / "learning_curve.csv")
    assert {"step", "loss", "learning_rate", "loss_scale", "skipped_steps"} <= set(curve)
    assert len(curve)
    train = json.loads((inner / "completed" / "train.json").read_text())
    assert train["rss_mb"] > 100
    assert "documents" in train["notes"][0]
    predictions = pd.read_parquet(one_process.output / "predictions.parquet")
    for path in [*predictions["label_model_path"], *predictions["classifier_path"]]:
        assert all((parent, child) in EDGES for parent, child in pairwise(path))


def test_mlflow_holds_the_promised_names(one_process):
    first = mlflow_runs(one_process.cwd)[0]
    assert first.info.status == "FINISHED"
    names = set(first.data.metrics)
    expected = {f"{group}/{phase}" for group in ("seconds", "rss_mb", "gpu_memory_mb") for phase in PHASES}
    expected |= {f"documents_per_second/{what}" for what in ("encode", "train", "predict", "total")}
    expected |= {f"train/{what}" for what in ("loss", "learning_rate", "grad_norm", "loss_scale", "skipped_steps",
                                              "tokens_per_second")}  # fmt: skip
    expected |= {f"label/{what}" for what in ("coverage", "classes_with_documents", "starved_classes",
                                              "mean_confidence", "example_f1")}  # fmt: skip
    expected |= {f"test/{what}" for what in ("example_f1", "example_f1_top3", "precision_at_1", "precision_at_3",
                                             "mrr", "micro_f1", "macro_f1", "path_consistency", "level_1_f1",
                                             "level_2_f1", "level_3_f1")}  # fmt: skip
    expected |= {"seconds/total", *(f"gpu_memory_mb/{phase}/rank_0" for phase in ("encode", "train", "predict"))}
    assert expected - names == set()
    assert first.data.metrics["test/path_consistency"] == 1
    assert first.data.metrics["rss_mb/train"] > 100
    assert first.data.tags["precision_asked"] == "fp32"
    assert first.data.tags["world_size"] == "1"
    assert first.data.params["training.epochs"] == "2"
    for tag in ("git.commit", "git.dirty", "version.torch", "devices", "precision_used", "reused_phases", "pid"):
        assert first.data.tags[tag], tag
    inputs = {one.tags[0].value: one.dataset for one in first.inputs.dataset_inputs}
    assert json.loads(inputs["training"].profile) == {"documents": 8, "empty": 1, "classes": 7}
    assert json.loads(inputs["test"].profile) == {"documents": 4, "empty": 0, "classes": 7}
    assert inputs["training"].source.endswith('/data/train/train_corpus.txt"}')
    assert inputs["training"].digest != inputs["test"].digest
    artifacts = mlflow_artifacts(one_process.cwd, first.info.run_id)
    assert {"config.yaml", "ds_config_used.json", "report.html", "submission.csv", "class_metrics.json",
            "level_metrics.json", "figures"} <= artifacts  # fmt: skip
    stored = json.loads((one_process.output / "metrics.json").read_text())
    for name, value in stored.items():
        assert first.data.metrics[name] == pytest.approx(value)


def test_two_processes_end_well_and_only_the_first_speaks(two_processes):
    process = two_processes.process
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("[1/7] encode done") == 1
    run_of_two = mlflow_runs(two_processes.cwd)[1]
    assert run_of_two.data.tags["world_size"] == "2"
    for phase in ("train", "predict"):
        assert f"gpu_memory_mb/{phase}/rank_1" in run_of_two.data.metrics
    assert len(mlflow_runs(two_processes.cwd)) == 2


def test_two_workers_encode_what_one_does(one_process, two_processes):
    for name in ("document_embeddings", "class_embeddings"):
        np.testing.assert_array_equal(one_process.rows(name), two_processes.rows(name))


def test_two_ranks_train_the_same_model_as_one_with_their_total_batch(one_process, two_processes):
    one, two = (load_file(one.output / "model" / "model.safetensors") for one in (one_process, two_processes))
    assert one.keys() == two.keys()
    for name, weights in one.items():
        np.testing.assert_allclose(weights, two[name], atol=2e-5, err_msg=name)


def test_two_ranks_predict_every_document_once(one_process, two_processes):
    scores = two_processes.rows("classifier_scores")
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, one_process.rows("classifier_scores"), atol=0.05)
    one, two = ((one.output / "submission.csv").read_text() for one in (one_process, two_processes))
    assert [line.split(",")[0] for line in two.splitlines()] == [line.split(",")[0] for line in one.splitlines()]


def test_the_same_command_again_reuses_every_phase_and_changes_nothing(one_process):
    before = (one_process.output / "submission.csv").read_bytes()
    again = run([sys.executable, SCRIPT, *one_process.arguments], one_process.cwd)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("is fresh, reused") == 7
    assert (one_process.output / "submission.csv").read_bytes() == before
    assert again.stderr.count("reused, took") == 7
    latest = mlflow_runs(one_process.cwd)[-1]
    assert latest.data.tags["reused_phases"] == ", ".join(PHASES)
    assert not [name for name in latest.data.metrics if name.startswith("seconds/") and name != "seconds/total"]
    assert latest.data.metrics["test/example_f1"] == mlflow_runs(one_process.cwd)[0].data.metrics["test/example_f1"]


def dry_run(finished: Finished, *more: str) -> tuple[dict[str, str], str]:
    """What a dry run says of each phase, in a line, and all that it prints."""
    process = run([sys.executable, SCRIPT, *finished.arguments, *more, "--dry_run"], finished.cwd)
    assert process.returncode == 0, process.stderr
    rows = [line for line in process.stdout.splitlines() if line.startswith("# [")]
    return {row.split()[2]: row for row in rows}, process.stdout


def test_a_dry_run_after_a_run_says_that_all_is_fresh_and_writes_nothing(one_process):
    def files():
        return {path: path.stat().st_mtime_ns for path in one_process.cwd.rglob("*") if "__pycache__" not in str(path)}

    before, n_runs = files(), len(mlflow_runs(one_process.cwd))
    plan, printed = dry_run(one_process)
    assert tuple(plan) == PHASES
    assert all(row.split()[3] == "fresh" for row in plan.values())
    assert "every phase is fresh" in printed
    assert files() == before
    assert len(mlflow_runs(one_process.cwd)) == n_runs


def test_gold_changes_nothing_but_the_report(one_process, tiny_model):
    data = write_course_layout(one_process.cwd / "without_gold")
    for split in ("train", "test"):
        (data / split / f"{split}_labels.txt").unlink()
    arguments = ["without_gold" if one == str(one_process.cwd / "data") else one for one in one_process.arguments]
    arguments[arguments.index(str(one_process.output))] = "without_gold_out"
    process = run([sys.executable, SCRIPT, *arguments], one_process.cwd)
    assert process.returncode == 0, process.stderr
    blind = one_process.cwd / "without_gold_out"
    assert (blind / "submission.csv").read_bytes() == (one_process.output / "submission.csv").read_bytes()
    metrics = json.loads((blind / "metrics.json").read_text())
    assert "test/path_consistency" in metrics
    assert "test/example_f1" not in metrics
    assert "label/example_f1" not in metrics


def test_force_redoes_a_phase_and_those_after_it(one_process):
    again = run([sys.executable, SCRIPT, *one_process.arguments, "--force", "predict"], one_process.cwd)
    assert again.returncode == 0, again.stderr
    redone = [line for line in again.stderr.splitlines() if " done in " in line]
    assert [line.split()[1] for line in redone] == ["predict", "evaluate"]


def test_a_changed_option_redoes_the_phases_that_a_dry_run_names(one_process):
    changes = ("--decoding.labels_per_document", "2.5", "--training.max_steps", "1")
    plan, printed = dry_run(one_process, *changes)
    assert "decoding.labels_per_document 0.0 → 2.5; training.max_steps 300 → 1" in printed
    assert "the times of the last run" in printed
    again = run([sys.executable, SCRIPT, *one_process.arguments, *changes], one_process.cwd)
    assert again.returncode == 0, again.stderr
    done = [line.split()[1] for line in again.stderr.splitlines() if line.startswith("[") and " done in " in line]
    assert done == [name for name, row in plan.items() if "to do" in row]
    assert "options changed" in plan["label"]
    assert "follows label" in plan["expand"]
    assert "[1/7] encode is fresh, reused" in again.stderr
    assert again.stderr.count("is fresh, reused") == 1


def test_the_python_class_starts_the_launcher_on_its_devices(folder, tiny_model, one_process):
    code = f"""
from pipeline_teleclass_multigpu import MultiGPUTELEClassPipeline
result = MultiGPUTELEClassPipeline(
    data_dir={str(folder / "data")!r}, device_ids=[0, 1], output_dir="by_class", preset="offline",
    encoder={{"model": {str(tiny_model)!r}}}, training={{"model": {str(tiny_model)!r}, "max_steps": 1}},
    tracking={{"enabled": False}},
).run()
print(result.metrics["test/path_consistency"], result.submission)
"""
    process = run([sys.executable, "-c", code], folder)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1] == "1.0 by_class/submission.csv"
    assert "on 2 × cpu" in process.stderr


def test_a_run_that_fails_ends_failed_with_one_line(folder, tiny_model, one_process):
    content = json.loads((folder / "ds_one.json").read_text())
    content["optimizer"]["params"]["lr"] = 1e30
    content["scheduler"] = {"type": "WarmupLR", "params": {"warmup_max_lr": 1e30, "warmup_num_steps": 1}}
    (folder / "ds_broken.json").write_text(json.dumps(content))
    arguments = options(folder / "data", tiny_model, folder / "failed", "--deepspeed_config",
                        str(folder / "ds_broken.json"), "--training.epochs", "12")  # fmt: skip
    process = run([sys.executable, SCRIPT, *arguments], folder)
    assert process.returncode == 2, process.stderr
    assert process.stderr.splitlines()[-1].startswith("error: ")
    assert "finite" in process.stderr.splitlines()[-1] or "loss is" in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr
    assert mlflow_runs(folder)[-1].info.status == "FAILED"
    assert not (folder / "failed" / "model").exists()


def test_a_run_that_is_stopped_ends_killed(folder, tiny_model, one_process):
    more = ["--training.epochs", "100000", "--training.checkpoint_minutes", "0.01"]
    arguments = options(folder / "data", tiny_model, folder / "stopped", *more)
    newest = folder / "stopped" / "checkpoints" / "newest.json"
    process = subprocess.Popen(
        [sys.executable, SCRIPT, *arguments], cwd=folder, env=clean_environment(), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not newest.exists():  # it trains: how long a process takes to come there says nothing
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read()
    assert process.wait(timeout=60) == 143, rest
    assert "Traceback" not in rest
    assert "which is saved; the same command goes on there" in rest
    assert newest.exists()
    assert mlflow_runs(folder)[-1].info.status == "KILLED"


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda data: (data / "train" / "train_corpus.txt").unlink(), "train_corpus.txt"),
        (lambda data: (data / "test" / "test_labels.txt").write_text("0\t10,99\n"), "test_labels.txt, line 1"),
        (lambda data: (data / "class_hierarchy.txt").write_text("10\t11\n11\t10\n"), "cycle"),
        (lambda data: (data / "train" / "generated_docs.txt").write_text("0\tx\n"), "generated_doc2label.json"),
    ],
)
def test_broken_input_is_one_line_and_status_2_before_any_work(tmp_path, tiny_model, break_it, says):
    data = write_course_layout(tmp_path / "data")
    break_it(data)
    process = run([sys.executable, SCRIPT, *options(data, tiny_model, tmp_path / "out")], tmp_path)
    assert process.returncode == 2
    assert len(process.stderr.splitlines()) == 1, process.stderr
    assert process.stderr.startswith("error: ")
    assert says in process.stderr
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "mlruns").exists()
