"""Documents of both corpora: order, ids, empty texts, limits, and which of them are to be filed."""

from __future__ import annotations

import pytest

from teleclass.data.corpus import MAX_CHARACTERS, Corpus, read_corpus
from teleclass.data.layout import COURSE
from teleclass.errors import InputError


def corpus_of(folder, train: str, test: str | None = None, max_documents: int | None = None) -> Corpus:
    """Write corpus files in the course layout and read them."""
    for name, content in ((COURSE.train_corpus, train), (COURSE.test_corpus, test)):
        if content is not None:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content.encode())
    return read_corpus(folder, COURSE, max_documents)


def test_training_documents_come_first_each_file_in_its_own_order(tmp_path):
    corpus = corpus_of(tmp_path, "b\tone\na\ttwo\n", "z\tthree\ny\tfour\n")
    assert corpus == Corpus(["b", "a", "z", "y"], ["one", "two", "three", "four"], 2)
    assert (len(corpus), corpus.n_train, corpus.n_test) == (4, 2, 2)
    assert corpus.ids[corpus.train] == ["b", "a"]


def test_the_test_documents_are_filed(tmp_path):
    corpus = corpus_of(tmp_path, "a\tone\nb\ttwo\n", "c\tthree\n")
    assert corpus.ids[corpus.predicted] == ["c"]


def test_without_a_test_corpus_the_training_documents_are_filed(tmp_path):
    corpus = corpus_of(tmp_path, "a\tone\nb\ttwo\n")
    assert corpus.n_test == 0
    assert corpus.ids[corpus.predicted] == corpus.ids[corpus.train] == ["a", "b"]


@pytest.mark.parametrize(
    ("limit", "ids", "n_train"),
    [
        (1, ["a", "x"], 1),
        (2, ["a", "b", "x", "y"], 2),
        (3, ["a", "b", "c", "x", "y"], 3),
        (99, ["a", "b", "c", "x", "y"], 3),
        (None, ["a", "b", "c", "x", "y"], 3),
    ],
)
def test_max_documents_keeps_the_first_of_each_file(tmp_path, limit, ids, n_train):
    corpus = corpus_of(tmp_path, "a\t1\nb\t2\nc\t3\n", "x\t4\ny\t5\n", limit)
    assert (corpus.ids, corpus.n_train) == (ids, n_train)
    assert corpus.ids[corpus.predicted] == ids[n_train:]


def test_ids_are_the_strings_of_the_file(tmp_path):
    ids = ["007", "7", "=1+1", "../../x", "Zürich 3", "1.0"]
    assert corpus_of(tmp_path, "".join(f"{number}\ttext\n" for number in ids)).ids == ids


def test_an_id_may_stand_once_in_each_file(tmp_path):
    assert corpus_of(tmp_path, "0\tone\n", "0\ttwo\n").ids == ["0", "0"]


@pytest.mark.parametrize("broken", ["train", "test"])
@pytest.mark.parametrize("limit", [None, 1])
def test_a_duplicate_document_id_names_both_lines(tmp_path, broken, limit):
    """Also beyond max_documents: the file is as broken."""
    twice = "a\tone\n\nb\ttwo\nc\tthree\n b \tfour\n"
    files = {"train": "a\tone\n", "test": "a\tone\n"} | {broken: twice}
    with pytest.raises(InputError, match="document id 'b' stands already in line 3") as fault:
        corpus_of(tmp_path, files["train"], files["test"], limit)
    assert fault.value.line == 5
    assert fault.value.file == str(tmp_path / broken / f"{broken}_corpus.txt")


def test_an_empty_document_is_kept_and_counted(tmp_path):
    corpus = corpus_of(tmp_path, "a\tone\nb\t\nc\t  \n", "d\t\n")
    assert corpus.texts == ["one", "", "", ""]
    assert corpus.n_empty == 3


def test_a_long_text_is_cut_by_characters(tmp_path):
    corpus = corpus_of(tmp_path, "a\t" + "é" * (MAX_CHARACTERS + 1) + "\nb\t" + "é" * MAX_CHARACTERS + "\n")
    assert corpus.texts == ["é" * MAX_CHARACTERS] * 2


def test_odd_line_ends_do_not_shift_documents(tmp_path):
    """A reader that splits at each of these sees 9 lines here, and other texts under the ids."""
    corpus = corpus_of(tmp_path, "\ufeff0\tone\r\n1\ttwo\rhalves\r\n2\tthree\u2028lines\u2029in\x85one\n3\tfour")
    assert corpus.ids == ["0", "1", "2", "3"]
    assert corpus.texts == ["one", "two\rhalves", "three\u2028lines\u2029in\x85one", "four"]


@pytest.mark.parametrize(
    ("train", "line", "problem"),
    [
        ("a\tone\n\ttext without an id\n", 2, "no id before the tab"),
        ("a\tone\nb two\n", 2, "found no '\\t'"),
        ("", None, "holds no document"),
        ("\n\n", None, "holds no document"),
    ],
)
def test_a_broken_corpus_is_told_with_its_line(tmp_path, train, line, problem):
    with pytest.raises(InputError) as fault:
        corpus_of(tmp_path, train)
    assert fault.value.line == line
    assert problem in fault.value.problem


def test_an_empty_test_corpus_is_not_taken_for_an_absent_one(tmp_path):
    with pytest.raises(InputError, match=r"test_corpus\.txt: holds no document"):
        corpus_of(tmp_path, "a\tone\n", "")


def test_a_training_corpus_is_needed(tmp_path):
    with pytest.raises(InputError, match=r"train_corpus\.txt: the file does not exist"):
        corpus_of(tmp_path, None, "a\tone\n")
