"""Cells that a spreadsheet would run."""

from __future__ import annotations

import csv

import pytest

from teleclass.data.label_file import label_file
from teleclass.data.spreadsheet import guarded, unguarded


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"), ("+cmd", "'+cmd"), ("-a", "'-a"), ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "'\t=1"),
        ("-5", "-5"), ("+3.5", "+3.5"), ("-inf", "'-inf"), ("food", "food"), ("a=1", "a=1"), ("", ""), ("'s", "'s"),
    ],
)  # fmt: skip
def test_a_formula_is_guarded_and_a_number_is_not(text, cell):
    assert guarded(text) == cell
    assert unguarded(cell) == text


def test_labels_in_csv_hold_no_formula(tmp_path):
    row = {"id": "=2+5", "classes": ["=1+1", "-a"], "class_ids": [-1, 2], "probabilities": [-0.5, 0.25],
           "paths": ["@x > =1+1"], "confidence": -0.5}  # fmt: skip
    with label_file(tmp_path / "labels.csv") as labels:
        labels.write(row)
    with (tmp_path / "labels.csv").open(newline="") as stream:
        [found] = csv.DictReader(stream)
    assert (found["id"], found["classes"], found["paths"]) == ("'=2+5", "'=1+1; -a", "'@x > =1+1")
    assert found["confidence"] == "-0.5000"
