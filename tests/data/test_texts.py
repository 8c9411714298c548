"""Texts that stay in their file are what a list of them would be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleclass.data.corpus import read_documents
from teleclass.data.texts import BLOCK, TextBuilder, Texts
from teleclass.errors import InputError

SOME = ["one", "", "zwei Äpfel", "drei\rvier", "𝔣ünf"]


def of_file(path, texts: list[str]) -> Texts:
    path.write_bytes("".join(f"{number}\t{text}\n" for number, text in enumerate(texts)).encode("utf-8"))
    builder = TextBuilder(path)
    for line, text in enumerate(texts, start=1):
        builder.add(text, line)
    return builder.texts()


@pytest.fixture(params=["memory", "file", "both"])
def texts(request, tmp_path) -> Texts:
    if request.param == "memory":
        return Texts.of(SOME)
    if request.param == "file":
        return of_file(tmp_path / "texts", SOME)
    return of_file(tmp_path / "texts", SOME[:2]) + SOME[2:]


def test_they_are_read_by_row_in_turn_and_by_slices_and_arrays(texts):
    assert list(texts) == SOME
    assert [texts[row] for row in range(-5, 5)] == SOME * 2
    assert texts == SOME
    assert texts != SOME[1:]
    assert texts[1:4:2] == SOME[1:4:2]
    assert texts[np.array([4, 0, 0])] == [SOME[4], SOME[0], SOME[0]]
    assert texts[1:][np.array([1])][0] == SOME[2]
    assert texts.characters.tolist() == [len(text) for text in SOME]
    with pytest.raises(IndexError):
        texts[5]


def test_they_are_put_together_with_lists_and_with_each_other(texts):
    assert texts + ["six"] + texts == [*SOME, "six", *SOME]


@given(st.lists(st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]))))
def test_any_text_comes_back(texts):
    assert list(Texts.of(texts)) == texts


def test_more_than_a_block_of_them_near_and_far_from_each_other(tmp_path):
    many = [f"text {number} " * (number % 7) for number in range(2 * BLOCK + 3)]
    texts = of_file(tmp_path / "texts", many)
    order = np.random.default_rng(0).permutation(len(many))
    assert list(texts) == many
    assert list(texts[order]) == [many[row] for row in order]


def test_a_text_that_the_file_holds_otherwise_is_kept_in_memory(tmp_path):
    (tmp_path / "texts").write_text("0\tbroken\n1\tfine\n", "utf-8")
    builder = TextBuilder(tmp_path / "texts")
    builder.add("mended", 1)
    builder.add("fine", 2)
    assert builder.texts() == ["mended", "fine"]


def test_a_file_that_is_replaced_meanwhile_is_read_as_it_was(tmp_path):
    texts = of_file(tmp_path / "texts", SOME)
    (tmp_path / "other").write_text("something else\n", "utf-8")
    (tmp_path / "other").replace(tmp_path / "texts")
    assert texts == SOME


@pytest.mark.parametrize("mode", ["w", "a"])
def test_a_file_that_is_written_to_meanwhile_is_told(tmp_path, mode):
    """Cut short, a mapped file would end the program by SIGBUS."""
    texts = of_file(tmp_path / "texts", SOME)
    with (tmp_path / "texts").open(mode) as stream:
        stream.write("x")
    with pytest.raises(InputError, match="was changed while it was in use"):
        texts[0]
    with pytest.raises(InputError, match="texts: was changed"):
        list(texts)


def test_documents_of_a_file_are_not_held_in_memory(tmp_path):
    """Places take 17 bytes a text; the texts are 2 kB each, and in ids there are a few bytes."""
    import tracemalloc

    path = tmp_path / "corpus"
    path.write_text("".join(f"{number}\t{'word ' * 400}\n" for number in range(2_000)), "utf-8")
    read_documents(path)
    tracemalloc.start()
    ids, texts = read_documents(path)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(ids) == len(texts) == 2_000
    assert kept / len(texts) < 100
