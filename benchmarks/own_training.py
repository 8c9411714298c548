"""Our training as the train phase does it, step by step: the DeepSpeed engine, packed batches dealt out to ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed_data import random_targets

PLANNED_STEPS = 10_000
"""What the learning rate's schedule counts with; more than are ever taken."""


@dataclass(frozen=True)
class TrainingTask:
    """What every method trains: a classifier of ``n_classes`` over a backbone, on the same texts and targets."""

    texts: tuple[str, ...]
    model: Path
    n_classes: int
    max_tokens: int = 512
    batch: int = 16

    def targets(self) -> list[np.ndarray]:
        return random_targets(len(self.texts), self.n_classes)

    def classifier(self) -> Any:
        """A new classifier; its class vectors, random here, have the width of the backbone as with our encoder."""
        import torch
        from transformers import AutoConfig

        from teleclass.model.classifier import LabelMatchingClassifier

        torch.manual_seed(0)
        width = AutoConfig.from_pretrained(self.model).hidden_size
        return LabelMatchingClassifier.from_backbone(self.model, self.n_classes, width)

    def tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.model, local_files_only=True)


@dataclass
class Taken:
    """What some steps took in."""

    documents: int = 0
    tokens: int = 0
    loss: float = float("nan")


class OwnTraining:
    """The engine and its batches on this rank, which the environment names."""

    def __init__(self, task: TrainingTask):
        from teleclass.model.optimization import make_engine, seed_all
        from teleclass.model.rank_batches import RankBatches
        from teleclass.phases.train import supports_of
        from teleclass.runtime.devices import share_cores
        from teleclass.runtime.distributed import Ranks
        from teleclass.runtime.ds_config import DEFAULT_FILE, batch_sizes, read_ds_config, resolve_ds_config

        self.ranks = Ranks.from_environment()
        self.ranks.connect()
        seed_all(self.ranks.rank)
        # The environment has given this process cores of its own already; ranks of the program divide them up here.
        share_cores("cpu", 1)
        classifier = task.classifier()
        self.documents = _documents(task, classifier.is_packable)
        content = read_ds_config(DEFAULT_FILE) | {"train_micro_batch_size_per_gpu": task.batch}
        micro_batch, accumulation = batch_sizes(content, self.ranks.world_size)
        self.batches = RankBatches(
            self.documents.tokens.lengths, micro_batch, self.ranks.rank, self.ranks.world_size, 0, accumulation,
            like_lengths=not classifier.is_packable,
        )  # fmt: skip
        self.settings = resolve_ds_config(
            content, world_size=self.ranks.world_size, total_steps=PLANNED_STEPS, supports=supports_of("cpu")
        )
        self.engine = make_engine(classifier, self.settings)
        self.engine.train()
        self._arguments = self._endless()

    def steps(self, number: int) -> Taken:
        """Take so many optimizer steps."""
        taken = Taken()
        target = self.engine.global_steps + number
        while self.engine.global_steps < target:
            arguments = next(self._arguments)
            loss = self.engine(**arguments)
            self.engine.backward(loss)
            self.engine.step()
            taken.documents += len(arguments["weights"])
            taken.tokens += arguments["batch"].n_tokens
            taken.loss = float(loss.detach())
        return taken

    def optimizer_state_bytes(self) -> int:
        """Bytes that the optimizer keeps on this rank between steps."""
        import torch

        states = self.engine.optimizer.optimizer.state.values()
        tensors = [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def _endless(self) -> Iterator[dict[str, Any]]:
        while True:
            for share in self.batches:
                yield self.documents[share]
            self.batches.epoch += 1


def _documents(task: TrainingTask, is_packed: bool) -> Any:
    from teleclass.model.batching import Ragged, tokenize
    from teleclass.model.training_set import TrainingDocuments

    tokenizer = task.tokenizer()
    nothing = np.zeros(0, dtype=int)
    return TrainingDocuments(
        tokens=tokenize(tokenizer, task.texts, task.max_tokens),
        rows=np.arange(len(task.texts)),
        is_corpus=np.ones(len(task.texts), dtype=bool),
        positives=Ragged.of(task.targets()),
        ignored=Ragged.of([nothing] * len(task.texts)),
        weights=np.ones(len(task.texts), dtype=np.float32),
        n_classes=task.n_classes,
        pad_id=None if is_packed else tokenizer.pad_token_id,
    )
