"""The train phase's engine and batches on a random model and random token ids."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.cuda_work import Clock, PhaseSizes, forward_flops
from benchmarks.interleave import Measure, Work, rank_environments
from benchmarks.speed_data import random_targets

WARM_UP_STEPS = 10
LOADER_WORKERS = 4
"""As many as the train phase takes on a GPU."""


def train(sizes: PhaseSizes, epochs: int, micro_batch: int = 0, max_steps: int = 0) -> Measure:
    """The train phase's engine and batches, in fp16 with dynamic loss scaling on a GPU and in fp32 elsewhere.

    Parameters
    ----------
    micro_batch : documents a GPU; 0 takes what the DeepSpeed file says.
    max_steps : stop there; 0 takes every epoch whole.
    """
    import torch

    from teleclass.model.optimization import make_optimizer
    from teleclass.model.rank_batches import RankBatches
    from teleclass.runtime.console import quiet_libraries
    from teleclass.runtime.distributed import Ranks, import_deepspeed
    from teleclass.runtime.ds_config import DEFAULT_FILE, batch_sizes, read_ds_config, resolve_ds_config

    os.environ.update(rank_environments(1)[0])
    if not sizes.is_gpu:
        os.environ["DS_ACCELERATOR"] = "cpu"
    Ranks.from_environment().connect()
    deepspeed = import_deepspeed()
    tokens = sizes.tokens()
    content = read_ds_config(DEFAULT_FILE)
    if micro_batch:
        content["train_micro_batch_size_per_gpu"] = micro_batch
    batch, accumulation = batch_sizes(content, 1)
    batches = RankBatches(tokens.lengths, batch, 0, 1, seed=0, accumulation=accumulation)
    steps = min(epochs * batches.n_steps, max_steps or epochs * batches.n_steps)
    settings = resolve_ds_config(
        content, world_size=1, total_steps=steps + WARM_UP_STEPS, supports=lambda _: sizes.is_gpu
    )  # fmt: skip
    classifier = sizes.classifier()
    classifier.to(torch.device(sizes.device))
    engine, *_ = deepspeed.initialize(
        model=classifier, optimizer=make_optimizer(classifier, settings), config=settings.config,
        dist_init_required=False,
    )  # fmt: skip
    quiet_libraries()
    engine.train()
    documents = _Batches(tokens, random_targets(len(tokens), sizes.n_classes), sizes.n_classes)
    loader: Any = torch.utils.data.DataLoader(
        documents,  # type: ignore[arg-type]  # anything with __getitem__ will do
        sampler=batches,
        batch_size=None,
        num_workers=LOADER_WORKERS if sizes.is_gpu else 0,
        pin_memory=sizes.is_gpu,
        persistent_workers=sizes.is_gpu,
    )

    def endless() -> Iterator[dict[str, Any]]:
        while True:
            yield from loader
            batches.epoch += 1

    arguments = endless()

    def take(number: int) -> np.ndarray:
        """Take steps; returns the lengths of the documents."""
        target = engine.global_steps + number
        lengths: list[int] = []
        while engine.global_steps < target:
            on_host = next(arguments)
            lengths.extend(on_host["batch"].lengths)
            engine.backward(engine(**{k: v.to(engine.device, non_blocking=True) for k, v in on_host.items()}))
            engine.step()
        return np.array(lengths)

    take(WARM_UP_STEPS if sizes.is_gpu else 1)

    def measure() -> Work:
        skipped = engine.skipped_steps
        clock = Clock(sizes.device)
        lengths = take(steps)
        flops = 3 * forward_flops(classifier.backbone, lengths)
        return clock.stop(len(lengths), flops, skipped_steps=engine.skipped_steps - skipped, batch=batch)

    return measure


class _Batches:
    """The classifier's arguments by share, as :class:`teleclass.model.training_set.TrainingDocuments`, which needs
    pandas, makes them."""

    def __init__(self, tokens: Any, positives: list[np.ndarray], n_classes: int):
        self.tokens, self.positives, self.n_classes = tokens, positives, n_classes

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, share: Any) -> dict[str, Any]:
        import torch

        from teleclass.model.batching import packed

        targets = torch.zeros(len(share.rows), self.n_classes)
        for target, row in zip(targets, share.rows, strict=True):
            target[self.positives[row]] = 1
        return {
            "batch": packed(self.tokens, share.rows),
            "targets": targets,
            "counted": torch.ones_like(targets),
            "weights": torch.full((len(share.rows),), share.weight),
        }
