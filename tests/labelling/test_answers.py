"""Reading a language model's answers: as models write them, cut ones, and whatever else may come."""

from __future__ import annotations

import json
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleclass.data.layout import find_layout
from teleclass.data.published import read_initial_core_classes
from teleclass.data.taxonomy import read_taxonomy
from teleclass.labelling.answers import listed, names_in, offered_classes, plain, rows_of, strings_of, usable_text
from teleclass.labelling.core_classes import deepest
from teleclass.runtime.llm import Completion

NAMES = ["food", "dog food", "health, household & baby care", "pet_supplies", "C++", "Kids' Books", "rock 'n' roll"]
FOOD, DOG_FOOD, HEALTH, PETS, CPP, KIDS, ROCK = range(7)
OFFERED = {plain(name): node for node, name in enumerate(NAMES)}
NESTED = "[" * 100_000


def answer(text: str, reason: str = "stop") -> Completion:
    return Completion(text, 1, 1, reason)


# --- a name as models spell it


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ('{"classes": ["dog food"]}', [DOG_FOOD]),
        ('{"classes": ["food", "dog food"]}', [FOOD, DOG_FOOD]),
        ('{"classes": ["DOG FOOD", "Pet_Supplies"]}', [DOG_FOOD, PETS]),
        ('{"classes": ["\\"dog  food\\".", "“food”"]}', [DOG_FOOD, FOOD]),
        ('{"classes": ["dog food", "Dog_Food"]}', [DOG_FOOD]),
        ('{"classes": ["Health, Household & Baby Care"]}', [HEALTH]),
        ('{"classes": "dog food, health, household & baby care"}', [DOG_FOOD, HEALTH]),
        ('{"classes": ["kids books", "ROCK N ROLL", "c++"]}', [KIDS, ROCK, CPP]),
        ('{"classes": ["dog food (pet supplies > dog food)"]}', [DOG_FOOD, PETS]),
        ('["pet supplies", "food"]', [PETS, FOOD]),
        ('"dog food"', [DOG_FOOD]),
        ('{"reason": "not C++ at all", "classes": ["food"]}', [FOOD]),
        ('```json\n{"classes": ["food"]}\n```', [FOOD]),
        ('Here you are:\n```\n{"classes": ["food"]}\n```\nIt is not about dog food.', [FOOD]),
        ('```json {"classes": ["food"]} ```', [FOOD]),
        ('Sure! {"classes": ["food"]} as it is not about pet supplies.', [FOOD]),
        ('{"classes": ["food", "dog food",]}', [FOOD, DOG_FOOD]),
        ('{"classes": ["food" "dog food"}', [FOOD, DOG_FOOD]),
        ('"dog food", "pet supplies"', [DOG_FOOD, PETS]),
        ("- Dog food\n- **Pet supplies**\n", [DOG_FOOD, PETS]),
        ("1. dog_food\n2. c++", [DOG_FOOD, CPP]),
        ("This is about Health, Household & Baby Care, and a little about food.", [HEALTH, FOOD]),
        ("{'classes': ['dog food']}", [DOG_FOOD]),
    ],
)
def test_a_class_is_found_in_whichever_form_a_model_names_it(text, classes):
    assert offered_classes(text, OFFERED) == classes


@pytest.mark.parametrize(
    "text",
    ['{"classes": ["cats"]}', '{"classes": ["none"]}', '{"classes": [""]}', '{"classes": []}', "[]", "```\n[ ]\n```",
     '{"classes": ["seafood"]}', '{"classes": ["foods", "c"]}', '{"classes": [7, 1.5, null, true]}'],
)  # fmt: skip
def test_an_answer_that_chooses_none_of_the_offered_gives_an_empty_list(text):
    assert offered_classes(text, OFFERED) == []


@pytest.mark.parametrize(
    "text",
    ["", " \n", "{}", "null", "17", '{"terms": ["food"]}', '{"classes": {"food": 0.1, "dog food": 0.9}}',
     '{"classes": [["food"]]}', '{"classes": [{"name": "food"}]}', '{"classes": null}', "None of them fits.", "```",
     NESTED, '{"classes": ' + NESTED, "\0", "\ud800"],
    ids=lambda text: text[:40].encode("ascii", "replace"),
)  # fmt: skip
def test_what_cannot_be_read_is_none(text):
    assert offered_classes(text, OFFERED) is None


