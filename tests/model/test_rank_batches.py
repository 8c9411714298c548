"""Which documents each rank trains on: each once an epoch, equal work, weights that make a mean of the step."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleclass.model.rank_batches import RankBatches, Share, deal

SHAPES = {
    "n": st.integers(1, 300),
    "batch": st.integers(1, 9),
    "world": st.integers(1, 5),
    "accumulation": st.integers(1, 4),
    "seed": st.integers(0, 3),
    "like_lengths": st.booleans(),
}


def ranks_of(n, batch, world, accumulation=1, seed=0, like_lengths=False, number=0) -> list[RankBatches]:
    lengths = np.random.default_rng(n).integers(2, 40, n)
    ranks = [RankBatches(lengths, batch, rank, world, seed, accumulation, like_lengths) for rank in range(world)]
    for rank in ranks:
        rank.epoch = number
    return ranks


def epoch(**shape) -> list[list[Share]]:
    """The shares of every rank in one epoch."""
    return [list(rank) for rank in ranks_of(**shape)]


def rows_of(shares: list[Share]) -> list[list[int]]:
    return [share.rows.tolist() for share in shares]


@settings(max_examples=80, deadline=None)
@given(**SHAPES)
def test_every_document_stands_in_the_epoch_once_and_ranks_take_equally_many_micro_steps(**shape):
    shares = epoch(**shape)
    n_micro_steps = {len(own) for own in shares} | {len(rank) for rank in ranks_of(**shape)}
    assert len(n_micro_steps) == 1
    assert n_micro_steps.pop() % shape["accumulation"] == 0
    assert all(len(share.rows) for own in shares for share in own)
    count = Counter(row for own in shares for share in own if share.weight for row in share.rows.tolist())
    assert count == Counter(range(shape["n"]))


@settings(max_examples=80, deadline=None)
@given(**SHAPES)
def test_the_engines_mean_is_the_mean_over_the_documents_of_each_step(**shape):
    """DeepSpeed averages over ranks and accumulated micro-steps: so many shares of a step."""
    shares, per_step = epoch(**shape), shape["accumulation"]
    for start in range(0, len(shares[0]), per_step):
        step = [share for own in shares for share in own[start : start + per_step]]
        weights = [share.weight / len(step) for share in step for _ in share.rows]
        n_documents = sum(len(share.rows) for share in step if share.weight)
        np.testing.assert_allclose(sum(weights), 1)
        assert {round(weight * n_documents, 9) for weight in weights if weight} == {1.0}


@settings(max_examples=40, deadline=None)
@given(**SHAPES)
def test_steps_are_as_large_as_asked_for_and_differ_by_one_document_at_most(**shape):
    shares, per_step = epoch(**shape), shape["accumulation"]
    sizes = [
        sum(len(share.rows) for own in shares for share in own[start : start + per_step] if share.weight)
        for start in range(0, len(shares[0]), per_step)
    ]
    whole = shape["batch"] * shape["world"] * shape["accumulation"]
    assert max(sizes) <= whole
    assert max(sizes) - min(sizes) <= 1 or shape["like_lengths"]
    assert len(sizes) == -(-shape["n"] // whole)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(20, 300), batch=st.integers(1, 9), world=st.integers(1, 4), accumulation=st.integers(1, 3),
)  # fmt: skip
def test_ranks_and_accumulation_together_take_what_one_rank_takes_at_once(n, batch, world, accumulation):
    shares = epoch(n=n, batch=batch, world=world, accumulation=accumulation)
    for step, whole in enumerate(epoch(n=n, batch=batch * world * accumulation, world=1)[0]):
        parts = [share for own in shares for share in own[step * accumulation : (step + 1) * accumulation]]
        assert sorted(row for part in parts if part.weight for row in part.rows) == sorted(whole.rows)


def test_every_rank_computes_nearly_as_many_tokens():
    lengths = np.random.default_rng(0).integers(20, 168, 2048)
    ranks = [list(RankBatches(lengths, 16, rank, 4, seed=0)) for rank in range(4)]
    tokens = np.array([[lengths[share.rows].sum() for share in own] for own in ranks])
    assert (np.ptp(tokens, axis=0) / tokens.mean(axis=0)).max() < 0.02  # 16 random documents each: .2 to .5


@given(lengths=st.lists(st.integers(1, 500), min_size=1, max_size=60), n_shares=st.integers(1, 8))
def test_documents_are_dealt_out_longest_first_and_no_share_could_have_taken_less(lengths, n_shares):
    lengths = np.array(lengths)
    shares = deal(lengths, n_shares)
    assert sorted(position for share in shares for position in share.tolist()) == list(range(len(lengths)))
    loads = [int(lengths[share].sum()) for share in shares]
    for share, load in zip(shares, loads, strict=True):
        assert lengths[share].tolist() == sorted(lengths[share].tolist(), reverse=True)
        if len(share):  # its last document went to the lightest share of that moment
            assert load - lengths[share[-1]] <= min(loads)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(40, 300), batch=st.integers(1, 9), world=st.integers(1, 4), accumulation=st.integers(1, 3),
    like_lengths=st.booleans(),
)  # fmt: skip
def test_the_order_changes_with_epoch_and_seed_and_with_nothing_else(**shape):
    first = [rows_of(own) for own in epoch(**shape)]
    assert [rows_of(own) for own in epoch(**shape)] == first
    assert [rows_of(own) for own in epoch(**shape, seed=1)] != first
    second = [rows_of(own) for own in epoch(**shape, number=1)]
    assert second != first
    assert [rows_of(own) for own in epoch(**shape, number=1)] == second


def test_iterating_an_epoch_again_gives_the_same_batches():
    """As an engine that resumes within an epoch needs it."""
    rank = ranks_of(50, 4, 2)[1]
    assert rows_of(list(rank)) == rows_of(list(rank))


def test_a_rank_without_a_document_repeats_one_that_does_not_count():
    shares = [list(RankBatches(np.array([5, 9]), 1, rank, 3, seed=0)) for rank in range(3)]
    assert [[share.weight for share in own] for own in shares] == [[1.5], [1.5], [0.0]]
    assert all(len(own[0].rows) == 1 for own in shares)


@pytest.mark.parametrize(("like_lengths", "low", "high"), [(True, 0, 10), (False, 60, 100)])
def test_documents_of_like_length_stand_together_where_asked_for_but_short_ones_not_first(like_lengths, low, high):
    lengths = np.random.default_rng(1).integers(2, 100, 512)  # one pool of 32 steps
    batches = [share.rows for share in RankBatches(lengths, 16, 0, 1, seed=0, like_lengths=like_lengths)]
    assert low <= np.mean([np.ptp(lengths[batch]) for batch in batches]) < high
    means = [lengths[batch].mean() for batch in batches]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.5  # 1 where the sorted batches stay in their order


def take(batches: RankBatches, steps: int) -> list[int]:
    """Take so many steps of this rank's; the documents of them."""
    shares, taken = iter(batches), []
    for _ in range(steps):
        for _ in range(batches.accumulation):
            share = next(shares)
            taken += share.rows.tolist() if share.weight else []
        batches.advance()
    return taken


