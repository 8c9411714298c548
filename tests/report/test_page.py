"""The page itself: what is escaped, what it loads, how its blocks are written."""

import re

from teleclass.report.page import (
    Example,
    Examples,
    Facts,
    Figure,
    Report,
    Section,
    Sentence,
    Sentences,
    Step,
    Table,
    render,
)

HOSTILE = "<script>alert(1)</script>"
COLUMNS = [("class", None), ("documents", 0), ("F1", 3)]


def page_of(*blocks, title="teleclass: data") -> str:
    return render(Report(title, "seven classes", [("Example-F1", "0.803")], [Section("s", "Section", "", [*blocks])]))


def test_nothing_from_the_data_is_markup():
    example = Example(HOSTILE, HOSTILE, HOSTILE, [[Step(HOSTILE, True)]], [[Step(HOSTILE, False)]])
    page = page_of(
        Facts([(HOSTILE, HOSTILE)]),
        Sentences([Sentence(HOSTILE, HOSTILE)]),
        Table("t", HOSTILE, [(HOSTILE, None)], [[HOSTILE]], HOSTILE),
        Examples(HOSTILE, [example]),
        title=HOSTILE,
    )
    assert HOSTILE not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 12


def test_the_page_needs_nothing_from_elsewhere():
    page = page_of(Table("t", "Classes", COLUMNS, [["fruit", 3, 0.25]]))
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert [address for address in loaded if not address.startswith("data:")] == []
    assert "@import" not in page
    assert "url(" not in page


def test_numbers_have_the_digits_of_their_column():
    page = page_of(Table("t", "Classes", COLUMNS, [["fruit", 12345, 0.25]]))
    assert '<td>fruit</td><td class="n">12,345</td><td class="n">0.250</td>' in page
    assert '<th scope="col">class</th><th scope="col" class="n">documents</th>' in page


def test_a_table_is_a_region_that_the_keyboard_reaches_and_scrolls():
    page = page_of(Table("t", "Classes", COLUMNS, [["fruit", 1, 0.5]] * 26))
    assert re.search(r'<div class="table long" id="t" role="region" aria-label="Classes" tabindex="0">', page)


def test_a_fallback_is_told_apart_from_other_decisions():
    page = page_of(Sentences([Sentence("precision", "bf16", True), Sentence("terms", "names")]))
    assert page.count('<li class="fallback">') == 1
    assert '<li class="fallback"><strong>precision</strong> bf16</li>' in page


def test_wrong_and_missed_classes_are_marked_by_more_than_colour():
    example = Example("7", "a text", "sibling", [[Step("food", True), Step("fruit", False)]], [[Step("bread", False)]])
    page = page_of(Examples("Wrong", [example]))
    assert '<b class="right">food</b> › ✗ <s>fruit</s>' in page
    assert "+ <u>bread</u>" in page


def test_without_gold_a_class_is_neither_right_nor_wrong():
    page = page_of(Examples("Surest", [Example("7", "a text", "", [[Step("food"), Step("fruit")]])]))
    assert "<li>food › fruit</li>" in page
    assert "<span>gold</span>" not in page


def test_a_figure_stands_in_the_page_as_it_was_drawn():
    page = page_of(Figure("levels", "Levels", '<svg role="img"></svg>', "Bars <of> levels"))
    assert '<svg role="img"></svg>' in page
    assert "<figcaption>Bars &lt;of&gt; levels</figcaption>" in page


def test_sections_are_linked_at_the_top():
    assert '<a href="#s">Section</a>' in page_of()
