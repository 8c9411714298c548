"""The training batches of the ranks, by property."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from teleclass.model.batching import RankBatches

SHAPES = {
    "n": st.integers(1, 200),
    "batch": st.integers(1, 9),
    "world": st.integers(1, 5),
    "multiple": st.integers(1, 3),
    "seed": st.integers(0, 3),
}


def epoch(n: int, batch: int, world: int, seed: int = 0, multiple: int = 1, number: int = 0) -> list[list[list[int]]]:
    """The batches of every rank in one epoch."""
    lengths = np.random.default_rng(n).integers(2, 40, n)
    ranks = [RankBatches(lengths, batch, rank, world, seed, multiple) for rank in range(world)]
    for rank in ranks:
        rank.epoch = number
    batches = [list(rank) for rank in ranks]
    assert [len(rank) for rank in ranks] == [len(own) for own in batches]
    return batches


@settings(max_examples=60, deadline=None)
@given(**SHAPES)
def test_every_rank_takes_equally_many_full_batches_and_no_document_is_lost(n, batch, world, multiple, seed):
    batches = epoch(n, batch, world, seed, multiple)
    assert len({len(own) for own in batches}) == 1
    assert len(batches[0]) % multiple == 0
    assert {len(one) for own in batches for one in own} == {batch}
    count = Counter(row for own in batches for one in own for row in one)
    assert set(count) == set(range(n))
    padding = len(batches[0]) * batch * world - n
    assert padding < batch * world * multiple
    assert sum(times - 1 for times in count.values()) == padding
    if padding < n:
        assert max(count.values()) <= 2


@settings(max_examples=30, deadline=None)
@given(n=st.integers(20, 200), batch=st.integers(1, 9), world=st.integers(1, 4))
def test_the_ranks_together_take_what_one_rank_takes_with_their_total_batch(n, batch, world):
    together = epoch(n, batch, world)
    alone = epoch(n, batch * world, 1)[0]
    for step, whole in enumerate(alone):
        assert sorted(row for own in together for row in own[step]) == sorted(whole)


def test_the_order_changes_with_epoch_and_seed_and_with_nothing_else():
    assert epoch(50, 4, 2) == epoch(50, 4, 2)
    assert epoch(50, 4, 2) != epoch(50, 4, 2, number=1)
    assert epoch(50, 4, 2) != epoch(50, 4, 2, seed=1)


def test_documents_of_like_length_stand_together():
    lengths = np.random.default_rng(1).integers(2, 100, 512)
    batches = list(RankBatches(lengths, 16, 0, 1, seed=0))
    spread = np.mean([np.ptp(lengths[batch]) for batch in batches])
    assert spread < 10  # 16 random ones lie about 86 apart
