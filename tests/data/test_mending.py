"""What --repair mends in each file, that it is counted once, and what it leaves alone."""

from __future__ import annotations

import json

import pytest
from conftest import CLASSES, TRAIN

from teleclass.data.dataset import read_dataset
from teleclass.data.generated import read_generated
from teleclass.data.gold import read_gold
from teleclass.data.mending import STRICT, Mender
from teleclass.data.published import read_llm_terms, read_refined_core_classes
from teleclass.errors import InputError


def add(file, content: bytes) -> int:
    """Add a line; returns its number."""
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.read_bytes() if file.exists() else b""
    file.write_bytes(before + content + b"\n")
    return before.count(b"\n") + 1


def both_ways(read, *arguments):
    """The error of a strict reading, and what a mending one reads and mends."""
    with pytest.raises(InputError) as caught:
        read(*arguments, mender=STRICT)
    mender = Mender(is_on=True)
    return caught.value, read(*arguments, mender=mender), mender


def read(folder, mender):
    return read_dataset(folder, mender=mender)


@pytest.mark.parametrize(
    ("file", "line", "problem", "action"),
    [
        ("train/train_corpus.txt", b"i\tna\xefve", "byte 5 is not valid UTF-8", "line with characters replaced"),
        ("train/train_corpus.txt", b"i\ta\0b", "holds a NUL", "line with NUL characters removed"),
        ("train/train_corpus.txt", b"no tab", "expected id<TAB>text", "line left out"),
        ("train/train_corpus.txt", b"\tno id", "no id before the tab", "line left out"),
        ("train/train_corpus.txt", b"a\tagain", "stands already in line 1", "line left out"),
        ("test/test_corpus.txt", b"0\tagain", "stands already in line 1", "line left out"),
        ("classes.txt", "١٢\tdates".encode(), "is not a whole number", "line left out"),
        ("classes.txt", b"1_000\tdates", "is not a whole number", "line left out"),
        ("classes.txt", b"+3\tdates", "is not a whole number", "line left out"),
        ("classes.txt", b"0010\tdates", "stands already in line 1, written here as '0010'", "line left out"),
        ("classes.txt", b"40\tBread Knives", "stands already in line 7", "line left out"),
        ("classes.txt", b"40\t", "has no name", "line left out"),
        ("classes.txt", b"40", "expected id<TAB>name", "line left out"),
        ("class_hierarchy.txt", b"10\t99", "class 99 is not in the class file", "line left out"),
        ("class_hierarchy.txt", b"10\t10", "is its own parent", "line left out"),
        ("class_hierarchy.txt", b"10 11", "expected parent<TAB>child", "line left out"),
        ("class_related_keywords.txt", b"cheese:brie", "is not in the class file", "line left out"),
        ("class_related_keywords.txt", b"fruit:plum", "has line 1 already", "line left out"),
        ("class_descriptions.txt", b"cheese\tfrom milk", "is not in the class file", "line left out"),
    ],
)  # fmt: skip
def test_a_fault_stops_the_reading_or_is_mended_and_counted(data_dir, file, line, problem, action):
    before = read_dataset(data_dir)
    number = add(data_dir / file, line)
    error, data, mender = both_ways(read, data_dir)
    assert problem in str(error)
    assert (error.file, error.line, error.repair) == (str(data_dir / file), number, action)
    [repair] = mender.repairs
    assert (repair.file, repair.line, repair.action) == (str(data_dir / file), number, action)
    assert mender.summary(data_dir) == [f"{file}: 1 {action} (first line {number}: {error.problem})"]
    assert data.taxonomy.names == before.taxonomy.names
    assert set(data.taxonomy.graph.edges) == set(before.taxonomy.graph.edges)
    assert data.taxonomy.keywords == before.taxonomy.keywords
    kept = len(before.corpus) + (action != "line left out")
    assert len(data.corpus) == kept
    if "characters replaced" in action:
        assert "na\ufffdve" in data.corpus.texts
    if "NUL" in action:
        assert "ab" in data.corpus.texts


def test_zeros_before_a_number_are_another_spelling_of_it(data_dir):
    """00 and 0 are one class, in every file."""
    (data_dir / "classes.txt").write_text("00\tfood\n007\tfruit\n")
    (data_dir / "class_hierarchy.txt").write_text("0\t7\n")
    for name in ("class_related_keywords.txt", "train/train_labels.txt", "test/test_labels.txt"):
        (data_dir / name).unlink()
    taxonomy = read_dataset(data_dir).taxonomy
    assert taxonomy.ids == [0, 7]
    assert taxonomy.children(0) == [1]


