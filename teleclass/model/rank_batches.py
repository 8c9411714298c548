"""Which documents each rank trains on at each step: random order, equal work on every rank."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

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
    steps, each stands in it once, and every rank takes the same number of steps. Iterating begins behind the steps that
    were taken, which whoever trains tells by :meth:`advance`: a loader may be ahead of the training.

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
        self.step_size = batch_size * world_size * accumulation
        self.n_steps = -(-len(lengths) // self.step_size)
        self.epoch = 0
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._n_now = self.n_steps  # steps that the documents left by earlier divisions are divided into
        self._taken = 0  # of those
        self._cuts: list[tuple[int, int]] = []  # earlier divisions: their steps, and how many of them were taken

    def __len__(self) -> int:
        return self.steps_left * self.accumulation

    @property
    def steps_left(self) -> int:
        """Steps that are still to take in this epoch."""
        return self._n_now - self._taken

    def advance(self) -> bool:
        """A step was taken; returns whether it was the epoch's last one."""
        self._taken += 1
        if self.steps_left:
            return False
        self.end_epoch()
        return True

    def end_epoch(self) -> None:
        """Go on to the next epoch, though steps may be left of this one."""
        self.epoch += 1
        self._begin_epoch()

    def state(self) -> dict[str, Any]:
        """Where the training stands, as JSON holds it; the same on every rank."""
        return {
            "epoch": self.epoch,
            "n_steps": self.n_steps,
            "n_now": self._n_now,
            "taken": self._taken,
            "cuts": self._cuts,
        }

    def put_back(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Where it is that of another total batch, the documents that are left of its epoch are divided anew, so that
        none is left out or taken twice; :attr:`steps_left` then says in how many steps.
        """
        self.epoch = state["epoch"]
        self._begin_epoch()
        if state["n_steps"] == self.n_steps:
            self._n_now, self._taken, self._cuts = state["n_now"], state["taken"], state["cuts"]
        elif state["taken"] or state["cuts"]:
            self._cuts = [*state["cuts"], (state["n_now"], state["taken"])]
            self._n_now = -(-len(self._left()[0]) // self.step_size)

    def _left(self) -> tuple[np.ndarray, np.random.Generator]:
        """The epoch's documents in their order without those that earlier divisions have taken, and its draws."""
        generator = np.random.default_rng((self.seed, self.epoch))
        left = generator.permutation(len(self.lengths))
        for n_steps, taken in self._cuts:
            left = np.concatenate(self._divide(left, n_steps, generator)[taken:])
        return left, generator

    def _divide(self, documents: np.ndarray, n_steps: int, generator: np.random.Generator) -> list[np.ndarray]:
        steps = np.array_split(documents, n_steps)
        return self._sorted_pools(steps, generator) if self.like_lengths else steps

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
        """The documents of each coming step of an epoch, and the positions among them of each share."""
        if epoch == self.epoch:
            left, generator = self._left()
            steps = self._divide(left, self._n_now, generator)[self._taken :]
        else:
            generator = np.random.default_rng((self.seed, epoch))
            steps = self._divide(generator.permutation(len(self.lengths)), self.n_steps, generator)
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
