"""Tables of speed, targets, and the file of all figures."""

from __future__ import annotations

import json

import pytest

from benchmarks.interleave import Figure, Outcome, Round
from benchmarks.speed_table import (
    SPEED_COLUMNS,
    Comparison,
    Row,
    Section,
    file_name,
    markdown,
    number,
    write_json,
)


@pytest.fixture
def section():
    section = Section("encode", "ten documents")
    rounds = [Round(10, 1.0, 2.0), Round(10, 3.0, 4.0), Round(10, 2.0, 5.0)]
    section.add({"ours": Outcome(rounds), "a | peer": Outcome(failure="ValueError: broke")}, SPEED_COLUMNS)
    section.comparisons += [
        Comparison("faster", Figure(3.5, 3.1, 4.0), at_least=3.3),
        Comparison("memory", Figure.of([0.53]), at_most=0.52),
        Comparison("lost", None, at_least=1),
    ]
    section.remarks.append("one thread")
    return section


def test_a_section_is_a_table_its_comparisons_and_its_remarks(section):
    assert markdown([section]) == (
        "### encode: ten documents\n\n"
        "| method | CPU ms a document | documents/s (wall) | note |\n"
        "|---|---:|---:|---|\n"
        "| ours | 200 (100–300) | 2.5 (2–5) |  |\n"
        "| a / peer |  |  | failed: ValueError: broke |\n\n"
        "| comparison | value | target | met |\n"
        "|---|---:|---:|---|\n"
        "| faster | 3.5 (3.1–4) | ≥ 3.3 | yes |\n"
        "| memory | 0.53 | ≤ 0.52 | no |\n"
        "| lost | not measured | ≥ 1 |  |\n\n"
        "- one thread\n"
    )
    assert section.has_failed


def test_what_the_fastest_turns_tell_stands_beside_the_value_and_is_not_judged(section):
    section.comparisons.append(Comparison("disturbed", Figure(2.9, 2.5, 4.5), at_least=3.3, of_least=4.51))
    assert (
        "| comparison | value | fastest turns | target | met |\n"
        "|---|---:|---:|---:|---|\n"
        "| faster | 3.5 (3.1–4) |  | ≥ 3.3 | yes |\n"
    ) in markdown([section])
    assert "| disturbed | 2.9 (2.5–4.5) | 4.51 | ≥ 3.3 | no |\n" in markdown([section])


def test_rows_that_were_not_measured_have_not_failed():
    section = Section("cuda", "", [Row("train", note="not measured: no CUDA device")])
    assert not section.has_failed
    assert "| train | not measured: no CUDA device |" in markdown([section])


def test_numbers_keep_three_digits():
    assert [number(one) for one in (0.0, 2.34e-5, 0.0123, 9.876, 99.94, 1234.5)] == [
        "0", "2.3e-05", "0.0123", "9.88", "99.9", "1,234",
    ]  # fmt: skip


def test_the_file_keeps_other_measurements(section, tmp_path):
    file = tmp_path / "new" / file_name("AMD EPYC (64), 2 cores")
    assert file.name == "amd_epyc_64_2_cores.json"
    write_json(file, [section], {"rounds_asked": 3})
    write_json(file, [Section("train", "")], {"rounds_asked": 1})
    write_json(file, [Section("encode", "anew")], {"rounds_asked": 2})
    found = json.loads(file.read_text())["measurements"]
    assert {name: (one["title"], one["rounds_asked"]) for name, one in found.items()} == {
        "encode": ("anew", 2), "train": ("", 1),
    }  # fmt: skip
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_the_file_holds_every_round(section, tmp_path):
    write_json(tmp_path / "all.json", [section], {})
    found = json.loads((tmp_path / "all.json").read_text())["measurements"]["encode"]
    assert [one["cpu_seconds"] for one in found["rounds"]["ours"]] == [1.0, 3.0, 2.0]
    assert found["rows"][1]["note"] == "ValueError: broke"
