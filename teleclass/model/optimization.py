"""DeepSpeed's engine, the optimizer, and the seeds of all draws."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from teleclass.runtime.console import quiet_libraries
from teleclass.runtime.distributed import import_deepspeed
from teleclass.runtime.ds_config import ResolvedDsConfig


def make_engine(classifier: Any, settings: ResolvedDsConfig, for_other_ranks: bool = False) -> Any:
    """DeepSpeed's engine around a classifier and our optimizer; the ranks must be connected.

    Parameters
    ----------
    for_other_ranks : whether it is to load a checkpoint that another number of ranks wrote; where ZeRO has not divided
        the optimizer's state, such a checkpoint is like any other.
    """
    is_divided = settings.config.get("zero_optimization", {}).get("stage", 0) > 0
    more = {"checkpoint": {"load_universal": True}} if for_other_ranks and is_divided else {}
    engine, *_ = import_deepspeed().initialize(
        model=classifier,
        optimizer=make_optimizer(classifier, settings),
        config=settings.config | more,
        dist_init_required=False,
    )
    quiet_libraries()
    if getattr(engine.optimizer, "compute_grad_norm", False) and not engine.optimizer.cpu_offload:
        take_shortcuts(engine)
    return engine


def take_shortcuts(engine: Any) -> None:
    """Leave out what ZeRO does twice or for nothing; the weights stay the same to the bit."""
    optimizer = engine.optimizer
    optimizer.check_overflow = _leave_it_to_the_norm
    is_sent_as_it_is = engine.communication_data_type == optimizer.dtype
    if engine.world_size == 1 and is_sent_as_it_is and not optimizer.partition_gradients:
        optimizer.average_tensor = _nothing_to_average
    averages = engine.world_size > 1 and getattr(optimizer, "gradient_average", False)
    if averages and engine.device.type == "cpu" and optimizer.dtype is not torch.float16:
        # In fp16 smaller gradients would want a larger loss scale, which takes hundreds of steps to grow.
        optimizer.gradient_average = False
        engine.backward = partial(_share_of_mean, engine.backward, engine.world_size)
    if engine.device.type == "cpu":
        optimizer._get_preflattened_grad_partition = KeptGradients(optimizer)


class KeptGradients:
    """A step's gradients of this rank's weights, in fp32, one after the other in memory that is kept, for a CPU.

    ZeRO asks for them so, in case they lie there already. Else it joins them in 16 bits and makes fp32 of that, in new
    memory each time: where the C library has given the last step's to something else meanwhile, the kernel maps and
    zeroes pages, 43 ms for 22.9 million weights that are copied in 11. On a GPU memory would be full of them in
    the backward pass.
    """

    def __init__(self, optimizer: Any):
        self._optimizer = optimizer
        self._given = optimizer._get_preflattened_grad_partition
        self._kept: dict[int, torch.Tensor] = {}

    def __call__(self, group: int) -> torch.Tensor:
        """Those of a group of parameters, (weights of the partition,); what fills a partition up is zero."""
        given = self._given(group)
        if given is not None:
            return given
        if group not in self._kept:
            self._kept[group] = torch.empty_like(self._optimizer.single_partition_of_fp32_groups[group].detach())
        kept, start = self._kept[group], 0
        for gradient in self._optimizer.averaged_gradients[group]:
            stop = start + gradient.numel()
            kept[start:stop].copy_(gradient.reshape(-1))
            start = stop
        kept[start:].zero_()
        return kept


def _leave_it_to_the_norm(partition_gradients: bool = True) -> None:
    """In place of a look through every gradient for what is not finite: ZeRO finds it in their norm too, right after.

    Two reductions of each weight's gradient, 1.2 of 55 ms a document (MiniLM, 16 documents a step, a CPU's thread).
    """


def _nothing_to_average(tensor: torch.Tensor, communication_data_type: torch.dtype) -> None:
    """In place of dividing one process's gradients by 1 and sending them to itself: 8 of 560 ms a step of MiniLM."""


def _share_of_mean(backward: Callable[..., Any], world_size: int, loss: torch.Tensor, **options: Any) -> Any:
    """Gradients of a rank's loss, whose sum over ranks is the mean: its division is one of a number, not of 46 MB.

    3.4 of 590 ms a step (MiniLM, two ranks on an EPYC).
    """
    return backward(loss / world_size, **options)


def make_optimizer(classifier: Any, settings: ResolvedDsConfig) -> Any:
    """torch's fused AdamW: ten times the default loop on a CPU, and nothing to compile on a GPU."""
    values = settings.optimizer["params"]
    decayed = [p for p in classifier.parameters() if p.ndim > 1]
    others = [p for p in classifier.parameters() if p.ndim <= 1]
    kind = torch.optim.AdamW if settings.optimizer["type"] == "AdamW" else torch.optim.Adam
    return kind(
        [{"params": decayed, "weight_decay": values["weight_decay"]}, {"params": others, "weight_decay": 0.0}],
        lr=values["lr"],
        betas=tuple(values["betas"]),
        eps=values["eps"],
        fused=True,
    )


def seed_all(seed: int) -> None:
    """Seed Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
