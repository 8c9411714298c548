"""What an experiment is expected to take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from teleclass.config import make_config, to_yaml
from teleclass.data.dataset import read_dataset
from teleclass.estimate import (
    NOMINAL,
    estimate,
    estimate_from_last_run,
    sample,
    seconds_of,
    slowness,
    together,
    workload,
)
from teleclass.runtime.artifacts import Artifacts, Marker

PHASES = ("encode", "label", "augment", "expand", "train", "predict", "evaluate")


@pytest.fixture
def config(data_dir, tiny_model, tmp_path):
    return make_config(
        data_dir=data_dir, output_dir=tmp_path / "out", encoder={"model": tiny_model, "devices": "cpu"},
        training={"model": tiny_model, "epochs": 3},
    )  # fmt: skip


def test_the_work_is_counted_from_the_documents_and_the_options(config, data_dir):
    data = read_dataset(data_dir)
    work = workload(config, data)
    assert (work.documents, work.filed, work.classes, work.paths) == (12, 4, 7, 4)
    # 8 documents, and 8 lent at most: one step of 16 an epoch.
    assert work.steps == 3
    assert workload(config, data, 2).steps == 3
    longer = replace(config, training=replace(config.training, self_training_rounds=2))
    assert workload(longer, data).steps == 5
    assert workload(replace(config, training=replace(config.training, max_steps=2)), data).steps == 2
    assert work.characters == sum(map(len, data.corpus.texts[:8]))
    (data_dir / "train" / "enrichment.txt").write_text("fruit:apple\n")
    assert workload(config, data).characters == 0, "terms are read, not mined"


def test_more_work_takes_longer_and_a_faster_machine_shorter(config, data_dir):
    work = workload(config, read_dataset(data_dir))
    seconds = seconds_of(work, NOMINAL)
    assert set(seconds) == {"start", *PHASES}
    double = seconds_of(replace(work, steps=2 * work.steps), NOMINAL)
    assert {name for name in seconds if double[name] > seconds[name]} == {"train"}
    slow = seconds_of(work, replace(NOMINAL, slowness=2))
    assert all(slow[name] > seconds[name] for name in seconds)


def test_the_models_are_timed_where_there_is_no_last_run(config, data_dir):
    data = read_dataset(data_dir)
    assert estimate_from_last_run(config, data) is None
    found = estimate(config, data)
    assert set(found.seconds) == {"start", *PHASES}
    assert min(found.seconds.values()) > 0
    assert "timed on 1 × cpu" in found.source


def finish_a_run(config):
    output = Artifacts(config_folder := config.data_folder.parent / "out")
    config_folder.mkdir()
    output.path("config").write_text(to_yaml(config))
    for number, name in enumerate(PHASES, start=1):
        output.complete(name, Marker("", 100.0 * number), ())
    return output


def test_the_times_of_the_last_run_are_taken_and_scaled_by_the_work(config, data_dir):
    output = finish_a_run(config)
    data = read_dataset(data_dir)
    same = estimate_from_last_run(config, data)
    assert [same.seconds[name] for name in PHASES] == pytest.approx([100.0 * number for number in range(1, 8)])
    assert str(output.folder) in same.source
    longer = estimate_from_last_run(replace(config, training=replace(config.training, epochs=300)), data)
    assert longer.seconds["train"] > 2 * same.seconds["train"]
    assert longer.seconds["encode"] == same.seconds["encode"]


@pytest.mark.parametrize("difference", ["max_documents", "model", "marker", "unreadable"])
def test_a_last_run_that_cannot_be_compared_is_not_taken(config, data_dir, difference, tmp_path):
    output = finish_a_run(config)
    data = read_dataset(data_dir)
    if difference == "max_documents":
        config = replace(config, max_documents=3)
    elif difference == "model":
        config = replace(config, training=replace(config.training, model="bundled"))
    elif difference == "marker":
        output.forget("expand")
    else:
        output.path("config").write_text("of_another_version: 1\n")
    assert estimate_from_last_run(config, data) is None


def test_several_processes_are_somewhat_less_than_so_many_times_as_fast():
    assert together(1) == 1
    assert 1.8 < together(2) < 2


def test_a_sample_is_spread_over_all_texts():
    texts = [str(number) for number in range(1000)]
    assert sample(texts, 2000) == texts
    assert sample(texts, 3) == ["0", "499", "999"]


def test_this_machine_is_within_reason():
    assert 0.1 < slowness() < 50
