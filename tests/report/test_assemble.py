"""The whole report from a run's values: what it holds with and without gold, and that its work grows with documents."""

from __future__ import annotations

import cProfile
import pstats
import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import write_course_layout
from reports import CURVE, GOLD, PREDICTED, against_gold, run_values

from teleclass.labelling import errors_in_taxonomy
from teleclass.report import about_gold
from teleclass.report.about_trust import surest_section
from teleclass.report.assemble import assemble
from teleclass.report.page import Table, render


def tables(report) -> dict[str, Table]:
    return {block.key: block for section in report.sections for block in section.blocks if isinstance(block, Table)}


def sections(report) -> list[str]:
    return [section.key for section in report.sections]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return assemble(run_values(write_course_layout(tmp_path_factory.mktemp("data"))))


def test_with_gold_the_report_shows_quality_errors_and_confidence(report):
    assert sections(report) == [
        "decisions", "data", "cost", "training", "labels", "quality", "errors", "confidence", "examples", "trust",
        "metrics",
    ]  # fmt: skip


def test_without_gold_it_shows_trust_and_the_surest_documents_instead(data_dir):
    report = assemble(run_values(data_dir, with_gold=False))
    assert sections(report) == ["decisions", "data", "cost", "training", "labels", "trust", "examples", "metrics"]
    page = render(report)
    assert "same path for 50.0% of the documents" in page
    assert "100.0% of the training documents have pseudo labels" in page
    assert page.index("Ten most confident") < page.index("Ten least confident")
    assert "<span>gold</span>" not in page


def test_errors_are_counted_by_kind_and_pair(report):
    found = tables(report)
    assert {row[0].split(":")[0]: row[1] for row in found["kinds"].rows} == {
        "right": 1, "too short": 1, "too long": 0, "parent right, child wrong (a sibling)": 2,
        "root right, another branch": 0, "other root": 0,
    }  # fmt: skip
    assert sum(row[2] for row in found["kinds"].rows) == pytest.approx(100)
    pairs = {row[:4] for row in found["confused_pairs"].rows}
    assert pairs == {("ladders", "knives", "tools", 1), ("bread", "fruit", "food", 1)}


def test_every_kind_of_error_has_its_words():
    assert tuple(about_gold.DOCUMENT_KINDS) == errors_in_taxonomy.DOCUMENT_KINDS
    assert tuple(about_gold.CLASS_KINDS) == errors_in_taxonomy.CLASS_KINDS


def test_classes_come_worst_first_and_those_without_documents_not_at_all(report):
    rows = tables(report)["by_class"].rows
    assert {row[0] for row in rows} == {"food", "tools", "fruit", "bread", "knives", "ladders", "bread knives"}
    assert {row[0] for row in rows[:3]} == {"knives", "ladders", "bread knives"}
    assert [row[2] for row in rows] == sorted(row[2] for row in rows)


def test_classes_without_gold_and_predicted_documents_are_left_out(data_dir):
    values = run_values(data_dir)
    few = against_gold(values.data, PREDICTED[:1], GOLD[:1])
    assert [row[0] for row in tables(assemble(replace(values, gold=few)))["by_class"].rows] == ["food", "fruit"]


def test_reused_phases_keep_their_time_and_memory(report):
    rows = {row[0]: row for row in tables(report)["phases"].rows}
    assert rows["train"] == ("train", 75.0, 2048.0, 512.0, "this")
    assert rows["label"] == ("label", 2.5, 300.0, 0.0, "earlier")
    assert "Reused, with the figures of the run that made them: label." in render(report)


def test_label_counts_stand_by_level_before_and_after_augmentation(report):
    """Level 2 has fruit, bread, knives, ladders: 3, 2, 1, 3 and then 3, 3, 2, 3."""
    rows = tables(report)["labels_by_level"].rows
    assert rows[1] == (2, 4, 0, 0, 2.5, 3.0)
    assert rows[2] == (3, 1, 1, 0, 0.0, 1.0)


def test_the_data_section_says_what_is_there_and_what_was_cut(data_dir):
    values = run_values(data_dir)
    values = replace(values, metrics=values.metrics | {"train/documents_at_token_limit": 2.0, "train/rows": 9.0},
                     data=replace(values.data, is_limited=True))  # fmt: skip
    page = render(assemble(values))
    assert "1: bread knives (under bread, knives)" in page
    assert "8 training, 4 test" in page
    assert "only the first documents of each file were taken (max_documents); 2 of 9 training rows reach" in page


def test_the_learning_curve_is_told_in_words_too(report):
    (curve,) = (figure for figure in report.figures if figure.key == "learning_curve")
    assert "loss from 5 to 2" in curve.svg
    assert "loss scale from 65,536 to 32,768, 1 skipped steps" in curve.svg


def test_a_training_without_a_point_has_no_curve(data_dir):
    nothing = {name: np.zeros(0) for name in CURVE}
    report = assemble(run_values(data_dir, learning_curve=nothing))
    assert "learning_curve" not in [figure.key for figure in report.figures]


def test_every_figure_has_a_file_name_and_words_of_its_own(report):
    keys = [figure.key for figure in report.figures]
    assert len(keys) == len(set(keys)) == 12
    alternatives = [re.match(r'<svg role="img" aria-label="([^"]{20,})"', figure.svg) for figure in report.figures]
    assert None not in alternatives


def test_no_anchor_stands_twice_in_the_page(report):
    anchors = re.findall(r'\bid="([^"]+)"', render(report))
    assert len(anchors) == len(set(anchors))


def test_the_same_run_has_the_same_report(report, tmp_path):
    again = assemble(run_values(write_course_layout(tmp_path / report.title.removeprefix("teleclass: "))))
    assert render(again) == render(report)


def many(data_dir, n_documents: int):
    """The four documents over and over."""
    values = run_values(data_dir)
    times = n_documents // len(GOLD)
    corpus = replace(
        values.data.corpus,
        ids=values.data.corpus.ids[:8] + [str(number) for number in range(n_documents)],
        texts=values.data.corpus.texts[:8] + list(values.data.corpus.texts[8:]) * times,
    )
    data = replace(values.data, corpus=corpus)
    return replace(
        values,
        data=data,
        predicted=PREDICTED * times,
        margin=np.tile(values.margin, times),
        agrees=np.tile(values.agrees, times),
        gold=against_gold(data, PREDICTED * times, GOLD * times),
    )


@pytest.mark.slow
def test_work_grows_with_the_documents_and_the_page_does_not(data_dir):
    """Counted in calls of our own functions, which no busy machine changes: a quadratic part would make thousands."""
    calls, sizes = [], []
    for n_documents in (1_000, 3_000):
        values = many(data_dir, n_documents)
        profile = cProfile.Profile(builtins=False)
        sizes.append(len(profile.runcall(lambda values=values: render(assemble(values)))))
        profile.runcall(surest_section, values)
        profile.runcall(errors_in_taxonomy.taxonomy_errors, values.predicted, values.gold.labels, values.data.taxonomy)
        found = pstats.Stats(profile).stats  # type: ignore[attr-defined]
        calls.append(sum(row[1] for (file, _, _), row in found.items() if "/teleclass/" in file))
    assert 1 < (calls[1] - calls[0]) / 2_000 < 40
    assert sizes[1] < 1.1 * sizes[0]
