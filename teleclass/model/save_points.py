"""When a training is saved, and when it stops: the same step on every rank."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from teleclass.model.training_state import TrainingState
from teleclass.runtime.checkpoints import CheckpointFolder
from teleclass.runtime.console import log
from teleclass.runtime.processes import StopRequest

GO_ON, SAVE, STOP = range(3)


class SavePoints:
    """Saves a training every few minutes, at the end of an epoch, and before it obeys a signal.

    Ranks have clocks of their own and may be sent a signal one by one, so after every step they agree on what the most
    urgent of them wants. On GPUs the answer is read a step later, so that no rank waits for the others.

    Parameters
    ----------
    minutes : between two checkpoints; 0 for none but at the end of an epoch and before stopping.
    facts : what a checkpoint is found by later.
    saved : the step of the checkpoint that the training went on from; 0 for none.
    total : steps of the whole training, after which the model is written and no checkpoint.
    """

    def __init__(
        self,
        state: TrainingState,
        folder: CheckpointFolder,
        facts: dict[str, Any],
        minutes: float,
        saved: int,
        total: int,
    ):
        self.state = state
        self.folder = folder
        self.facts = facts
        self.minutes = minutes
        self.saved = saved
        self.total = total
        self._since = time.monotonic()
        self._is_late = state.engine.device.type == "cuda"
        self._asked: Callable[[], int] = lambda: GO_ON

    def after_step(self, request: StopRequest, epoch_has_ended: bool) -> None:
        """Save if it is time to, and obey a signal that any rank was sent; every rank calls this after each step."""
        is_due = 0 < self.minutes * 60 <= time.monotonic() - self._since
        asked = self.state.ranks.begin_maximum(STOP if request.is_made else SAVE if is_due else GO_ON)
        if self._is_late:
            asked, self._asked = self._asked, asked
        answer = asked()
        if answer == GO_ON and epoch_has_ended and self.state.engine.global_steps < self.total:
            answer = SAVE
        self._act(answer, request)

    def end(self, request: StopRequest) -> None:
        """Act on what was asked after the last step."""
        asked, self._asked = self._asked, lambda: GO_ON
        self._act(asked(), request)

    def _act(self, answer: int, request: StopRequest) -> None:
        if answer == GO_ON:
            return
        step = self.state.engine.global_steps
        problem = self._save(step)
        if answer == STOP:
            where = f"after step {self.saved:,}" if self.saved else "at the beginning of the training"
            then = f"which could not be saved ({problem}); the same command goes on {where}" if problem else (
                "which is saved; the same command goes on there")  # fmt: skip
            log.info("  stopped after step %s of %s, %s", f"{step:,}", f"{self.total:,}", then)
            request.obey()
        if problem:
            log.info("  step %s could not be saved (%s); training goes on, and %s", f"{step:,}", problem,
                     f"step {self.saved:,} stays saved" if self.saved else "nothing is saved yet")  # fmt: skip

    def _save(self, step: int) -> str:
        """Returns what went wrong; empty when the step is saved."""
        problem = "" if step == self.saved else self.folder.write(self.facts | {"step": step}, self.state.write)
        if not problem:
            self.saved = step
        self._since = time.monotonic()
        return problem
