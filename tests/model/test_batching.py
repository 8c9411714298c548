"""Tokens, padding, batches by a token budget, and the training batches of the ranks."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from teleclass.model.batching import RankBatches, TokenizedTexts, padded, token_batches, tokenize
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


def test_padding_goes_behind_the_shorter_texts_and_is_masked():
    tokens = TokenizedTexts(np.array([2, 9, 3, 2, 3, 2, 7, 8, 3], dtype=np.int32), np.array([0, 3, 5, 9]))
    ids, mask = padded(tokens, [2, 1], pad_id=5)  # not 0, which an array might hold by chance
    assert ids.tolist() == [[2, 7, 8, 3], [2, 3, 5, 5]]
    assert mask.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert ids.dtype == mask.dtype == np.int64
    assert padded(tokens, np.array([1]), pad_id=5)[0].tolist() == [[2, 3]]  # no wider than its own rows


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


SHAPES = {
    "n": st.integers(1, 300),
    "batch": st.integers(1, 9),
    "world": st.integers(1, 5),
    "multiple": st.integers(1, 4),
    "seed": st.integers(0, 3),
}


def ranks_of(n: int, batch: int, world: int, seed: int = 0, multiple: int = 1, number: int = 0) -> list[RankBatches]:
    lengths = np.random.default_rng(n).integers(2, 40, n)
    ranks = [RankBatches(lengths, batch, rank, world, seed, multiple) for rank in range(world)]
    for rank in ranks:
        rank.epoch = number
    return ranks


def epoch(*shape: int, **more: int) -> list[list[list[int]]]:
    """The batches of every rank in one epoch."""
    return [list(rank) for rank in ranks_of(*shape, **more)]


@settings(max_examples=60, deadline=None)
@given(**SHAPES)
def test_every_rank_takes_equally_many_full_batches_and_every_document_stands_in_the_epoch(
    n, batch, world, multiple, seed
):
    batches = epoch(n, batch, world, seed, multiple)
    steps = {len(own) for own in batches} | {len(rank) for rank in ranks_of(n, batch, world, seed, multiple)}
    assert len(steps) == 1
    assert steps.pop() % multiple == 0
    assert {len(one) for own in batches for one in own} == {batch}
    count = Counter(row for own in batches for one in own for row in one)
    assert set(count) == set(range(n))
    # duplicates: what fills up the last group of batches, spread evenly
    padding = len(batches[0]) * batch * world - n
    assert padding < batch * world * multiple
    assert sum(times - 1 for times in count.values()) == padding
    assert max(count.values()) - min(count.values()) <= 1


@settings(max_examples=30, deadline=None)
@given(n=st.integers(20, 300), batch=st.integers(1, 9), world=st.integers(1, 4))
def test_the_ranks_together_take_what_one_rank_takes_with_their_total_batch(n, batch, world):
    together = epoch(n, batch, world)
    for step, whole in enumerate(epoch(n, batch * world, 1)[0]):
        assert sorted(row for own in together for row in own[step]) == sorted(whole)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(40, 300), batch=st.integers(1, 9), world=st.integers(1, 4), multiple=st.integers(1, 3))
def test_the_order_changes_with_epoch_and_seed_and_with_nothing_else(n, batch, world, multiple):
    first = epoch(n, batch, world, 0, multiple)
    assert epoch(n, batch, world, 0, multiple) == first
    assert epoch(n, batch, world, 0, multiple, number=1) != first
    assert epoch(n, batch, world, 1, multiple) != first
    assert epoch(n, batch, world, 0, multiple, number=1) == epoch(n, batch, world, 0, multiple, number=1)


def test_iterating_an_epoch_again_gives_the_same_batches():
    """As an engine that resumes within an epoch needs it."""
    rank = ranks_of(50, 4, 2)[1]
    assert list(rank) == list(rank)


def test_documents_of_like_length_stand_together_but_short_ones_not_first():
    lengths = np.random.default_rng(1).integers(2, 100, 512)  # one pool of 32 batches
    batches = list(RankBatches(lengths, 16, 0, 1, seed=0))
    assert np.mean([np.ptp(lengths[batch]) for batch in batches]) < 10  # 16 random ones lie about 86 apart
    means = [lengths[batch].mean() for batch in batches]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.5  # 1 where the sorted batches stay in their order
