"""The learning curve: means over a few steps and all ranks, sent to the tracker."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from teleclass.errors import TeleclassError
from teleclass.runtime.workplace import Workplace


class LearningCurve:
    """Collects losses and logs a point every few optimizer steps.

    Every rank must make the same calls: a point is gathered from all of them.

    Attributes
    ----------
    last : the loss of the newest point.
    """

    def __init__(self, work: Workplace, every: int):
        self.work = work
        self.every = every
        self.last = float("nan")
        self._losses: list[Any] = []
        self._tokens = 0
        self._sent = 0
        self._since = time.perf_counter()

    def add(self, loss: Any, tokens: int) -> None:
        """Take in a micro-batch: its loss, a tensor without a graph, and how many tokens it had."""
        self._losses.append(loss)
        self._tokens += tokens

    def step(self, engine: Any, loss_scaling: bool) -> None:
        """Take in an optimizer step of a DeepSpeed engine.

        Raises
        ------
        TeleclassError : the loss is not finite.
        """
        step = engine.global_steps
        if step % self.every and step > 1:
            return
        import torch

        mine = float(torch.stack(self._losses).float().mean())
        everyone = self.work.ranks.gather((mine, self._tokens))
        self.last = float(np.mean([loss for loss, _ in everyone]))
        if not np.isfinite(self.last):
            raise TeleclassError(
                f"the training loss is {self.last} at step {step}; lower optimizer.params.lr in the DeepSpeed file"
            )
        now = time.perf_counter()
        norm = engine.get_global_grad_norm()
        point = {
            "train/loss": self.last,
            "train/learning_rate": engine.get_lr()[0],
            "train/grad_norm": float(norm) if norm is not None else 0.0,
            "train/loss_scale": float(engine.optimizer.cur_scale) if loss_scaling else 1.0,
            "train/skipped_steps": float(engine.skipped_steps),
            "train/tokens_per_second": sum(tokens for _, tokens in everyone) / max(now - self._since, 1e-9),
        }
        self.work.tracker.metrics({k: v for k, v in point.items() if np.isfinite(v)}, step)
        every = self.work.tracker.config.every_steps
        if step // every > self._sent // every:
            self.work.tracker.flush()
            self._sent = step
        self._losses, self._tokens, self._since = [], 0, now
