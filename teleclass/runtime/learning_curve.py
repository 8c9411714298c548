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

    def state(self) -> dict[str, Any]:
        """What all ranks know of the curve so far, as JSON holds it."""
        return {"points": {str(step): point for step, point in self.points.items()}, "last": self.last}

    def pending(self) -> dict[str, Any]:
        """What this rank has taken in since the newest point."""
        import torch

        losses = torch.stack(self._losses).cpu() if self._losses else None
        return {"losses": losses, "tokens": self._tokens, "seconds": time.perf_counter() - self._since}

    def put_back(self, state: dict[str, Any], pending: dict[str, Any] | None, step_ratio: float, device: Any) -> None:
        """Go on with the curve of a run that was stopped, which the tracker is told of once more.

        Parameters
        ----------
        state, pending : as given by :meth:`state` and :meth:`pending`; without the latter a new point begins.
        step_ratio : steps of now to steps of then, where another number of ranks counts them.
        device : where losses are.
        """
        points = {max(1, round(int(step) * step_ratio)): point for step, point in state["points"].items()}
        self.points, self.last = points, state["last"]
        for step, point in points.items():
            self.work.tracker.metrics({f"train/{name}": value for name, value in point.items()}, step)
        self._sent = max(points, default=0)
        self.work.tracker.flush()
        self._since = time.perf_counter()
        if pending and pending["losses"] is not None:
            self._losses = list(pending["losses"].to(device))
            self._tokens = pending["tokens"]
            self._since -= pending["seconds"]

    def save(self, path: Path) -> None:
        """Write the points as CSV: ``step`` and a column a name, empty where a value was not finite."""
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, ["step", *COLUMNS])
            writer.writeheader()
            writer.writerows({"step": step, **point} for step, point in self.points.items())
