"""Numbers that are no numbers: the document behind a loss that is not finite, and steps skipped in a row."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from teleclass.errors import NotFiniteLoss, TeleclassError
from teleclass.runtime.console import log

if TYPE_CHECKING:
    from teleclass.model.rank_batches import RankBatches, Share
    from teleclass.model.training_set import TrainingDocuments
    from teleclass.runtime.distributed import Ranks

RECENT = 256
"""Micro-batches that are looked through for the document behind a loss that is not finite."""

ADVICE = "lower optimizer.params.lr in the DeepSpeed file"


class StepWatch:
    """Watches a training on one rank.

    Parameters
    ----------
    limit : steps that may be skipped one after the other, as their gradients are not finite.
    precision : "fp16", where the loss scale is halved at a skipped step and the next ones may do better; "bf16" or
        "fp32", where DeepSpeed would skip for ever without a word.
    name_of : the id of the document in a row of the training set.
    """

    def __init__(self, batches: RankBatches, limit: int, precision: str, name_of: Callable[[int], str]):
        self.in_a_row = 0
        self._batches, self._limit, self._precision, self._name_of = batches, limit, precision, name_of
        self._coming: deque[np.ndarray] = deque()
        self._recent: deque[np.ndarray] = deque(maxlen=RECENT)
        self._has_said = False

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Share]:
        """The shares of the batches, which a loader takes ahead of the training; :meth:`step` follows them."""
        self._coming.clear()
        for share in self._batches:
            self._coming.append(share.rows)
            yield share

    def step(self, engine: Any) -> None:
        """Have the engine take its step, or accumulate a micro-batch.

        Raises
        ------
        TeleclassError : too many steps in a row were skipped, or the loss scale can fall no further.
        """
        self._recent.append(self._coming.popleft())
        steps, skipped = engine.global_steps, engine.skipped_steps
        try:
            engine.step()
        except Exception as error:
            if "loss scale already at minimum" not in str(error):
                raise
            raise self._too_many(engine, "the loss scale is at its minimum") from None
        if engine.global_steps == steps:
            return
        self.in_a_row = self.in_a_row + 1 if engine.skipped_steps > skipped else 0
        if self.in_a_row and self._precision != "fp16" and not self._has_said:
            self._has_said = True
            log.info("  step %s is skipped: its gradients are not finite", f"{engine.global_steps:,}")
        if self.in_a_row > self._limit:
            raise self._too_many(engine, f"{self.in_a_row} steps in a row were skipped")

    def explain(self, error: NotFiniteLoss, engine: Any, documents: TrainingDocuments, ranks: Ranks) -> TeleclassError:
        """The error with the document's id where one document is behind it; every rank must call this."""
        found = [one for one in ranks.gather(self._suspect(engine, documents)) if one]
        if not found:
            return error
        return TeleclassError(
            f"the training loss is {error.loss} at step {error.step}: document {found[0]!r} gives no finite score; "
            f"remove it, or {ADVICE}"
        )

    def _suspect(self, engine: Any, documents: TrainingDocuments) -> str:
        """The id of a recent document of this rank without a finite score; empty where all or none are so."""
        import torch

        from teleclass.model.rank_batches import Share

        engine.module.eval()
        is_broken: dict[int, bool] = {}
        with torch.no_grad():
            for rows in reversed(self._recent):
                batch = documents[Share(rows, 1.0)]["batch"].to(engine.device)
                scores = torch.isfinite(engine.module(batch=batch)).all(dim=1).cpu().numpy()
                finite = scores & np.isfinite(documents.weights[rows])
                is_broken |= dict(zip(rows.tolist(), (~finite).tolist(), strict=True))
        broken = [row for row, one in is_broken.items() if one]
        return "" if len(broken) in (0, len(is_broken)) else self._name_of(broken[0])

    def _too_many(self, engine: Any, what: str) -> TeleclassError:
        return TeleclassError(
            f"the gradients are not finite: {what} up to step {engine.global_steps}, in {self._precision}; {ADVICE}, "
            "or give training.max_skipped_steps a higher limit"
        )
