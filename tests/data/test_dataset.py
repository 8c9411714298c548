"""A data folder read whole: the two layouts, and the sample that comes with the package."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import pytest
from conftest import CLASSES, EDGES, KEYWORDS, TEST, TRAIN

from teleclass.data.dataset import read_dataset
from teleclass.data.gold import gold_file, read_gold
from teleclass.data.layout import COURSE, REFERENCE, SAMPLE_DIR, find_layout
from teleclass.errors import InputError

# --- layouts


def test_the_class_file_tells_the_layout(data_dir, reference_dir):
    assert find_layout(data_dir) is COURSE
    assert find_layout(reference_dir) is REFERENCE


def test_both_layouts_load_to_the_same_taxonomy_and_corpus(data_dir, reference_dir):
    for folder in (data_dir, reference_dir):
        (folder / "class_descriptions.txt").write_text("bread knives\ta long toothed blade\n")
    course, reference = read_dataset(data_dir), read_dataset(reference_dir)
    for dataset in (course, reference):
        taxonomy = dataset.taxonomy
        assert dict(zip(taxonomy.ids, taxonomy.names, strict=True)) == CLASSES
        assert {(taxonomy.ids[parent], taxonomy.ids[child]) for parent, child in taxonomy.graph.edges} == set(EDGES)
        assert {taxonomy.names[node]: ",".join(words) for node, words in taxonomy.keywords.items()} == KEYWORDS
        assert taxonomy.descriptions == {6: "a long toothed blade"}
        assert dataset.corpus.ids == [*TRAIN, *TEST]
        assert dataset.corpus.texts == [*TRAIN.values(), *TEST.values()]
    assert course.corpus == reference.corpus
    assert course.taxonomy.paths() == reference.taxonomy.paths()
    assert course.taxonomy.levels.tolist() == reference.taxonomy.levels.tolist()


@pytest.mark.parametrize("folder", ["data_dir", "reference_dir"])
def test_a_data_set_needs_no_test_corpus_in_either_layout(request, folder):
    folder = request.getfixturevalue(folder)
    (folder / find_layout(folder).test_corpus).unlink()
    corpus = read_dataset(folder).corpus
    assert (corpus.n_train, corpus.n_test) == (len(TRAIN), 0)
    assert corpus.ids[corpus.predicted] == list(TRAIN)


@pytest.mark.parametrize("folder", ["data_dir", "reference_dir"])
def test_max_documents_holds_for_each_file_in_either_layout(request, folder):
    corpus = read_dataset(request.getfixturevalue(folder), max_documents=2).corpus
    assert corpus.ids == ["a", "b", "0", "1"]


def test_a_folder_of_no_layout_or_of_both_is_refused(data_dir, tmp_path):
    with pytest.raises(InputError, match=r"does not exist.*--data_dir"):
        find_layout(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds no classes\.txt or labels\.txt"):
        find_layout(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        find_layout(data_dir / "classes.txt")
    (data_dir / "labels.txt").write_text("0\tfood\n")
    with pytest.raises(InputError, match=r"holds both classes\.txt and labels\.txt"):
        find_layout(data_dir)


@pytest.mark.parametrize("folder", ["data_dir", "reference_dir"])
def test_input_files_are_those_that_are_there_and_never_gold(request, folder):
    folder = request.getfixturevalue(folder)
    dataset = read_dataset(folder)
    files = dataset.input_files()
    assert set(files) == {"classes", "hierarchy", "keywords", "train_corpus", "test_corpus"}
    gold = {gold_file(folder, dataset.layout, split) for split in ("train", "test")}
    assert all(file.is_file() for file in gold)
    assert set(files.values()) == {file for file in folder.rglob("*.txt") if file not in gold}
    for name in ("class_descriptions.txt", "train/generated_docs.txt", "train/generated_doc2label.json"):
        (folder / name).write_text("")
    assert set(dataset.input_files()) - set(files) == {"descriptions", "generated_documents", "generated_labels"}


# --- the embedded sample


@pytest.fixture(scope="module")
def sample():
    return read_dataset(SAMPLE_DIR)


@pytest.fixture(scope="module")
def sample_gold(sample):
    """Gold by document, train then test, in the order of the corpus."""
    corpus = sample.corpus
    by_split = {s: read_gold(gold_file(SAMPLE_DIR, sample.layout, s), sample.taxonomy) for s in ("train", "test")}
    assert by_split["train"].keys() == set(corpus.ids[corpus.train])
    assert by_split["test"].keys() == set(corpus.ids[corpus.predicted])
    return [by_split["train" if row < corpus.n_train else "test"][number] for row, number in enumerate(corpus.ids)]


def test_the_sample_taxonomy_has_three_levels_and_two_classes_with_two_parents(sample):
    taxonomy = sample.taxonomy
    assert taxonomy.n_classes >= 40
    assert set(taxonomy.levels.tolist()) == {1, 2, 3}
    assert sorted(len(taxonomy.parents(node)) for node in range(taxonomy.n_classes))[-3:] == [1, 2, 2]
    assert taxonomy.keywords.keys() == set(range(taxonomy.n_classes))
    assert {taxonomy.levels[leaf] for leaf in taxonomy.leaves} == {3}


def test_the_sample_has_enough_reviews_of_15_to_150_words(sample):
    corpus = sample.corpus
    assert corpus.n_train >= 420
    assert corpus.n_test >= 150
    lengths = {corpus.ids[row]: len(text.split()) for row, text in enumerate(corpus.texts)}
    assert {number: length for number, length in lengths.items() if not 15 <= length <= 150} == {}


def test_every_gold_set_of_the_sample_is_closed(sample, sample_gold):
    assert len(sample_gold) == len(sample.corpus)
    assert [row for row, nodes in enumerate(sample_gold) if not sample.taxonomy.is_closed(nodes)] == []


def test_some_gold_of_the_sample_stops_at_an_inner_class_and_some_has_two_leaves(sample, sample_gold):
    leaves = set(sample.taxonomy.leaves)
    n_leaves = Counter(len(nodes & leaves) for nodes in sample_gold)
    assert n_leaves[0] > 0
    assert n_leaves[2] > 0


def test_no_two_reviews_of_the_sample_share_a_run_of_eight_words(sample):
    first_with: dict[tuple[str, ...], int] = {}
    shared = []
    for row, text in enumerate(sample.corpus.texts):
        words = re.findall(r"\w+(?:['’]\w+)*", text.lower())
        for run in zip(*(words[start:] for start in range(8)), strict=False):
            if first_with.setdefault(run, row) != row:
                shared.append((first_with[run], row, " ".join(run)))
    assert shared == []
    assert len(first_with) > 10_000  # the runs were really cut: some 45 words, 570 reviews


def test_the_leaf_classes_of_the_sample_are_unequal_and_none_is_absent(sample, sample_gold):
    found = Counter(node for nodes in sample_gold for node in nodes)
    sizes = sorted(found[leaf] for leaf in sample.taxonomy.leaves)
    assert sizes[0] > 0
    assert sizes[-1] >= 5 * sizes[0]


def test_the_sample_files_classes_of_every_root_in_both_splits(sample, sample_gold):
    roots = set(sample.taxonomy.roots)
    n_train = sample.corpus.n_train
    for part in (sample_gold[:n_train], sample_gold[n_train:]):
        assert roots <= set().union(*part)


def test_the_sample_class_file_is_numbered_from_zero(sample):
    assert all(later == earlier + 1 for earlier, later in pairwise([-1, *sample.taxonomy.ids]))
