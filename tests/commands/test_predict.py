"""teleclass predict on every kind of file."""

from __future__ import annotations

import csv
import json
import sys

import pandas as pd
import pytest
from conftest import TEST
from experiments import run

from teleclass.classifier import TELEClassifier
from teleclass.cli import main

pytestmark = pytest.mark.slow

TEXTS = list(TEST.values())


@pytest.fixture(scope="module")
def expected(one_process) -> list:
    return list(TELEClassifier.from_pretrained(one_process.model, "cpu").predictions(TEXTS))


def test_text_on_two_workers_gives_csv_in_the_files_order(one_process, tmp_path, expected):
    many = TEXTS * 300  # several chunks for each worker
    (tmp_path / "new.txt").write_text("\n".join(many) + "\n", "utf-8")
    command = [sys.executable, "-m", "teleclass", "predict", "--model", str(one_process.model), "--devices", "cpu,cpu",
               "--input", "new.txt", "--output", "labels.csv"]  # fmt: skip
    process = run(command, tmp_path)
    assert process.returncode == 0, process.stderr
    assert process.stderr.startswith("1,200 documents filed in ")
    with (tmp_path / "labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["id"] for row in rows] == [str(number) for number in range(1200)]
    for row, one in zip(rows, expected * 300, strict=True):
        assert row["classes"] == "; ".join(one.classes)
        assert row["class_ids"] == "; ".join(map(str, one.class_ids))
        assert row["paths"] == "; ".join(one.paths)
        assert float(row["confidence"]) == pytest.approx(one.confidence, abs=0.01)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["labels.csv", "new.txt"]


def test_csv_gives_json_lines_and_json_lines_give_parquet(one_process, tmp_path, expected):
    frame = pd.DataFrame({"name": ["w", "x", "y", "z"], "review": TEXTS})
    frame.to_csv(tmp_path / "new.csv", index=False)
    frame.to_json(tmp_path / "new.jsonl", orient="records", lines=True)
    columns = ["--text_column", "review", "--id_column", "name", "--devices", "cpu", "--model", str(one_process.model)]
    for source, target in (("new.csv", "labels.jsonl"), ("new.jsonl", "labels.parquet")):
        files = ["--input", str(tmp_path / source), "--output", str(tmp_path / target)]
        assert main(["predict", *files, *columns]) == 0
    lines = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    table = pd.read_parquet(tmp_path / "labels.parquet")
    assert list(table["id"]) == [line["id"] for line in lines] == ["w", "x", "y", "z"]
    assert [line["classes"] for line in lines] == [one.classes for one in expected]
    assert [list(one) for one in table["class_ids"]] == [one.class_ids for one in expected]
    assert [list(one) for one in table["paths"]] == [one.paths for one in expected]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"--input": "nothing.txt"}, "nothing.txt: the file does not exist"),
        ({"--input": "new.xlsx"}, "new.xlsx: ends in none of .txt, .tsv, .csv, .jsonl, .parquet"),
        ({"--output": "labels.xlsx"}, "labels.xlsx: ends in none of .csv, .jsonl, .parquet"),
        ({"--output": "no/labels.csv"}, "its folder does not exist"),
        ({"--model": "no_model"}, "the model folder no_model does not exist"),
        ({"--devices": "cuda:99"}, "'cuda:99' is not here"),
    ],
)
def test_what_cannot_work_is_said_before_any_work(one_process, tmp_path, monkeypatch, capsys, change, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.txt").write_text("apple\n")
    options = {"--model": str(one_process.model), "--input": "new.txt", "--output": "labels.csv"} | change
    assert main(["predict", *(word for pair in options.items() for word in pair)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "labels.csv").exists()


def test_a_broken_line_leaves_the_older_labels_alone(one_process, tmp_path, capsys):
    (tmp_path / "new.jsonl").write_text('{"text": "apple"}\n{"text": \n')
    (tmp_path / "labels.csv").write_text("older")
    files = ["--input", str(tmp_path / "new.jsonl"), "--output", str(tmp_path / "labels.csv")]
    assert main(["predict", "--model", str(one_process.model), "--devices", "cpu", *files]) == 2
    assert "new.jsonl, line 2: is not valid JSON" in capsys.readouterr().err
    assert (tmp_path / "labels.csv").read_text() == "older"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["labels.csv", "new.jsonl"]


def test_a_model_that_breaks_in_the_worker_is_one_line(one_process, tmp_path, capsys):
    import shutil

    shutil.copytree(one_process.model, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"short")
    (tmp_path / "new.txt").write_text("apple\n")
    files = ["--input", str(tmp_path / "new.txt"), "--output", str(tmp_path / "labels.csv")]
    assert main(["predict", "--model", str(tmp_path / "model"), "--devices", "cpu", *files]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "cannot be read" in error
