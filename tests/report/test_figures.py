"""Figures as text: alternatives, ids, size, and data of every shape."""

import re

import numpy as np
import pytest

from teleclass.report import figures

CURVE = {
    "step": np.arange(1, 4001, dtype=float),
    "loss": np.linspace(5, 1, 4000),
    "learning_rate": np.linspace(5e-5, 0, 4000),
    "loss_scale": np.full(4000, 65536.0),
    "skipped_steps": np.zeros(4000),
}
ONE = np.array([0.4])


def drawn(figure, key="key", alt="three bars", title="Levels") -> str:
    return figures.finish(key, title, figure, "says", alt).svg


def test_a_figure_says_in_words_what_it_shows():
    svg = drawn(figures.grouped_bars(["1"], {"F1": [0.5]}, "F1"), alt='F1 is "0.5" & <no more>')
    assert svg.startswith('<svg role="img" aria-label="F1 is &quot;0.5&quot; &amp; &lt;no more&gt;" ')
    assert "<title>Levels</title>" in svg


def test_two_figures_in_one_page_share_no_id():
    first, second = (drawn(figures.rising(np.linspace(0, 1, 9), np.ones(9), "F1"), key) for key in ("a", "b"))
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for svg, own in zip((first, second), ids, strict=True):
        used = set(re.findall(r"url\(#([^)]+)\)", svg)) | set(re.findall(r'href="#([^"]+)"', svg))
        assert used
        assert used <= own


def test_the_same_figure_is_the_same_text():
    first, second = (drawn(figures.sideways_bars(["a"], [1], "x", ["1"])) for _ in range(2))
    assert first == second


def test_a_figure_brings_no_style_sheet_into_the_page():
    assert "<style" not in drawn(figures.histogram(ONE, "confidence"))


def test_words_stay_words():
    assert ">taxonomy level</text>" in drawn(figures.grouped_bars(["1"], {"F1": [0.5]}, "F1", "taxonomy level"))


def test_series_are_told_apart_without_colour():
    """Beside the plain first one, each series has a hatch of its own."""
    names = ["a", "b", "c", "d"]
    svg = drawn(figures.stacked_bars(["1"], {name: [1] for name in names}, "x", "y"))
    assert len(set(re.findall(r'<pattern id="([^"]+)"', svg))) == len(names) - 1
    points = drawn(figures.documents_by_level(np.array([1, 2]), np.array([3, 4]), np.array([5, 6])))
    assert len(set(re.findall(r'href="#([^"]+)" x=', points))) >= 2


def test_a_figure_of_many_classes_or_steps_is_as_large_as_one_of_few():
    many = np.random.default_rng(0).integers(0, 500, 60_000)
    levels = np.arange(60_000) % 3 + 1
    assert len(drawn(figures.documents_by_level(levels, many, many + 1))) < 300_000
    assert len(drawn(figures.learning_curve(CURVE))) < 100_000


def test_thinned_values_keep_their_ends():
    values = figures.thinned(np.arange(10_000))
    assert len(values) == figures.MOST_POINTS
    assert (values[0], values[-1]) == (0, 9_999)
    assert figures.thinned(ONE).tolist() == [0.4]


@pytest.mark.parametrize(
    "figure",
    [
        lambda: figures.rising(ONE, ONE, "F1"),
        lambda: figures.histogram(ONE, "x"),
        lambda: figures.histogram(np.array([1]), "words", logarithmic=True),
        lambda: figures.histogram(np.array([], dtype=int), "words", logarithmic=True),
        lambda: figures.histogram(np.array([1, 20_000]), "words", logarithmic=True),
        lambda: figures.documents_by_level(np.array([1]), np.array([0]), np.array([0])),
        lambda: figures.documents_by_level(np.array([1, 1]), np.array([0, 10**6]), np.array([0, 10**6])),
        lambda: figures.learning_curve({name: column[:1] for name, column in CURVE.items()}),
        lambda: figures.reliability({"probability": ONE, "accuracy": ONE, "labels": ONE}),
        lambda: figures.sideways_bars(["a", "b"], [0, 0], "documents", ["0 %", "0 %"]),
    ],
)
def test_figures_of_little_or_extreme_data_are_drawn_too(figure):
    svg = drawn(figure())
    assert svg.rstrip().endswith("</svg>")