def test_many_faults_are_all_mended_in_one_reading(data_dir):
    for number in range(300):
        add(data_dir / "train" / "train_corpus.txt", b"no tab" if number % 2 else b"a\tagain")
    mender = Mender(is_on=True)
    data = read_dataset(data_dir, mender=mender)
    assert data.corpus.n_train == len(TRAIN)
    assert len(mender.repairs) == 300
    assert mender.summary(data_dir)[0].startswith("train/train_corpus.txt: 300 lines left out (first line 9: ")
    read_dataset(data_dir, mender=mender)
    assert len(mender.repairs) == 300, "a file that is read twice is counted once"


def test_a_class_that_is_left_out_takes_its_edges_and_keywords_with_it(data_dir):
    content = (data_dir / "classes.txt").read_text().replace("12\tbread\n", "x12\tbread\n")
    (data_dir / "classes.txt").write_text(content)
    mender = Mender(is_on=True)
    taxonomy = read_dataset(data_dir, mender=mender).taxonomy
    assert taxonomy.n_classes == len(CLASSES) - 1
    files = [repair.file.rpartition("/")[2] for repair in mender.repairs]
    assert files == ["classes.txt", "class_hierarchy.txt", "class_hierarchy.txt", "class_related_keywords.txt"]


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("class_hierarchy.txt", b"10\t11\n11\t10\n", "has a cycle"),
        ("train/train_corpus.txt", b"no tab\n", "holds no document"),
        ("classes.txt", b"x\tfood\n", "holds no class"),
    ],
)
def test_what_cannot_be_mended_stops_the_reading_all_the_same(data_dir, file, content, problem):
    (data_dir / file).write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        read_dataset(data_dir, mender=Mender(is_on=True))
    assert caught.value.repair == ""


@pytest.mark.parametrize("line", [b"zz", b"a\t10", b"z\t99", b"z\t+1"])
def test_gold_lines_are_mended_alike(data_dir, taxonomy, line):
    file = data_dir / "train" / "train_labels.txt"
    before = read_gold(file, taxonomy)
    number = add(file, line)
    error, gold, mender = both_ways(read_gold, file, taxonomy)
    assert error.line == number
    assert gold == before
    assert [one.line for one in mender.repairs] == [number]


def test_entries_of_published_files_are_left_out(data_dir, taxonomy):
    entries = {"a": ["11"], "nobody": ["11"], "b": ["99"], "c": 11, "d": ["12"]}
    (data_dir / "train" / "refined_core_classes.json").write_text(json.dumps(entries))
    error, core, mender = both_ways(read_refined_core_classes, data_dir, taxonomy, list(TRAIN))
    assert "'nobody' is not in the training corpus" in str(error)
    assert core == {"a": [1], "d": [2]}
    [line] = mender.summary(data_dir)
    assert line.startswith("train/refined_core_classes.json: 3 entries left out (first document 'nobody'")


def test_terms_and_generated_documents_are_left_out(data_dir, taxonomy):
    number = add(data_dir / "train" / "llm_enrichment.txt", b"cheese:brie")
    error, terms, _ = both_ways(read_llm_terms, data_dir, taxonomy)
    assert (error.line, terms) == (number, {})
    add(data_dir / "train" / "generated_docs.txt", b"0\tripe\n1\tloaf\n1\tagain\n2\tno entry")
    labels = {"0": {"core_classes": 11}, "1": {"core_classes": [12]}, "3": {"core_classes": [11, 12]}, "4": []}
    (data_dir / "train" / "generated_doc2label.json").write_text(json.dumps(labels))
    layout = read_dataset(data_dir).layout
    mender = Mender(is_on=True)
    documents = read_generated(data_dir, layout, taxonomy, mender)
    assert [(one.id, one.core_class) for one in documents] == [("0", 1), ("1", 2)]
    assert len(mender.repairs) == 4


def test_a_message_holds_no_control_characters(data_dir):
    add(data_dir / "classes.txt", b"40\tfru\x1b[2Jit")
    add(data_dir / "class_hierarchy.txt", b"40\t40")
    with pytest.raises(InputError) as caught:
        read_dataset(data_dir)
    assert str(caught.value).isprintable()
    assert "\\x1b[2J" in str(caught.value)
