"""How fast this machine computes a model, by timing a few batches of real documents."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from teleclass.model.batching import TokenizedTexts, packed, padded, tokenize, tokens_at_once
from teleclass.runtime.devices import cpu_cores, inference_dtype
from teleclass.runtime.memory import keep_freed_memory

MIN_BATCHES = 3
"""Timed batches at least, unless they take as many times as long as the time for all of them."""


@dataclass(frozen=True)
class Pace:
    """Tokens a second of one process: without gradients on one thread, without gradients, and in training."""

    encode: float
    predict: float
    train: float


def measure_pace(
    encoder: tuple[Path, int],
    classifier: tuple[Path, int],
    texts: Sequence[str],
    n_classes: int,
    device: str,
    micro_batch: int,
    ranks: int = 1,
    seconds: float = 1.0,
) -> Pace:
    """Time encoding, prediction and training for about ``seconds`` each, besides loading and a first batch.

    Parameters
    ----------
    encoder, classifier : a model's folder, and the tokens that are read of a text.
    texts : what the batches are made of, in random order.
    micro_batch : documents of a training step on one rank.
    ranks : processes that share the cores of this machine in training and prediction.
    """
    import torch
    from transformers import AutoTokenizer

    from teleclass.model.classifier import LabelMatchingClassifier
    from teleclass.model.packed import narrow_linear_layers

    kind = device.split(":")[0]
    if kind == "cpu":
        keep_freed_memory()
    before = torch.get_num_threads()
    dtype = inference_dtype(device)
    paces: dict[str, float] = {}
    try:
        for work, (folder, max_tokens) in {"encode": encoder, "predict": classifier, "train": classifier}.items():
            if kind == "cpu":
                torch.set_num_threads(1 if work == "encode" else max(1, cpu_cores() // ranks))
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            tokens = tokenize(tokenizer, texts, max_tokens)
            model: Any = LabelMatchingClassifier.from_backbone(folder, n_classes, 384)
            pad_id = None if model.is_packable else tokenizer.pad_token_id
            size = micro_batch if work == "train" else max(1, tokens_at_once(kind) // int(tokens.lengths.mean()))
            if work == "train":
                model.to(torch.device(device), dtype=dtype).train()
                step = _training_step(model, n_classes, device)
            else:
                if model.is_packable and kind == "cpu":
                    narrow_linear_layers(model.backbone, dtype)
                    model.to(torch.device(device)).eval()
                else:
                    model.to(torch.device(device), dtype=dtype).eval()
                step = _scoring_step(model)
            paces[work] = _tokens_per_second(step, tokens, pad_id, size, device, seconds)
    finally:
        torch.set_num_threads(before)
    return Pace(**paces)


def _scoring_step(model: Any) -> Callable[[Any], None]:
    import torch

    @torch.inference_mode()
    def step(batch: Any) -> None:
        model(batch=batch).float().cpu()

    return step


def _training_step(model: Any, n_classes: int, device: str) -> Callable[[Any], None]:
    """A forward and a backward pass in 16 bits, and the optimizer on fp32 weights, as ZeRO does it on one rank."""
    import torch

    weights = [weight for weight in model.parameters() if weight.requires_grad]
    masters = [weight.detach().float().requires_grad_() for weight in weights]
    optimizer = torch.optim.AdamW(masters, lr=1e-6, fused=True)

    def step(batch: Any) -> None:
        shape = (len(batch), n_classes)
        ones = torch.ones(shape, device=device)
        model(batch=batch, targets=torch.zeros(shape, device=device), counted=ones, weights=ones[:, 0]).backward()
        for weight, master in zip(weights, masters, strict=True):
            master.grad = None if weight.grad is None else weight.grad.float()
            weight.grad = None
        torch.nn.utils.clip_grad_norm_(masters, 1.0)
        optimizer.step()
        with torch.no_grad():
            for weight, master in zip(weights, masters, strict=True):
                weight.copy_(master)

    return step


def _tokens_per_second(
    step: Callable[[Any], None], tokens: TokenizedTexts, pad_id: int | None, size: int, device: str, seconds: float
) -> float:
    """Tokens a second over random batches of ``size`` texts, by the median batch.

    The first batch warms up. The median, as another process may take the cores for one of the few batches.
    """
    import torch

    draw = np.random.default_rng(0)
    paces: list[float] = []
    spent = 0.0
    while spent < seconds or (len(paces) < MIN_BATCHES and spent < MIN_BATCHES * seconds):
        rows = draw.choice(len(tokens), size=size, replace=size > len(tokens))
        batch = (packed(tokens, rows) if pad_id is None else padded(tokens, rows, pad_id)).to(device)
        started = time.perf_counter()
        step(batch)
        if device != "cpu":
            torch.cuda.synchronize(device)
        took = time.perf_counter() - started
        spent += took if paces else 0.0
        paces.append(batch.n_tokens / took)
    return float(np.median(paces[1:] or paces))
