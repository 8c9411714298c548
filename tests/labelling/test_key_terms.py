"""Key terms: what is asked, and what of the answers is used."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.key_terms import MAX_WORDS, SCHEMA, ClassTerms, key_term_requests, key_terms_of
from teleclass.labelling.prompting import read_prompt
from teleclass.runtime.llm import Completion

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)
SEVEN = Taxonomy(
    [10, 11, 12, 20, 21, 22, 30],
    ["food", "fruit", "bread", "tools", "knives", "ladders", "bread_knives"],
    [(0, 1), (0, 2), (3, 4), (3, 5), (2, 6), (4, 6)],
)


def terms(*names: str, reason: str = "stop") -> Completion:
    return Completion(json.dumps({"terms": names}), 1, 1, reason)


def prose(text: str, reason: str = "stop") -> Completion:
    return Completion(text, 1, 1, reason)


# --- questions


def test_a_question_tells_the_class_its_place_and_its_siblings(taxonomy):
    bread_knives, bread = key_term_requests(taxonomy, [BREAD_KNIVES, BREAD], read_prompt("enrich"), 7, "shop review")
    assert "Class: bread knives\nIts place in the taxonomy: food > bread > bread knives\n" in bread_knives.user
    assert "Its sibling classes: none" in bread_knives.user
    assert "Its sibling classes: fruit\n" in bread.user
    assert "Give 7 key terms" in bread.user
    assert "shop review" in bread.system
    assert (bread.task, bread.schema) == ("enrich", SCHEMA)


def test_names_with_signs_of_the_template_survive():
    odd = Taxonomy([1, 2, 3], ["$path {path}", "a$$b", "${x}"], [(0, 1), (0, 2)])
    (request,) = key_term_requests(odd, [1], read_prompt("enrich"), 3, "text")
    assert "Class: a$$b\nIts place in the taxonomy: $path {path} > a$$b\nIts sibling classes: ${x}\n" in request.user


def test_of_hundreds_of_siblings_fifty_are_named():
    wide = Taxonomy(range(301), [f"c{number}" for number in range(301)], [(0, child) for child in range(1, 301)])
    (request,) = key_term_requests(wide, [1], read_prompt("enrich"), 3, "text")
    assert "c51\n" in request.user
    assert "c52" not in request.user


# --- answers


def test_terms_are_kept_in_order_each_once_and_no_more_than_asked_for(taxonomy):
    completion = terms("Ripe", "ripe", " sweet_taste ", '"orchard"', "juice", "peel")
    assert key_terms_of(taxonomy, [FRUIT], [completion], 4) == {FRUIT: ["ripe", "sweet taste", "orchard", "juice"]}


def test_sentences_and_empty_terms_are_dropped(taxonomy):
    longest = " ".join("abcdefgh"[:MAX_WORDS])
    completion = terms("a sentence of more than five words", longest, "", " - ", "ripe")
    assert key_terms_of(taxonomy, [FRUIT], [completion], 9) == {FRUIT: [longest, "ripe"]}


def test_names_of_siblings_are_dropped_and_those_of_others_are_not(taxonomy):
    completion = terms("Bread", "fruit", "food", "knives", "bread knives")
    assert key_terms_of(taxonomy, [FRUIT], [completion], 9) == {FRUIT: ["fruit", "food", "knives", "bread knives"]}


def test_what_siblings_were_both_given_is_dropped_from_both_and_leaves_room_for_others(taxonomy):
    """Fresh is said of fruit and of bread; ladders are no siblings of theirs."""
    found = key_terms_of(
        taxonomy,
        [FRUIT, BREAD, LADDERS],
        [terms("fresh", "ripe", "sweet"), terms("crust", "Fresh"), terms("fresh")],
        2,
    )
    assert found == {FRUIT: ["ripe", "sweet"], BREAD: ["crust"], LADDERS: ["fresh"]}


def test_a_class_without_a_usable_term_is_absent(taxonomy):
    answers = [None, terms("knives"), terms(), terms("shared"), terms("shared")]
    assert key_terms_of(taxonomy, [BREAD_KNIVES, LADDERS, TOOLS, FRUIT, BREAD], answers, 5) == {}


@pytest.mark.parametrize(
    "completion",
    [
        prose("1. ripe\n2. sweet taste"),
        prose("ripe, Sweet_taste"),
        prose("Here are the terms:\n- ripe\n- sweet taste"),
        prose('```json\n{"terms": ["ripe", "sweet taste"]}\n```'),
        prose('{"terms": ["ripe", "sweet taste", "fresh fr', "length"),
    ],
)
def test_terms_are_found_in_prose_fences_and_cut_answers(taxonomy, completion):
    assert key_terms_of(taxonomy, [FRUIT], [completion], 9) == {FRUIT: ["ripe", "sweet taste"]}


@pytest.mark.parametrize(
    "completion",
    [
        prose("I'm sorry, but I can't help."),
        prose("no", "refusal"),
        prose("ripe, sweet, fre", "length"),
        prose(""),
        prose("{}"),
        prose('{"terms": {"a": 1}}'),
    ],
)
def test_no_terms_are_made_of_refusals_and_of_what_cannot_be_read(taxonomy, completion):
    assert key_terms_of(taxonomy, [FRUIT], [completion], 9) == {}


@settings(max_examples=60, deadline=None)
@given(st.text() | st.lists(st.text(max_size=8)).map(lambda names: json.dumps({"terms": names})), st.booleans())
def test_whatever_is_answered_the_terms_are_few_short_and_can_be_written(text, is_cut):
    found = key_terms_of(SEVEN, [FRUIT], [prose(text, "length" if is_cut else "stop")], 3).get(FRUIT, ["a"])
    assert 1 <= len(found) <= 3
    assert len(set(found)) == len(found)
    assert all(1 <= len(term.split()) <= MAX_WORDS for term in found)
    ClassTerms(written={FRUIT: found}).to_json(SEVEN).encode("utf-8")


# --- terms and their sources


def test_the_surest_source_comes_first_and_a_term_counts_once():
    found = ClassTerms({0: ["a", "b"]}, {0: ["c", "a"], 1: ["x"]}, {0: ["d", "c", "b"]})
    assert found.of(0) == ["a", "b", "c", "d"]
    assert found.of(1) == ["x"]
    assert found.of(2) == []


def test_terms_are_read_back_by_class_id(taxonomy, tmp_path):
    """The file holds class ids, 11 for fruit, so that another order of the classes changes nothing."""
    written = ClassTerms({FRUIT: ["apple"]}, {LADDERS: ["Sprosse", "äußere"]}, {BREAD_KNIVES: ["saw"], FRUIT: []})
    file = tmp_path / "class_terms.json"
    file.write_text(written.to_json(taxonomy), "utf-8")
    assert json.loads(file.read_text("utf-8"))["given"] == {"11": ["apple"]}
    assert "äußere" in file.read_text("utf-8")
    again = ClassTerms.read(file, taxonomy)
    assert (again.given, again.written, again.mined) == (written.given, written.written, written.mined)
