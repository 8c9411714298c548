import re

import numpy as np

from teleclass.report import figures
from teleclass.report.page import Figure, Report, render


def a_report(**changes) -> Report:
    content = {
        "title": "teleclass: <data>",
        "facts": [("taxonomy", "7 classes")],
        "decisions": [("label choice", "both")],
        "phases": [("encode", 12.34)],
        "metrics": [("test/mrr", 0.5)],
        "figures": [Figure("Levels", figures.bars_by_level([1, 2], [0.9, 0.5], "micro-F1"), "Bars <of> levels")],
        "classes": [{"class": 1, "name": "<script>alert(1)</script>", "f1": 0.25}],
    }
    return Report(**{**content, **changes})


def test_names_from_the_data_are_never_markup():
    page = render(a_report())
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<title>teleclass: &lt;data&gt;</title>" in page


def test_the_page_needs_nothing_from_elsewhere():
    page = render(a_report())
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert [address for address in loaded if not address.startswith("data:")] == []
    assert "@import" not in page.replace("@media", "")


def test_values_stand_in_the_page_as_they_are_read():
    page = render(a_report())
    assert "12.3 s" in page
    assert "0.5000" in page
    assert "0.250" in page


def test_every_figure_says_what_it_shows():
    page = render(a_report())
    assert 'aria-label="Bars &lt;of&gt; levels"' in page
    assert page.count("<svg") == 1


def test_figures_of_few_documents_are_drawn_too():
    one = np.array([0.4])
    for drawn in (
        figures.confidence_against_f1(one, one),
        figures.histogram(one, "x"),
        figures.documents_by_level(np.array([1]), np.array([0]), np.array([0])),
    ):
        assert drawn.startswith("<svg")
        assert drawn.rstrip().endswith("</svg>")