def test_the_longest_name_is_found_first_and_each_word_counts_once():
    assert names_in("dog food", OFFERED) == [DOG_FOOD]
    assert names_in("dog food is food", OFFERED) == [DOG_FOOD, FOOD]
    assert names_in("dog food and more dog food", OFFERED) == [DOG_FOOD]
    assert names_in("seafood, foods, hotdog food_", OFFERED) == [FOOD]


def test_classes_come_in_the_order_of_the_answer():
    assert offered_classes("food, then pet supplies, then dog food", OFFERED) == [FOOD, PETS, DOG_FOOD]


def test_a_name_of_signs_alone_is_never_found_in_an_empty_item():
    assert offered_classes('{"classes": ["", "-", "a"]}', {plain("*"): 0, "a": 1}) == [1]


# --- cut answers


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ('{"classes": ["pet supplies", "food', [PETS]),  # "food court", for all one knows
        ('{"classes": ["pet supplies", "food"', [PETS, FOOD]),
        ('{"classes": ["food \\"', None),
        ('{"classes": ["food', None),
        ('{"classes": [', None),
        ('{"classes": []}', []),
        ('{"cla', None),
        ('["pet supplies", "food', None),
        ("The classes are pet supplies and food", None),
        ('```json\n{"classes": ["pet supplies", "food', [PETS]),
        ('{"classes": ["pet supplies"], "reason": "It is no dog food", "so": "foo', [PETS]),
    ],
)
def test_of_a_cut_answer_only_closed_names_count(text, classes):
    assert offered_classes(text, OFFERED, is_cut=True) == classes


@given(st.integers(0, 60))
def test_however_an_answer_is_cut_no_shorter_class_is_found(length):
    """The classes dog and food are offered too: neither was named."""
    whole = '{"classes": ["dog food", "food court \\"dog\\" bar"]}'
    offered = {"dog": 0, "food": 1, "dog food": 2, "food court dog bar": 3}
    found = offered_classes(whole[:length], offered, is_cut=True)
    ends = [whole.index(end) + len(end) for end in ('food"', 'bar"')]
    assert found == [None, [2], [2, 3]][sum(end <= length for end in ends)]


# --- anything


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.sampled_from(NAMES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["classes", "a"]), inner, max_size=2),
    max_leaves=12,
)
PIECES = st.sampled_from([*NAMES, *'"\\{}[],:\n', '"classes"', "```", "json", "- ", "\\u"])
ANSWERS = st.text() | JSON.map(json.dumps) | st.lists(PIECES | st.text(max_size=3), max_size=30).map("".join)


@settings(max_examples=150, deadline=None)
@given(ANSWERS, st.booleans(), st.integers(0, 200))
def test_whatever_is_answered_only_offered_classes_come_back_each_once(text, is_cut, length):
    found = offered_classes(text[:length], OFFERED, is_cut)
    assert found is None or set(found) <= set(OFFERED.values())
    assert found is None or len(found) == len(set(found))
    assert not offered_classes(text, {}, is_cut)


@settings(max_examples=100, deadline=None)
@given(ANSWERS, st.booleans())
def test_whatever_is_answered_strings_that_can_be_written_come_back(text, is_cut):
    for piece in [*(strings_of(text, "classes", is_cut) or []), *listed(text), *rows_of(text)]:
        piece.encode("utf-8")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(range(7)), unique=True), st.sampled_from([None, 0, 2]), st.booleans())
def test_every_list_of_names_is_read_back(nodes, indent, is_fenced):
    text = json.dumps({"classes": [NAMES[node] for node in nodes]}, indent=indent)
    assert offered_classes(f"```json\n{text}\n```" if is_fenced else text, OFFERED) == nodes


def test_a_long_answer_takes_no_time():
    """A hundred thousand of what an expression could stumble over; each sign must be read a few times only."""
    begin = process_time()
    many = ['"' * 100_000, "\\" * 100_000, "```" * 30_000, " " * 100_000, '{"classes": [' + '"a", ' * 30_000]
    for text in [NESTED, *many]:
        offered_classes(text, OFFERED)
        offered_classes(text, OFFERED, is_cut=True)
    assert process_time() - begin < 5


# --- strings and prose


