"""The learning curve: means over a few steps and all ranks, sent to the tracker and kept for the report."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import numpy as np

from teleclass.errors import NotFiniteLoss
from teleclass.runtime.workplace import Workplace

COLUMNS = ("loss", "learning_rate", "grad_norm", "loss_scale", "skipped_steps", "tokens_per_second")


class LearningCurve:
    """Collects losses and logs a point every few optimizer steps.

    Every rank must make the same calls: a point is gathered from all of them.

    Attributes
    ----------
    last : the loss of the newest point.
    points : what was logged, by step; the names are MLflow's without their group.
    """

    def __init__(self, work: Workplace, every: int):
        self.work = work
        self.every = every
        self.last = float("nan")
        self.points: dict[int, dict[str, float]] = {}
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
        NotFiniteLoss : the loss is not finite, on all ranks alike.
        """
        step = engine.global_steps
        if step % self.every and step > 1:
            return
        import torch

        mine = float(torch.stack(self._losses).float().mean())
        everyone = self.work.ranks.gather((mine, self._tokens))
        self.last = float(np.mean([loss for loss, _ in everyone]))
        if not np.isfinite(self.last):
            raise NotFiniteLoss(self.last, step)
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
        point = {name: value for name, value in point.items() if np.isfinite(value)}
        self.work.tracker.metrics(point, step)
        self.points[step] = {name.removeprefix("train/"): value for name, value in point.items()}
        every = self.work.tracker.config.every_steps
        if step // every > self._sent // every:
            self.work.tracker.flush()
            self._sent = step
        self._losses, self._tokens, self._since = [], 0, now

    def save(self, path: Path) -> None:
        """Write the points as CSV: ``step`` and a column a name, empty where a value was not finite."""
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, ["step", *COLUMNS])
            writer.writeheader()
            writer.writerows({"step": step, **point} for step, point in self.points.items())
