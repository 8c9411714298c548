"""Every fault of a folder is found by the readers themselves, on a copy that is mended as they go."""

from __future__ import annotations

import os

import pytest
from conftest import TRAIN, write_lines

from teleclass.data.corpus import read_documents
from teleclass.data.faults import MAX_FAULTS, mended_copy
from teleclass.data.layout import COURSE
from teleclass.data.taxonomy import read_taxonomy
from teleclass.errors import InputError, ModelError

OPTIONAL = (COURSE.hierarchy, COURSE.keywords)


def train_reader(folder):
    return read_documents(folder / COURSE.train_corpus)


def taxonomy_reader(folder):
    return read_taxonomy(folder, COURSE)


def test_a_clean_folder_has_no_faults_and_is_read_as_it_is(data_dir):
    with mended_copy(data_dir) as copy:
        assert copy.read(train_reader) == (list(TRAIN), list(TRAIN.values()))
        assert copy.faults == []


def test_each_faulty_line_of_a_file_is_found_with_its_own_number_and_the_rest_is_read(data_dir):
    file = data_dir / COURSE.train_corpus
    file.write_bytes(b"a\tfirst\nno tab\n\tno id\nb\tsecond\na\tagain\nc\t\xff\xfe\nd\tthird\r\n")
    with mended_copy(data_dir) as copy:
        ids, texts = copy.read(train_reader)
    assert (ids, texts) == (["a", "b", "d"], ["first", "second", "third"])
    assert [(fault.file, fault.line) for fault in copy.faults] == [(str(file), line) for line in (2, 3, 5, 6)]
    assert "stands already in line 1" in copy.faults[2].problem
    assert "UTF-8" in copy.faults[3].problem


def test_the_users_files_are_not_touched(data_dir):
    file = data_dir / COURSE.train_corpus
    file.write_text("no tab\na\ttext\n")
    before = file.stat().st_mtime_ns
    os.chmod(file, 0o444)
    with mended_copy(data_dir) as copy:
        copy.read(train_reader)
        inner = copy.folder
    assert file.read_text() == "no tab\na\ttext\n"
    assert file.stat().st_mtime_ns == before
    assert not inner.exists()


def test_faults_of_several_files_of_the_taxonomy_are_all_found(data_dir):
    write_lines(data_dir / COURSE.classes, {10: "food", "x": "tools", 20: "tools"})
    (data_dir / COURSE.hierarchy).write_text("10\t20\n10\t10\n")
    (data_dir / COURSE.keywords).write_text("tools:saw\nbread:loaf\nfruit\n")
    with mended_copy(data_dir) as copy:
        taxonomy = copy.read(taxonomy_reader, empty=OPTIONAL)
    assert taxonomy.names == ["food", "tools"]
    assert taxonomy.keywords == {1: ["saw"]}
    places = [(os.path.basename(fault.file), fault.line) for fault in copy.faults]
    assert places == [("classes.txt", 2), ("class_hierarchy.txt", 2), ("class_related_keywords.txt", 2),
                      ("class_related_keywords.txt", 3)]  # fmt: skip


@pytest.mark.parametrize("break_it", [lambda file: file.unlink(), lambda file: file.write_text("10\t11\n11\t10\n")])
def test_a_hierarchy_that_cannot_be_used_is_taken_for_empty(data_dir, break_it):
    break_it(data_dir / COURSE.hierarchy)
    with mended_copy(data_dir) as copy:
        taxonomy = copy.read(taxonomy_reader, empty=OPTIONAL)
    assert len(copy.faults) == 1
    assert copy.emptied == {COURSE.hierarchy}
    assert len(taxonomy.roots) == taxonomy.n_classes == 7


def test_a_missing_file_that_is_needed_ends_the_reading(data_dir):
    (data_dir / COURSE.train_corpus).unlink()
    with mended_copy(data_dir) as copy:
        assert copy.read(train_reader) is None
        assert copy.read(train_reader) is None
    assert [fault.file for fault in copy.faults] == [str(data_dir / COURSE.train_corpus)]


def test_a_file_full_of_faults_is_given_up(data_dir):
    (data_dir / COURSE.train_corpus).write_text("no tab\n" * 500)
    with mended_copy(data_dir) as copy:
        assert copy.read(train_reader) is None
    assert len(copy.faults) == MAX_FAULTS + 1
    assert "not read further" in str(copy.faults[-1])


def test_errors_that_are_in_no_file_of_the_folder_are_kept_as_they_are(data_dir):
    def fail(error):
        raise error

    with mended_copy(data_dir) as copy:
        errors = [ModelError("no such model"), InputError("broken", "/elsewhere/ds_config.json", 3)]
        for error in errors:
            assert copy.read(lambda folder, error=error: fail(error)) is None
    assert copy.faults == errors