def test_strings_that_stand_in_broken_json_are_found_with_their_escapes():
    text = '{"documents": ["a [new] knife, \\"sharp\\"\nand good", "caf\\u00e9"], "more": "no"'
    assert strings_of(text, "documents") == ['a [new] knife, "sharp"\nand good', "café"]
    assert strings_of(text, "terms") is None
    assert strings_of(text, "terms", is_cut=True) == []


def test_half_an_emoji_becomes_a_sign_that_can_be_written():
    assert strings_of('{"terms": ["ripe \\ud83c"]}', "terms") == ["ripe ?"]
    assert strings_of('{"terms": ["ripe \\ud83c",', "terms") == ["ripe ?"]
    assert strings_of('{"terms": ["\\ud83c\\udf4f"]}', "terms") == ["🍏"]


@pytest.mark.parametrize(
    "text",
    ["apple, ripe pear", "- apple\n- ripe pear", "1. apple\n2) ripe pear\n", "• apple\n\n* ripe pear",
     "Here are the terms:\napple, ripe pear", "Key terms:\n  - apple\n  - ripe pear", "```\napple\nripe pear\n```"],
)  # fmt: skip
def test_a_list_in_prose_is_taken_apart(text):
    assert listed(text) == ["apple", "ripe pear"]


def test_rows_keep_their_commas():
    assert rows_of("Three texts:\n1. A knife, sharp and light.\n") == ["A knife, sharp and light."]
    assert rows_of("") == listed(" \n ") == listed("Terms:") == []


@pytest.mark.parametrize(
    ("name", "same"),
    [("Bread_Knives", "bread knives"), ('"bread knives"', "bread knives"), ("- Bread  Knives.", "bread knives"),
     ("**bread\nknives**:", "bread knives"), ("STRASSE", "Straße"), ("c++", "C++"), ("«Obst»", "obst")],
)  # fmt: skip
def test_spellings_of_a_name_compare_equal(name, same):
    assert plain(name) == plain(same)
    assert plain(plain(name)) == plain(name)


# --- answers that are none


@pytest.mark.parametrize(
    "text",
    ["I'm sorry, but I can't help with that.", "I’m sorry, but the text contains no review.", "I cannot fulfill that.",
     "Sorry, I cannot provide a review.", "I am unable to classify this dog food.", "As an AI, I eat no food.",
     "I can't assist with food."],
)  # fmt: skip
def test_a_refusal_in_prose_is_no_answer(text):
    assert usable_text(answer(text)) is None


def test_a_refusal_that_the_server_tells_is_no_answer_whatever_it_says():
    assert usable_text(answer('{"classes": ["food"]}', "refusal")) is None
    assert usable_text(None) is None


@pytest.mark.parametrize("text", ["I can't recommend this blender.", "Sorry to say it broke.", '{"classes": []}', ""])
def test_other_answers_are_usable(text):
    assert usable_text(answer(text)) == (text, False)


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_an_answer_that_ended_too_early_is_known_to_be_cut(reason):
    assert usable_text(answer("food", reason)) == ("food", True)


# --- what GPT-3.5 answered


def test_the_published_answers_are_understood(shared_data):
    """29,487 answers with what the authors made of them: any class whose name stands somewhere, even inside another.

    Shares of the documents: split at ", " .40 have the published classes; read here .89 have them up to ancestors, and
    .999 but for names inside the names found ("gum" in "gummy candy").
    """
    folder = shared_data / "amazon_531_reference"
    taxonomy = read_taxonomy(folder, find_layout(folder))
    published = read_initial_core_classes(folder, taxonomy)
    answers = json.loads((folder / "train" / "init_core_classes.json").read_text("utf-8"))
    names = [plain(name) for name in taxonomy.names]
    offered = {name: node for node, name in enumerate(names)}
    read = {text: offered_classes(text, offered) or [] for text in {one["response"] for one in answers.values()}}
    split = same = but_for_inner = 0
    for document, core in published.items():
        text = answers[document]["response"]
        found = read[text]
        split += {offered[name] for name in text.split(", ") if name in offered} == set(core)
        is_same = set(deepest(found, taxonomy)) == set(deepest(core, taxonomy))
        more = set(core) - taxonomy.close(found)
        same += is_same
        but_for_inner += is_same or (
            set(found) <= set(core) and all(any(names[one] in names[node] for node in found) for one in more)
        )
    n = len(published)
    assert n == 29_487
    assert split / n < 0.41
    assert same / n > 0.88
    assert but_for_inner / n > 0.998
