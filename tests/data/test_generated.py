"""Documents written for a class: the texts file and its labels."""

from __future__ import annotations

import json

import pytest

from teleclass.data.generated import GeneratedDocument, read_generated
from teleclass.data.layout import COURSE, find_layout
from teleclass.data.taxonomy import read_taxonomy
from teleclass.errors import InputError

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)


def generated_of(data_dir, taxonomy, texts: str | None, labels: object) -> list[GeneratedDocument]:
    """Write the two files (``labels`` as bytes, or as what JSON makes of it) and read them."""
    if texts is not None:
        (data_dir / COURSE.generated_documents).write_text(texts, "utf-8")
    if labels is not None:
        content = labels if isinstance(labels, bytes) else json.dumps(labels).encode()
        (data_dir / COURSE.generated_labels).write_bytes(content)
    return read_generated(data_dir, COURSE, taxonomy)


def test_a_folder_without_generated_documents_has_none(data_dir, taxonomy):
    assert read_generated(data_dir, COURSE, taxonomy) == []


def test_each_text_has_its_core_class_and_path_as_positions(data_dir, taxonomy):
    labels = {
        "x": {"core_classes": "30", "with ancestors": ["10", "12", "30"]},
        "y": {"core_classes": ["22"], "with ancestors": ["20"]},  # the core class is on the path, named or not
        "z": {"core_classes": 11},
        "unused": {"core_classes": "11"},
    }
    assert generated_of(data_dir, taxonomy, "y\ta wide rung\nx\tit saws\nz\tripe\n", labels) == [
        GeneratedDocument("y", "a wide rung", LADDERS, frozenset({TOOLS, LADDERS})),
        GeneratedDocument("x", "it saws", BREAD_KNIVES, frozenset({FOOD, BREAD, BREAD_KNIVES})),
        GeneratedDocument("z", "ripe", FRUIT, frozenset({FOOD, FRUIT})),
    ]


def test_an_empty_text_is_left_out(data_dir, taxonomy):
    labels = {"x": {"core_classes": "11"}, "y": {"core_classes": "11"}}
    assert [one.id for one in generated_of(data_dir, taxonomy, "x\t \ny\tripe\n", labels)] == ["y"]


def test_a_byte_order_mark_does_no_harm_in_either_file(data_dir, taxonomy):
    labels = b"\xef\xbb\xbf" + json.dumps({"x": {"core_classes": "11"}}).encode()
    assert generated_of(data_dir, taxonomy, "\ufeffx\tripe\n", labels) == [
        GeneratedDocument("x", "ripe", FRUIT, frozenset({FOOD, FRUIT}))
    ]


@pytest.mark.parametrize(
    ("texts", "labels", "missing"),
    [
        ("x\tripe\n", None, COURSE.generated_labels),
        (None, {"x": {"core_classes": "11"}}, COURSE.generated_documents),
    ],
    ids=["texts alone", "labels alone"],
)
def test_one_file_needs_the_other(data_dir, taxonomy, texts, labels, missing):
    with pytest.raises(InputError, match="does not exist") as fault:
        generated_of(data_dir, taxonomy, texts, labels)
    assert fault.value.file == str(data_dir / missing)


def test_a_text_without_a_label_is_told_with_its_line(data_dir, taxonomy):
    with pytest.raises(InputError, match=r"document 'y' has no entry in generated_doc2label\.json") as fault:
        generated_of(data_dir, taxonomy, "x\tripe\n\ny\tred\n", {"x": {"core_classes": "11"}})
    assert (fault.value.file, fault.value.line) == (str(data_dir / COURSE.generated_documents), 3)


