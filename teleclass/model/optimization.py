"""The optimizer, and the seeds of all draws."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from teleclass.runtime.ds_config import ResolvedDsConfig


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
