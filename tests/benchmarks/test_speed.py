"""Every measurement of speed in miniature: its rows are there, and the methods do the same work."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import write_course_layout

from benchmarks import __main__ as command
from benchmarks import (
    cuda_work,
    interleave,
    own_training,
    speed_cuda,
    speed_encode,
    speed_experiment,
    speed_label,
    speed_train,
)
from benchmarks.interleave import Outcome, Round
from benchmarks.speed_data import Documents, lengths_like_reviews, random_targets, read_documents
from benchmarks.speed_table import Row, Section
from teleclass.runtime import devices

PROCESSES = interleave.Processes
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def documents(data_dir):
    return read_documents(data_dir)


@pytest.fixture
def task(documents, tiny_model):
    return own_training.TrainingTask(tuple(documents.first(12)), tiny_model, documents.n_classes, 32, batch=2)


class HereOrApart:
    """A method in the tests' own process, where a library is loaded already, unless DeepSpeed or a Trainer sets it up.

    Loading sentence-transformers takes seconds of each process; that methods run in processes is tested by themselves.
    """

    def __init__(self, method):
        self.prepare = method.prepare
        self.apart = PROCESSES(method) if any(method.environments) or "train" in method.name else None

    def ready(self):
        if self.apart:
            self.apart.ready()
        else:
            self.measure = self.prepare()

    def round(self):
        return self.apart.round() if self.apart else interleave._timed(self.measure)

    def close(self):
        if self.apart:
            self.apart.close()


@pytest.fixture
def mostly_here(monkeypatch):
    """Methods run here where they can; what they set for their process is set back."""
    import torch

    threads = torch.get_num_threads()
    monkeypatch.setattr(interleave, "Processes", HereOrApart)
    by_workers = speed_encode._encode_by_workers

    def unless_empty(texts, model, workers):
        """Workers are not started just to see what that costs."""
        return by_workers(texts, model, workers) if any(texts) else (np.zeros((0, 0)), 0.0, 0.0)

    monkeypatch.setattr(speed_encode, "_encode_by_workers", unless_empty)
    monkeypatch.setattr(devices, "keep_freed_memory", lambda: None)
    for name in ("TOKENIZERS_PARALLELISM", "RAYON_NUM_THREADS"):
        monkeypatch.setenv(name, "1" if name.startswith("RAYON") else "false")
    yield
    torch.set_num_threads(threads)
    for process in multiprocessing.active_children():  # a pool lives as long as its method's process, here the tests'
        process.terminate()
        process.join()


def run(data_dir, tiny_model, folder, *names):
    """The command in miniature; returns its status, its measurements by name, and its table."""
    status = command.main(
        [*names, "--miniature", "--data_dir", str(data_dir), "--model", str(tiny_model),
         "--output", str(folder / "speed.json"), "--table", str(folder / "t" / "speed.md")]
    )  # fmt: skip
    return (
        status,
        json.loads((folder / "speed.json").read_text())["measurements"],
        (folder / "t" / "speed.md").read_text(),
    )


def test_texts_go_round_and_empty_ones_are_left_out(data_dir):
    found = read_documents(data_dir)
    assert len(found.texts) == 11
    assert found.n_classes == 7
    assert found.first(13) == [*found.texts, *found.texts[:2]]


def test_random_lengths_are_like_those_of_reviews():
    lengths = lengths_like_reviews(50_000)
    assert lengths.max() <= 168
    assert lengths.min() >= 8
    assert abs(lengths.mean() - 125) < 1


def test_targets_are_three_different_classes_and_always_the_same():
    targets = random_targets(50, 7)
    assert {len(set(one.tolist())) for one in targets} == {3}
    assert all(np.array_equal(one, again) for one, again in zip(targets, random_targets(50, 7), strict=True))
    assert {len(one) for one in random_targets(5, 2)} == {2}


def test_distance_is_of_the_worst_row_and_sees_rows_that_are_missing():
    expected = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert speed_encode.distance(expected, np.array([[2.0, 0.0], [1.0, 1.0]])) == pytest.approx(1 - 0.5**0.5)
    assert speed_encode.distance(expected, np.array([[1.0, 0.0], [np.nan, 1.0]])) == float("inf")


@pytest.mark.slow
@pytest.mark.usefixtures("mostly_here")
def test_encoding_tells_equality_and_every_method(data_dir, tiny_model, tmp_path):
    status, found, table = run(data_dir, tiny_model, tmp_path, "encode")
    assert status == 0, table
    encode = found["encode"]
    assert [row["name"] for row in encode["rows"]] == [
        speed_encode.DEFAULT, speed_encode.BF16, speed_encode.OWN,
        speed_encode.PEER_POOL, speed_encode.OWN_WORKERS,
        speed_encode.ONE_IN_TURN, speed_encode.TWO_IN_TURN,
    ]  # fmt: skip
    equal = [one for one in encode["comparisons"] if one["name"].startswith("max 1 − cosine")]
    assert len(equal) == 2
    assert all(one["figure"]["high"] < 1e-4 and "12 documents" in one["name"] for one in equal)
    documents = {name: [one["documents"] for one in rounds] for name, rounds in encode["rounds"].items()}
    assert documents[speed_encode.DEFAULT] == documents[speed_encode.OWN] == [6]
    assert documents[speed_encode.OWN_WORKERS] == [66]
    assert documents[speed_encode.TWO_IN_TURN] == [2 * 2]
    assert speed_encode.PEER_POOL in table


@pytest.mark.slow
@pytest.mark.usefixtures("mostly_here")
def test_training_and_ranks_tell_every_method(data_dir, tiny_model, tmp_path):
    status, found, table = run(data_dir, tiny_model, tmp_path, "train", "ranks")
    assert status == 0, table
    train, ranks = found["train"], found["ranks"]
    rounds = {name: one[0] for name, one in train["rounds"].items()}
    assert list(rounds) == [speed_train.REFERENCE, speed_train.TRAINER, speed_train.OWN]
    assert [one["documents"] for one in rounds.values()] == [2, 4, 4]
    assert all(rounds[name]["tokens"] > 0 for name in (speed_train.TRAINER, speed_train.OWN))
    assert [one["at_least"] for one in train["comparisons"]] == [22, 2.2]
    one, two = (rounds[0] for rounds in ranks["rounds"].values())
    assert two["documents"] == pytest.approx(2 * one["documents"], abs=2)
    assert two["tokens"] != 2 * one["tokens"]  # as they would be if both ranks took the same documents
    states = next(one for one in ranks["comparisons"] if "optimizer state" in one["name"])
    assert states["figure"]["median"] == pytest.approx(0.5, abs=0.02)


def test_the_plain_loop_and_ours_have_the_same_loss(task):
    """Before any step, on the same documents: what is timed is the same work."""
    import torch

    from teleclass.model.rank_batches import Share

    classifier = task.classifier().eval()
    rows = np.arange(4)
    packed = own_training._documents(task, True)[Share(rows, 1 / 4)]
    padded = task.tokenizer()(
        list(task.texts[:4]), padding="max_length", truncation=True, max_length=32, return_tensors="pt"
    )
    with torch.inference_mode():
        ours = classifier(**packed)
        theirs = classifier(
            padded["input_ids"], padded["attention_mask"], torch.from_numpy(speed_train.multi_hot(task)[rows]),
            torch.ones(4, task.n_classes), torch.full((4,), 1 / 4),
        )  # fmt: skip
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_seconds_are_of_a_document_of_mean_length_where_tokens_are_told():
    assert speed_train.cpu_of_mean_length(Round(2, 4.0, 1.0, tokens=100), 125) == 5.0
    assert speed_train.cpu_of_mean_length(Round(2, 4.0, 1.0), 125) == 2.0


def test_labelling_tells_growth_and_what_failed():
    def outcome(memory, *cpu):
        values = [{"cpu_seconds": one, "peak_mb": memory, "iterations": 3.0} for one in cpu]
        return Outcome([Round(1, one["cpu_seconds"], one["cpu_seconds"], values=one) for one in values])

    section = speed_label.section_of(
        {
            (50_000, 531): outcome(100.0, 1.0),
            (1_000_000, 531): outcome(301.0, 16.0, 13.0, 14.0),
            (5, 7): Outcome(failure="broke"),
        }
    )
    assert [row.name for row in section.rows] == ["50,000 × 531", "1,000,000 × 531", "5 × 7"]
    assert list(section.rows[0].figures) == ["CPU s", "peak MB", "iterations"]
    assert {one.name: (one.figure.median, one.is_met) for one in section.comparisons} == {
        "CPU s: 1,000,000 × 531 ÷ 50,000 × 531": (14.0, None),
        "peak MB: 1,000,000 × 531 ÷ 50,000 × 531": (3.01, None),
        "CPU s: 1,000,000 × 531": (14.0, True),
        "peak MB: 1,000,000 × 531": (301.0, False),
    }
    assert section.has_failed


@pytest.mark.slow
def test_labelling_runs_each_size_and_few_classes_more_than_once():
    section = speed_label.measure([(200, 7), (200, speed_label.SLOW)], rounds=2)
    assert not section.has_failed, section.rows
    assert [len(rounds) for rounds in section.rounds.values()] == [2, 1]
    assert {"CPU s", "wall s", "peak MB"} <= section.rows[0].figures.keys()


def test_shares_of_phases_add_up():
    rows = speed_experiment.rows_of({"encode": 30.0, "train": 50.0}, wall=100.0, cpu=150.0)
    assert [(row.name, row.figures["% of total"].median) for row in rows] == [
        ("encode", 30.0), ("train", 50.0), ("start, checks and logging", 20.0), ("total", 100.0),
    ]  # fmt: skip


@pytest.mark.slow
def test_an_experiment_that_cannot_start_is_told(tmp_path, tiny_model):
    write_course_layout(tmp_path / "data")
    (tmp_path / "data" / "classes.txt").unlink()
    section = speed_experiment.measure(tmp_path / "data")
    assert section.has_failed
    assert section.rows[0].note.startswith("ended with status 2: error: ")


@pytest.mark.slow
def test_an_experiment_tells_its_phases(data_dir, tiny_model, tmp_path):
    status, found, table = run(data_dir, tiny_model, tmp_path, "experiment")
    assert status == 0, table
    names = [row["name"] for row in found["experiment"]["rows"]]
    assert [name for name in names if name in speed_experiment.PHASES] == [
        name for name in speed_experiment.PHASES if name in names
    ]
    assert {"encode", "label", "train", "predict", "evaluate", "total"} <= set(names)
    assert 0 <= found["experiment"]["rows"][-1]["figures"]["value"]["median"] <= 1


def test_flops_count_parameters_without_embeddings_and_attention():
    from transformers import AutoModel

    sizes = cuda_work.PhaseSizes(4, 20, 2, 32, 100, 7, "cpu")
    backbone = AutoModel.from_config(sizes.config("bert"), add_pooling_layer=False)
    layer = 4 * (32 * 32 + 32) + 2 * 4 * 32 * 32 + 4 * 32 + 32 + 2 * 2 * 32
    attention = 2 * 4 * 32 * (3**2 + 5**2)
    assert cuda_work.forward_flops(backbone, np.array([3, 5])) == 2 * 2 * layer * 8 + attention


@pytest.mark.slow
@pytest.mark.usefixtures("mostly_here")
def test_the_gpu_s_work_runs_on_a_cpu_in_miniature():
    section = speed_cuda.measure(speed_cuda.MINIATURE)
    assert [row.name for row in section.rows] == ["matmul", "encode", "train", "predict"]
    assert not section.has_failed, [row.note for row in section.rows]
    documents = [section.rounds[row.name][0].documents for row in section.rows]
    assert documents == [1, 12, 8, 10]
    wanted = {"device s", "TFLOP/s", "peak MB", "documents/s", "% of matmul rate"}
    assert all(wanted <= row.figures.keys() for row in section.rows[1:])
    assert section.comparisons[0].figure.median == section.rows[2].figures["peak MB"].median


def fake_phase(ran, batch):
    """Stands in for a process a phase: nothing is computed."""

    def run(section, name, prepare, rate):
        ran.append((name, rate))
        section.rows.append(Row(name))
        return Outcome([Round(1, 1.0, 1.0, values={"tflops": 500.0, "peak_mb": float(len(ran)), "batch": batch})])

    return run


def test_the_gpu_s_phases_without_deepspeed_with_another_batch_and_without_a_gpu(monkeypatch):
    ran = []
    monkeypatch.setattr(speed_cuda, "_run", fake_phase(ran, batch=32))
    monkeypatch.setattr(speed_cuda, "cuda_is_available", lambda: True)
    section = speed_cuda.measure()
    assert ran == [("matmul", 0.0), ("encode", 500.0), ("train", 500.0), ("predict", 500.0),
                   ("16 a GPU, a few steps", 0.0)]  # fmt: skip
    assert section.comparisons[0].figure.median == 5
    monkeypatch.setattr(speed_cuda.importlib.util, "find_spec", lambda name: None)
    section = speed_cuda.measure()
    assert {row.name: row.note for row in section.rows}["train"] == "not measured: deepspeed is not installed"
    assert [name for name, _ in ran[5:]] == ["matmul", "encode", "predict"]
    monkeypatch.setattr(speed_cuda, "cuda_is_available", lambda: False)
    section = speed_cuda.measure()
    assert {row.note for row in section.rows} == {"not measured: no CUDA device"}
    assert not section.has_failed


@pytest.mark.slow
def test_the_gpu_s_encoding_and_prediction_need_few_packages():
    code = (
        "import sys\n"
        "for name in 'pandas mlflow jsonargparse networkx matplotlib pyarrow jinja2 deepspeed'.split():\n"
        "    sys.modules[name] = None\n"
        "import benchmarks.__main__\n"
        "from benchmarks import speed_cuda, cuda_work\n"
        "sizes = speed_cuda.MINIATURE.phase(4)\n"
        "print(cuda_work.encode(sizes)().documents + cuda_work.predict(sizes)().documents)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "8"


def test_a_measurement_that_breaks_is_told_and_the_others_go_on(monkeypatch, tmp_path, capsys):
    def broken(bench):
        raise ValueError("no such thing")

    fine = Section("train", "fine", [Row("ours")])
    monkeypatch.setitem(command.MEASUREMENTS, "encode", broken)
    monkeypatch.setitem(command.MEASUREMENTS, "train", lambda bench: fine)
    assert command.main(["encode", "train", "--output", str(tmp_path / "o.json")]) == 1
    printed = capsys.readouterr().out
    assert "failed: ValueError: no such thing" in printed
    assert "| ours |" in printed
    assert list(json.loads((tmp_path / "o.json").read_text())["measurements"]) == ["encode", "train"]
    assert command.main(["train", "--miniature"]) == 0


def test_unknown_measurements_are_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["enocde"])
    assert "there is no measurement 'enocde'" in capsys.readouterr().err


def test_documents_without_classes_are_no_trouble():
    assert Documents(("a",), 1).first(2) == ["a", "a"]
