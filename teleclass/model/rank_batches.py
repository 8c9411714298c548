"""Which documents each rank trains on at each step: random order, equal work on every rank."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

import numpy as np


@dataclass(frozen=True)
class Share:
    """One rank's part of a micro-step.

    Attributes
    ----------
    rows : documents, longest first.
    weight : of each document in this rank's loss, such that the engine's mean over ranks and accumulated micro-steps
        is the mean over the documents of the step; 0 where a rank would have none and repeats one.
    """

    rows: np.ndarray
    weight: float


class RankBatches:
    """The training batches of one rank.

    A step takes ``batch_size`` documents a rank and micro-step, in random order. They are dealt out by length, so that
    every rank computes nearly as many tokens; how many documents a rank has may differ, and the weight of
    :class:`Share` makes up for it. All ranks shuffle alike. The documents of an epoch are spread evenly over its
    steps, each stands in it once, and every rank takes the same number of steps.

    Parameters
    ----------
    lengths : (N,), tokens of each document.
    batch_size : documents a rank and micro-step.
    accumulation : micro-steps a step.
    like_lengths : keep documents of like length together, for batches that are padded.
    """

    POOL = 32
    """Steps sorted by length together with ``like_lengths``; more save padding, fewer keep the order random."""

    def __init__(
        self,
        lengths: np.ndarray,
        batch_size: int,
        rank: int,
        world_size: int,
        seed: int,
        accumulation: int = 1,
        like_lengths: bool = False,
    ):
        self.lengths = lengths
        self.rank = rank
        self.world_size = world_size
        self.seed = seed
        self.accumulation = accumulation
        self.like_lengths = like_lengths
        self.epoch = 0
        self.n_steps = -(-len(lengths) // (batch_size * world_size * accumulation))

    def __len__(self) -> int:
        return self.n_steps * self.accumulation

    def __iter__(self) -> Iterator[Share]:
        n_shares = self.world_size * self.accumulation
        for step, shares in self._dealt(self.epoch):
            for micro_step in range(self.accumulation):
                mine = step[shares[micro_step * self.world_size + self.rank]]
                if len(mine):
                    yield Share(mine, n_shares / len(step))
                else:
                    yield Share(step[:1], 0.0)

    def heaviest(self, n_steps: int, is_padded: bool = False) -> np.ndarray:
        """The documents of the largest share that any rank has in the coming ``n_steps`` steps, longest first.

        Parameters
        ----------
        is_padded : whether a share is as large as its documents padded to the longest, not as its tokens.
        """
        largest, found = -1, np.zeros(0, dtype=np.int64)
        steps = (dealt for epoch in count(self.epoch) for dealt in self._dealt(epoch))
        for step, shares in islice(steps, max(1, n_steps)):
            for share in shares:
                lengths = self.lengths[step[share]]
                size = int(len(lengths) * lengths.max(initial=0) if is_padded else lengths.sum())
                if size > largest:
                    largest, found = size, step[share]
        return found

    def _dealt(self, epoch: int) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """The documents of each step of an epoch, and the positions among them of each share."""
        generator = np.random.default_rng((self.seed, epoch))
        order = generator.permutation(len(self.lengths))
        steps = np.array_split(order, self.n_steps)
        if self.like_lengths:
            steps = self._sorted_pools(steps, generator)
        for step in steps:
            yield step, deal(self.lengths[step], self.world_size * self.accumulation)

    def _sorted_pools(self, steps: list[np.ndarray], generator: np.random.Generator) -> list[np.ndarray]:
        """The same documents, those of like length in one step, and the steps in random order."""
        sorted_steps: list[np.ndarray] = []
        for start in range(0, len(steps), self.POOL):
            pool = np.concatenate(steps[start : start + self.POOL])
            pool = pool[np.argsort(self.lengths[pool], kind="stable")]
            sorted_steps.extend(np.array_split(pool, len(steps[start : start + self.POOL])))
        return [sorted_steps[index] for index in generator.permutation(len(sorted_steps))]


def deal(lengths: np.ndarray, n_shares: int) -> list[np.ndarray]:
    """Deal documents into shares of nearly equal token counts: the longest first, each to the lightest share.

    The largest share is at most 4/3 of the smallest possible largest one (Graham, 1969, on the LPT rule).

    Returns
    -------
    positions of each share's documents, longest first.
    """
    shares: list[list[int]] = [[] for _ in range(n_shares)]
    loads = [(0, number) for number in range(n_shares)]
    for document in np.argsort(-lengths, kind="stable").tolist():
        load, number = loads[0]
        shares[number].append(document)
        heapq.heapreplace(loads, (load + int(lengths[document]), number))
    return [np.array(share, dtype=np.int64) for share in shares]
