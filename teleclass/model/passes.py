"""Training within the memory there is: a rank's micro-batch is computed in as many passes as it takes.

The engine's own micro batch and accumulation are fixed when it is made. So a micro-batch that does not fit is split
here, and the engine is told that its gradients are complete at the last pass alone. The loss is a sum over documents
by their weights, so the parts' gradients add up to the whole one's, and steps, batch and schedule stay what they were.

Whether a micro-batch fits is tried before the first step, on the largest one there will be: outside of the engine,
where nothing is half done after a failure and no rank waits in a reduction for one that failed. All ranks then agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from teleclass.errors import MemoryShortageError
from teleclass.model.batching import TokenBatch
from teleclass.model.rank_batches import RankBatches, Share
from teleclass.model.training_set import TrainingDocuments
from teleclass.runtime.memory import is_out_of_memory, release_memory, tell_halving
from teleclass.runtime.workplace import Workplace

ROOM = 256 * 2**20
"""Bytes that are kept free on a GPU while it is tried whether a micro-batch fits: the engine's reduction buffers."""

ADVICE = (
    "give a lower --training.max_tokens, a smaller --training.model or a smaller train_micro_batch_size_per_gpu in the "
    "DeepSpeed file, or end what else uses the device"
)


class Passes:
    """Forward and backward passes of an engine.

    Attributes
    ----------
    number : the passes that a micro-batch is computed in, the same on every rank.
    """

    def __init__(self, engine: Any, work: Workplace, accumulation: int, number: int = 1):
        self.engine = engine
        self.work = work
        self.accumulation = accumulation
        self.number = number

    def fit(self, documents: TrainingDocuments, batches: RankBatches, n_steps: int) -> None:
        """Find how many passes the largest micro-batch of the coming steps takes; every rank must call this.

        Raises
        ------
        MemoryShortageError : a document alone does not fit.
        """
        device = str(self.engine.device)
        heaviest = batches.heaviest(n_steps, is_padded=documents.pad_id is not None)
        while not all(self.work.ranks.gather(self._fits(documents[Share(heaviest, 1.0)]))):
            before = -(-len(heaviest) // self.number)
            if before == 1:
                raise MemoryShortageError(
                    f"training on one document of {documents.tokens.lengths[heaviest].max():,} tokens does not fit "
                    f"into the memory of {device}; {ADVICE}"
                )
            self.number *= 2
            after = -(-len(heaviest) // self.number)
            tell_halving(device, "documents a pass of training", before, after, "; the batch of a step stays")
            self.work.tags["training_passes"] = str(self.number)

    def run(self, arguments: Mapping[str, Any]) -> torch.Tensor:
        """The loss of a micro-batch, without a graph; its gradients are with the engine.

        Raises
        ------
        MemoryShortageError : there was memory for as much before, but now there is not.
        """
        try:
            return self._run(arguments)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        raise MemoryShortageError(
            f"{self.engine.device} ran out of memory in step {self.engine.global_steps + 1:,}, though the largest "
            f"batch had fitted; run the same command again, which tries anew what fits, or {ADVICE}"
        )

    def _run(self, arguments: Mapping[str, Any]) -> torch.Tensor:
        engine = self.engine
        if self.number == 1:
            loss = engine(**arguments)
            engine.backward(loss)
            return loss.detach()
        engine.set_gradient_accumulation_boundary(None)
        is_boundary = engine.is_gradient_accumulation_boundary()
        total = torch.zeros((), device=engine.device)
        for number, part in enumerate(split(arguments, self.number), start=1):
            engine.set_gradient_accumulation_boundary(is_boundary and number == self.number)
            loss = engine(**part)
            engine.backward(loss)
            total += loss.detach()
        return total

    def _fits(self, arguments: Mapping[str, Any]) -> bool:
        """Whether the largest pass of a micro-batch can be computed; the random numbers drawn are given back."""
        device = self.engine.device
        on_gpu = device.type == "cuda"
        parameters = [one for one in self.engine.module.parameters() if one.requires_grad]
        part = split(arguments, self.number)[0]
        try:
            with torch.random.fork_rng(devices=[device] if on_gpu else []):
                room = torch.empty(ROOM if on_gpu else 0, dtype=torch.uint8, device=device)
                held = []
                for _ in range(1 if self.number * self.accumulation == 1 else 2):  # beside gradients of a pass before
                    there = {name: value.to(device) for name, value in part.items()}
                    # Not by a call of the module, whose hooks would make the engine take part.
                    loss = self.engine.module.forward(**there)
                    held.append(torch.autograd.grad(loss, parameters, allow_unused=True))
                del room
            return True
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        release_memory()
        return False


def split(arguments: Mapping[str, Any], number: int) -> list[dict[str, Any]]:
    """A micro-batch in so many parts of nearly equal size, the first the largest.

    Documents are dealt out in turn: they come longest first. Where there are fewer than parts, the first one stands
    in the parts left over, with a weight of zero.
    """
    if number == 1:
        return [dict(arguments)]
    n_documents = len(arguments["weights"])
    parts = []
    for first in range(number):
        rows = np.arange(first, n_documents, number) if first < n_documents else np.zeros(1, dtype=np.int64)
        part: dict[str, Any] = {name: _chosen(value, rows) for name, value in arguments.items()}
        if first >= n_documents:
            part["weights"] = torch.zeros_like(part["weights"])
        parts.append(part)
    return parts


def _chosen(value: torch.Tensor | TokenBatch, rows: np.ndarray) -> torch.Tensor | TokenBatch:
    return value[torch.from_numpy(rows).to(value.device)] if isinstance(value, torch.Tensor) else value.chosen(rows)
