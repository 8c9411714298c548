"""Thousands of broken input files: each is read, refused by a typed error that names it, or mended as documented."""

from __future__ import annotations

from collections import Counter

import pytest
from faults.fuzzing import (
    DS_CONFIG,
    OPTIONS,
    check_documents,
    check_ds_config,
    check_folder,
    check_options,
    document_files,
    folders,
    mutated,
    other_values,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FEW = {"folder": 250, "ds_config": 60, "options": 40, "documents": 60}
MANY = {"folder": 3800, "ds_config": 400, "options": 300, "documents": 500}
"""Examples of each kind: 5,000 together."""

SETTINGS = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
amounts = pytest.mark.parametrize(
    "amount",
    [pytest.param(FEW, id="few"), pytest.param(MANY, id="many", marks=[pytest.mark.faults, pytest.mark.timeout(1500)])],
)


def fuzz(amount: int, strategy, check) -> Counter:
    """Check so many examples, the same ones each time where they are few; prints what came of them."""
    seen: Counter = Counter()

    @settings(max_examples=amount, derandomize=amount < 300, **SETTINGS)
    @given(strategy)
    def run(example) -> None:
        seen["examples"] += 1
        check(example, seen)

    run()
    print(dict(seen))
    return seen


@amounts
@pytest.mark.twin("teleclass.data.textfile:_decoded=lambda piece, *_: piece.decode()")
def test_a_data_folder_is_read_refused_with_file_and_line_or_mended(tmp_path, amount):
    both = folders(tmp_path)
    places = [(folder, file) for folder in both for file in folder.files]
    strategy = st.sampled_from(places).flatmap(lambda place: st.tuples(st.just(place), mutated(place[1].read_bytes())))
    seen = fuzz(amount["folder"], strategy, lambda example, seen: check_folder(*example[0], example[1], seen))
    assert seen["examples"] >= amount["folder"]
    assert seen["read"] > 0
    assert seen["refused"] > seen["stopped in spite of --repair"] > 0


@amounts
@pytest.mark.twin("faults.fuzzing:read_ds_config=read_json")
def test_a_deepspeed_file_is_read_or_refused_by_name(tmp_path, amount):
    file = tmp_path / "ds.json"
    strategy = st.one_of(mutated(DS_CONFIG), other_values(DS_CONFIG), other_values(DS_CONFIG))
    fuzz(amount["ds_config"], strategy, lambda content, seen: check_ds_config(file, content, seen))


@amounts
@pytest.mark.twin("teleclass.config:TeleclassError=ValueError")
def test_a_file_of_options_is_read_or_refused_in_one_line(tmp_path, amount):
    file = tmp_path / "options.yaml"
    fuzz(amount["options"], mutated(OPTIONS.encode()), lambda content, seen: check_options(file, content, seen))


@amounts
@pytest.mark.twin("teleclass.data.documents:lines=read_lines", "teleclass.data.documents:InputError=ValueError")
def test_documents_to_predict_are_read_or_refused_by_name(tmp_path, amount):
    strategy = st.sampled_from(list(document_files().items())).flatmap(
        lambda kind: st.tuples(st.just(kind[0]), mutated(kind[1]))
    )
    fuzz(amount["documents"], strategy,
         lambda example, seen: check_documents(tmp_path / example[0], example[1], seen))  # fmt: skip
