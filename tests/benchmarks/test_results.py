"""The JSON file of measurements, and the tables made of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks.results import Result, Results, machine, versions
from benchmarks.table import table
from teleclass.errors import InputError

METRICS = {"example_f1": 0.5, "precision_at_1": 0.6, "precision_at_3": 0.4, "mrr": 0.7, "macro_f1": 0.3}
ONE = Result("news", "teleclass", 42, METRICS | {"level_1_f1": 0.9, "level_2_f1": 0.8}, fingerprint="f")


def test_a_measurement_is_found_again_by_a_later_program(tmp_path):
    file = tmp_path / "deep" / "quality.json"
    Results(file).add(ONE)
    Results(file).add(replace(ONE, seed=43))
    later = Results(file)
    assert later.find("news", "teleclass", 42, "f") == ONE
    assert later.find("news", "teleclass", 43, "f") == replace(ONE, seed=43)
    assert later.find("news", "teleclass", 44, "f") is None
    assert later.find("news", "teleclass", None, "f") is None
    assert [path.name for path in file.parent.iterdir()] == ["quality.json"]


def test_one_on_other_data_or_options_is_none(tmp_path):
    results = Results(tmp_path / "quality.json")
    results.add(ONE)
    assert results.find("news", "teleclass", 42, "another") is None


def test_a_method_that_was_left_out_is_tried_again(tmp_path):
    results = Results(tmp_path / "quality.json")
    results.add(replace(ONE, metrics={}, left_out="not installed"))
    assert results.find("news", "teleclass", 42, "f") is None


def test_a_new_measurement_takes_the_place_of_the_old(tmp_path):
    results = Results(tmp_path / "quality.json")
    results.add(ONE)
    results.add(replace(ONE, fingerprint="g"))
    assert len(json.loads(results.file.read_text())["results"]) == 1
    assert results.find("news", "teleclass", 42, "g")


@pytest.mark.parametrize("content", ["", "[]", '{"results": [1]}', '{"results": [{"data": "x"}]}'])
def test_another_file_is_refused_and_left_as_it_is(tmp_path, content):
    file = tmp_path / "other.json"
    file.write_text(content)
    with pytest.raises(InputError, match="no measurements of this program"):
        Results(file)
    assert file.read_text() == content


def test_the_machine_and_the_versions_have_names():
    assert "cores" in machine()
    assert {"python", "torch", "scikit-learn", "setfit", "commit"} <= set(versions())


def test_rows_columns_and_deviations_of_a_table():
    """Seeds .5 and .6: mean .55, deviation .0707 with n − 1; levels 1, 2, 10 in the order of numbers."""
    second = replace(ONE, seed=43, metrics=ONE.metrics | {"example_f1": 0.6, "level_10_f1": 0.1})
    fixed = Result("news", "best path", None, METRICS)
    out = Result("news", "SetFit zero-shot", 42, {}, "not installed")
    lines = table("news", [ONE, second, fixed, out]).splitlines()
    assert lines == [
        "### news",
        "",
        "| method | example_f1 | P@1 | P@3 | MRR | macro-F1 | level 1 | level 2 | level 10 |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        "| teleclass | 0.550 ± 0.071 | 0.600 ± 0.000 | 0.400 ± 0.000 | 0.700 ± 0.000 | 0.300 ± 0.000 "
        "| 0.900 ± 0.000 | 0.800 ± 0.000 | 0.100 |",
        "| best path | 0.500 | 0.600 | 0.400 | 0.700 | 0.300 |  |  |  |",
        "| SetFit zero-shot | not installed |  |  |  |  |  |  |  |",
    ]
