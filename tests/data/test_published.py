"""The intermediate results published with TELEClass."""

from __future__ import annotations

import json

import pytest
from conftest import KEYWORDS

from teleclass.data.layout import find_layout
from teleclass.data.published import (
    CORPUS_TERMS,
    INITIAL_CORE_CLASSES,
    LLM_TERMS,
    REFINED_CORE_CLASSES,
    read_corpus_terms,
    read_initial_core_classes,
    read_llm_terms,
    read_refined_core_classes,
)
from teleclass.data.taxonomy import read_taxonomy
from teleclass.errors import InputError

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)
TERMS = [(read_llm_terms, LLM_TERMS), (read_corpus_terms, CORPUS_TERMS)]
CORE = [(read_initial_core_classes, INITIAL_CORE_CLASSES), (read_refined_core_classes, REFINED_CORE_CLASSES)]
both_terms = pytest.mark.parametrize(("read", "name"), TERMS, ids=["language model", "corpus"])
both_core = pytest.mark.parametrize(("read", "name"), CORE, ids=["initial", "refined"])


def write(data_dir, name: str, content: object) -> None:
    """``content`` as bytes, text, or as what JSON makes of it."""
    if not isinstance(content, (bytes, str)):
        content = json.dumps(content)
    (data_dir / name).write_bytes(content.encode() if isinstance(content, str) else content)


@both_terms
def test_terms_stand_by_class_and_an_underscore_is_a_blank(data_dir, taxonomy, read, name):
    write(data_dir, name, "bread_knives:bread_knife, serrated_edge_blade ,,saw\nfruit:Apple\nfood:\n")
    assert read(data_dir, taxonomy) == {BREAD_KNIVES: ["bread knife", "serrated edge blade", "saw"], FRUIT: ["Apple"]}


@pytest.mark.parametrize("read", [read for read, _ in TERMS + CORE], ids=lambda read: read.__name__)
def test_a_folder_without_the_file_gives_none(data_dir, taxonomy, read):
    assert read(data_dir, taxonomy) is None


def test_the_reference_layout_has_the_same_names(reference_dir):
    """There the language model's terms are the keywords too."""
    taxonomy = read_taxonomy(reference_dir, find_layout(reference_dir))
    assert read_llm_terms(reference_dir, taxonomy) == taxonomy.keywords
    assert set(taxonomy.keywords) == {taxonomy.names.index(name) for name in KEYWORDS}
    write(reference_dir, REFINED_CORE_CLASSES, {"a": ["11"]})
    assert read_refined_core_classes(reference_dir, taxonomy) == {"a": [FRUIT]}


@both_terms
@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        ("fruit:apple\nanimals:cat\n", 2, "class 'animals' is not in the class file"),
        ("fruit\n", 1, "expected name:keyword,keyword"),
        ("fruit:apple\n\nfruit:pear\n", 3, "class 'fruit' has line 1 already"),
        (b"fruit:\xff\n", 1, "not valid UTF-8"),
    ],
)
def test_broken_terms_are_told_with_file_and_line(data_dir, taxonomy, read, name, content, line, problem):
    write(data_dir, name, content)
    with pytest.raises(InputError, match=problem) as fault:
        read(data_dir, taxonomy)
    assert (fault.value.file, fault.value.line) == (str(data_dir / name), line)


def test_initial_core_classes_stand_beside_the_answer_and_the_ancestors(data_dir, taxonomy):
    entries = {
        "a": {"response": '"fruit"', "core classes": ["11"], "with ancestors": ["10", "11"]},
        "e": {"response": "knives, bread", "core classes": ["21", 12, "21"], "with ancestors": ["99"]},
        "b": {"response": "none of them", "core classes": [], "with ancestors": []},
    }
    write(data_dir, INITIAL_CORE_CLASSES, entries)
    core = read_initial_core_classes(data_dir, taxonomy, ["a", "b", "c", "e"])
    assert core == {"a": [FRUIT], "e": [KNIVES, BREAD], "b": []}


def test_refined_core_classes_are_a_list_each(data_dir, taxonomy):
    write(data_dir, REFINED_CORE_CLASSES, {"h": ["22"], "a": [30, "11"], "b": []})
    assert read_refined_core_classes(data_dir, taxonomy) == {"h": [LADDERS], "a": [BREAD_KNIVES, FRUIT], "b": []}


@both_core
def test_a_document_that_is_not_in_the_corpus_is_told(data_dir, taxonomy, read, name):
    write(data_dir, name, {"a": {"core classes": ["11"]}, "zz": {"core classes": ["11"]}})
    with pytest.raises(InputError, match="document 'zz' is not in the training corpus") as fault:
        read(data_dir, taxonomy, ["a", "b"])
    assert fault.value.file == str(data_dir / name)
    assert read(data_dir, taxonomy, iter(["zz", "a"])) == read(data_dir, taxonomy) == {"a": [FRUIT], "zz": [FRUIT]}


@both_core
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"a": ["99"]}, "document 'a' names class 99, which is not in the class file"),
        ({"a": {"core classes": ["99"]}}, "document 'a' names class 99"),
        ({"a": ["fruit"]}, "document 'a': class id 'fruit' is not a whole number"),
        ({"a": "11"}, "document 'a': expected a list of classes, not '11'"),
        ({"a": None}, "document 'a': expected a list of classes"),
        ({"a": {"core classes": "11"}}, "document 'a': expected a list of classes"),
        ({"a": {"response": "fruit"}}, "document 'a' has no 'core classes'"),
        ([["11"]], "expected one JSON object"),
        ("", "is not valid JSON"),
        ('{"a": ["11"]', "is not valid JSON"),  # cut short
        (b'{"a": ["\xff"]}', "is not valid UTF-8"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": [' + "9" * 5_000 + "]}", "is not valid JSON|too long"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_broken_core_classes_are_told_with_the_file(data_dir, taxonomy, read, name, content, problem):
    write(data_dir, name, content)
    with pytest.raises(InputError, match=problem) as fault:
        read(data_dir, taxonomy)
    assert fault.value.file == str(data_dir / name)


@both_core
def test_a_folder_in_the_file_s_place_is_told(data_dir, taxonomy, read, name):
    (data_dir / name).mkdir()
    with pytest.raises(InputError, match="cannot be read") as fault:
        read(data_dir, taxonomy)
    assert fault.value.file == str(data_dir / name)


def test_the_published_files_are_read(shared_data):
    folder = shared_data / "amazon_531_reference"
    if not folder.is_dir():
        pytest.skip("the published files are not here")
    taxonomy = read_taxonomy(folder, find_layout(folder))
    initial, refined = read_initial_core_classes(folder, taxonomy), read_refined_core_classes(folder, taxonomy)
    assert (len(initial), len(refined)) == (29_487, 22_115)
    published = json.loads((folder / "train" / "init_core_classes.json").read_text("utf-8"))
    for document, core in initial.items():
        assert [str(taxonomy.ids[node]) for node in core] == list(dict.fromkeys(published[document]["core classes"]))
        named = {str(taxonomy.ids[node]) for node in taxonomy.close(core)}
        assert named == set(published[document]["with ancestors"])
    terms = read_corpus_terms(folder, taxonomy)
    assert terms[taxonomy.names.index("toys_games")][:3] == ["puzzle", "melissa doug", "games"]
    assert set(terms) | set(read_llm_terms(folder, taxonomy)) == set(range(531))