@settings(max_examples=60, deadline=None)
@given(**SHAPES, share=st.floats(0, 1))
def test_a_position_that_is_put_back_goes_on_with_the_same_batches(share, **shape):
    for rank, other in zip(ranks_of(**shape), ranks_of(**shape), strict=True):
        take(rank, int(share * (rank.n_steps - 1)))
        other.put_back(json.loads(json.dumps(rank.state())))
        assert rows_of(list(other)) == rows_of(list(rank))
        assert other.steps_left == rank.steps_left
        take(other, other.steps_left)
        assert (other.epoch, other.steps_left) == (1, other.n_steps)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 200), like_lengths=st.booleans(), batches=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    share=st.floats(0, 1),
)  # fmt: skip
def test_with_other_batches_each_document_of_the_epoch_is_still_taken_once(n, like_lengths, batches, share):
    lengths = np.random.default_rng(n).integers(2, 40, n)
    taken: list[int] = []
    state = None
    for number, batch in enumerate(batches):
        ranks = [RankBatches(lengths, batch, rank, 2, seed=0, like_lengths=like_lengths) for rank in range(2)]
        for rank in ranks:
            if state:
                rank.put_back(state)
        if ranks[0].epoch:
            break
        left = ranks[0].steps_left
        steps = left if number == len(batches) - 1 else int(share * left)
        for rank in ranks:
            taken += take(rank, steps)
        state = json.loads(json.dumps(ranks[0].state()))
        assert state == json.loads(json.dumps(ranks[1].state()))
    assert Counter(taken) == Counter(range(n))
    assert state["epoch"] == 1