def test_a_duplicate_generated_document_names_both_lines(data_dir, taxonomy):
    labels = {"x": {"core_classes": "11"}, "y": {"core_classes": "11"}}
    with pytest.raises(InputError, match="document id 'x' stands already in line 1") as fault:
        generated_of(data_dir, taxonomy, "x\tripe\ny\tred\nx\tsweet\n", labels)
    assert (fault.value.file, fault.value.line) == (str(data_dir / COURSE.generated_documents), 3)


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ({"x": {"core_classes": "99"}}, "document 'x' names class 99, which is not in the class file"),
        ({"x": {"core_classes": "11", "with ancestors": ["10", "99"]}}, "document 'x' names class 99"),
        ({"x": {"core_classes": "fruit"}}, "class id 'fruit' is not a whole number"),
        ({"x": {"core_classes": "1_1"}}, "class id '1_1' is not a whole number"),
        ({"x": {"core_classes": -11}}, "class id '-11' is not a whole number"),
        ({"x": {"core_classes": None}}, "is not a whole number"),
        ({"x": {"core_classes": ["11", "12"]}}, "document 'x' names 2 core classes, expected one"),
        ({"x": {"core_classes": []}}, "document 'x' names 0 core classes, expected one"),
        ({"x": {"with ancestors": ["10"]}}, "document 'x' has no 'core_classes'"),
        ({"x": "11"}, "document 'x' has no 'core_classes'"),
        ([{"core_classes": "11"}], "expected one JSON object"),
        (b"", "is not valid JSON"),
        (b'{"x": {"core_classes": "11"}', "is not valid JSON"),  # cut short
        (b'{"x": {"core_classes": "\xff"}}', "is not valid UTF-8"),
    ],
)
def test_broken_labels_are_told_with_the_file(data_dir, taxonomy, labels, problem):
    with pytest.raises(InputError) as fault:
        generated_of(data_dir, taxonomy, "x\tripe\n", labels)
    assert fault.value.file == str(data_dir / COURSE.generated_labels)
    assert problem in fault.value.problem


def test_invalid_json_names_the_line(data_dir, taxonomy):
    with pytest.raises(InputError) as fault:
        generated_of(data_dir, taxonomy, "x\tripe\n", b'{\n"x": {"core_classes": "11"},\n"y" {}\n}')
    assert fault.value.line == 3


@pytest.mark.parametrize(
    "labels",
    [
        {"x": {"core_classes": "11", "with ancestors": None}},
        {"x": {"core_classes": "11", "with ancestors": 10}},
        b"[" * 100_000,
        b'{"x": {"core_classes": ' + b"9" * 5_000 + b"}}",
    ],
    ids=["no path", "a number for a path", "deep nesting", "a huge number"],
)
def test_labels_of_another_shape_are_told_with_the_file(data_dir, taxonomy, labels):
    with pytest.raises(InputError) as fault:
        generated_of(data_dir, taxonomy, "x\tripe\n", labels)
    assert fault.value.file == str(data_dir / COURSE.generated_labels)


def test_a_path_given_as_one_string_is_not_read_digit_by_digit(data_dir):
    """Ancestors "12" are class 12 or an error, never the classes 1 and 2."""
    (data_dir / "classes.txt").write_text("1\tfood\n2\tfruit\n12\tbread\n")
    (data_dir / "class_hierarchy.txt").write_text("1\t2\n1\t12\n")
    (data_dir / "class_related_keywords.txt").unlink()
    taxonomy = read_taxonomy(data_dir, COURSE)
    labels = {"x": {"core_classes": "12", "with ancestors": "12"}}
    try:
        path = generated_of(data_dir, taxonomy, "x\tripe\n", labels)[0].path
    except InputError:
        path = {taxonomy.position[12]}
    assert path == {taxonomy.position[12]}


def test_labels_that_are_a_folder_are_told_with_the_file(data_dir, taxonomy):
    (data_dir / COURSE.generated_labels).mkdir()
    with pytest.raises(InputError) as fault:
        generated_of(data_dir, taxonomy, "x\tripe\n", None)
    assert fault.value.file == str(data_dir / COURSE.generated_labels)


def test_the_published_files_are_read(shared_data):
    folder = shared_data / "amazon_531_reference"
    if not folder.is_dir():
        pytest.skip("the published files are not here")
    layout = find_layout(folder)
    taxonomy = read_taxonomy(folder, layout)
    documents = read_generated(folder, layout, taxonomy)
    assert len(documents) >= 2_000
    published = json.loads((folder / "train" / "generated_doc2label.json").read_text("utf-8"))
    for one in documents:
        assert taxonomy.ids[one.core_class] == int(published[one.id]["core_classes"])
        assert {taxonomy.ids[node] for node in one.path} == {int(c) for c in published[one.id]["with ancestors"]}
        assert taxonomy.is_closed(set(one.path))
    lines = (folder / "train" / "generated_docs.txt").read_bytes().split(b"\n")
    texts = dict(line.decode().split("\t", 1) for line in lines if line)
    assert {one.id: one.text for one in documents} == {number: text.strip() for number, text in texts.items()}
