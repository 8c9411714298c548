"""Tokens, packing and padding, batches by a token budget."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from teleclass.model.batching import TokenizedTexts, ahead, packed, padded, token_batches, tokenize
from teleclass.model.sources import find_model


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return AutoTokenizer.from_pretrained(tiny_model)


def test_texts_are_tokenised_in_order_over_more_than_one_call_of_the_tokenizer(tokenizer):
    """1024 texts go at once; each must stand where it stood."""
    words = ["apple", "ripe apple", "a ripe apple", "knife"]
    texts = [words[number * number % 4] for number in range(1030)]
    tokens = tokenize(tokenizer, texts, 64)
    assert len(tokens) == 1030
    expected = {word: tokenizer(word)["input_ids"] for word in words}
    assert all(tokens[row].tolist() == expected[text] for row, text in enumerate(texts))
    assert tokens.lengths[:3].tolist() == [len(expected[text]) for text in texts[:3]]


@pytest.mark.parametrize("model", ["tiny", "bundled"])
def test_an_empty_text_has_its_two_special_tokens_and_a_long_one_is_cut_between_them(tiny_model, model):
    """The bundled tokenizer's file asks for padding to 128 tokens, which must not come through."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model if model == "tiny" else find_model("bundled"))
    tokens = tokenize(tokenizer, ["", "bread " * 100, "bread"], 8)
    first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    bread = tokenizer.convert_tokens_to_ids("bread")
    assert tokens[0].tolist() == [first, last]
    assert tokens[1].tolist() == [first, *[bread] * 6, last]
    assert tokens[2].tolist() == [first, bread, last]


def test_no_texts_give_no_tokens_and_no_batches(tokenizer):
    tokens = tokenize(tokenizer, [], 64)
    assert len(tokens) == 0
    assert list(token_batches(tokens.lengths, 100)) == []


THREE = TokenizedTexts(np.array([2, 9, 3, 2, 3, 2, 7, 8, 3], dtype=np.int32), np.array([0, 3, 5, 9]))


def test_padding_goes_behind_the_shorter_texts_and_is_masked():
    batch = padded(THREE, [2, 1], pad_id=5)  # not 0, which an array might hold by chance
    assert batch.ids.tolist() == [[2, 7, 8, 3], [2, 3, 5, 5]]
    assert batch.mask.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch.ids.dtype == batch.mask.dtype == torch.int64
    assert padded(THREE, np.array([1]), pad_id=5).ids.tolist() == [[2, 3]]  # no wider than its own rows
    assert (len(batch), batch.n_tokens) == (2, 6)


def test_packed_texts_stand_one_after_the_other_with_positions_from_zero():
    batch = packed(THREE, [2, 0, 2])
    assert batch.ids.tolist() == [2, 7, 8, 3, 2, 9, 3, 2, 7, 8, 3]
    assert batch.positions.tolist() == [0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 3]
    assert batch.documents.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert batch.lengths == (4, 3, 4)
    assert batch.rows.dtype == torch.int64
    assert (len(batch), batch.n_tokens) == (3, 11)


@pytest.mark.parametrize("make", [packed, lambda tokens, rows: padded(tokens, rows, 0)])
def test_batches_move_to_a_device_whole(make):
    batch = make(THREE, [2, 0])
    moved = batch.to("meta")
    assert moved.ids.device.type == "meta"
    assert (len(moved), type(moved)) == (2, type(batch))
    assert batch.ids.device.type == "cpu"


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(0, 60), max_size=80), budget=st.integers(1, 300))
def test_token_batches_hold_every_row_once_within_the_budget_longest_first(lengths, budget):
    lengths = np.array(lengths, dtype=np.int64)
    batches = list(token_batches(lengths, budget))
    rows = [row for batch in batches for row in batch]
    assert sorted(rows) == list(range(len(lengths)))
    assert lengths[rows].tolist() == sorted(lengths, reverse=True)
    for number, batch in enumerate(batches):
        assert len(batch) >= 1
        assert len(batch) == 1 or lengths[batch].max() * len(batch) <= budget
        if number < len(batches) - 1:  # and no batch is cut short: one more row would break the budget
            assert max(1, lengths[batch].max()) * (len(batch) + 1) > budget


def test_items_come_in_order_each_made_while_the_one_before_is_used():
    made, seen = [], []

    def items():
        for number in range(5):
            made.append(number)
            yield number

    for number in ahead(items()):
        while len(made) < min(5, number + 2):  # the next is made without being asked for: else this never ends
            time.sleep(0.001)
        seen.append(number)
    assert seen == [0, 1, 2, 3, 4]
    assert list(ahead([])) == []


def test_an_error_while_an_item_is_made_reaches_the_one_who_asks():
    def items():
        yield 1
        raise KeyError("broken")

    got = ahead(items())
    assert next(got) == 1
    with pytest.raises(KeyError, match="broken"):
        next(got)
