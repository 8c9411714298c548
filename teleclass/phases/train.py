"""train: the classifier learns from the training set, by DeepSpeed on every rank."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from teleclass.data.dataset import Dataset
from teleclass.errors import TeleclassError
from teleclass.labelling.label_model import LabelModel
from teleclass.model.batching import RankBatches
from teleclass.model.sources import find_model
from teleclass.model.training_set import TrainingDocuments, training_documents
from teleclass.runtime.console import log, progress, quiet_libraries
from teleclass.runtime.devices import cpu_cores, fast_bf16, inference_dtype, rank_device
from teleclass.runtime.distributed import import_deepspeed
from teleclass.runtime.ds_config import ResolvedDsConfig, batch_sizes, read_ds_config, resolve_ds_config
from teleclass.runtime.learning_curve import LearningCurve
from teleclass.runtime.memory import peak
from teleclass.runtime.workplace import Workplace

HEAD_DOCUMENTS = 1024
"""Documents that the classification head's start is fitted on."""


@dataclass(frozen=True)
class TrainingConfig:
    """The classifier's training; batch, optimizer, schedule and precision are in the DeepSpeed file.

    Parameters
    ----------
    model
        the BERT to fine-tune: "bundled", a folder, or a name on the Hugging Face hub.
    epochs
        passes over the training set.
    max_tokens
        documents are cut here.
    max_steps
        stop after so many optimizer steps; 0 for no limit.
    loader_workers
        processes that build batches, a rank; -1 takes 4 on a GPU and none on a CPU, where they would
        only take its cores.
    log_every
        optimizer steps between two points of the learning curve.
    """

    model: str = "bundled"
    epochs: int = 3
    max_tokens: int = 128
    max_steps: int = 0
    loader_workers: int = -1
    log_every: int = 10

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError("training.epochs must be 1 or more")
        if self.max_tokens < 8:
            raise ValueError("training.max_tokens must be 8 or more")
        if self.log_every < 1:
            raise ValueError("training.log_every must be 1 or more")


def run(work: Workplace, data: Dataset, training: TrainingConfig, ds_file: Path) -> dict[str, float]:
    """Train on every rank and save the model, from rank 0, in fp32."""
    import torch
    from transformers import AutoTokenizer

    from teleclass.model.classifier import LabelMatchingClassifier

    ranks = work.ranks
    ranks.connect()
    deepspeed = import_deepspeed()
    _seed(work.seed + ranks.rank)
    device = rank_device(ranks.local_rank)
    if device == "cpu":
        torch.set_num_threads(max(1, cpu_cores() // ranks.local_world_size))

    folder = find_model(training.model)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    table = pd.read_parquet(work.artifacts.path("training_set"))
    documents = training_documents(table, data, tokenizer, training.max_tokens)
    label_model = LabelModel.load(work.artifacts.path("label_model"))
    content = read_ds_config(ds_file)
    micro_batch, accumulation = batch_sizes(content, ranks.world_size, ds_file)
    batches = RankBatches(
        documents.tokens.lengths, micro_batch, ranks.rank, ranks.world_size, work.seed, multiple=accumulation
    )
    steps = len(batches) // accumulation * training.epochs
    steps = min(steps, training.max_steps) if training.max_steps else steps
    settings = resolve_ds_config(
        content, world_size=ranks.world_size, total_steps=steps, supports=_supports(device), path=ds_file
    )
    if settings.precision_used != settings.precision_asked:
        log.info("  precision: %s asked, %s used: what this device is fast at", settings.precision_asked,
                 settings.precision_used)  # fmt: skip

    classifier = LabelMatchingClassifier.from_backbone(
        folder, data.taxonomy.n_classes, label_model.heads[-1].class_vectors.shape[1]
    )
    classifier.to(torch.device(device))  # type: ignore[arg-type]  # transformers wraps nn.Module.to
    if ranks.is_first:  # DeepSpeed sends rank 0's weights to the others
        _start_head(work, classifier, documents, label_model, device)
    engine, *_ = deepspeed.initialize(
        model=classifier, optimizer=_optimizer(classifier, settings), config=settings.config, dist_init_required=False
    )
    quiet_libraries()
    metrics = _train(work, engine, documents, batches, steps, training, settings)
    _save(work, engine, classifier, tokenizer, data)
    if ranks.is_first:
        with work.artifacts.writing("ds_config") as partial:
            partial.write_text(json.dumps(settings.config | {"optimizer": settings.optimizer}, indent=2), "utf-8")
    for rank, memory in enumerate(ranks.gather(peak())):
        metrics[f"gpu_memory_mb/train/rank_{rank}"] = memory.gpu_mb
    work.tags.update(precision_asked=settings.precision_asked, precision_used=settings.precision_used)
    engine.destroy()
    return metrics


def check(data: Dataset, training: TrainingConfig, ds_file: Path, world_size: int) -> None:
    """Find the model and read the DeepSpeed file before any work."""
    find_model(training.model)
    resolve_ds_config(
        read_ds_config(ds_file), world_size=world_size, total_steps=1, supports=lambda _: True, path=ds_file
    )


def _train(
    work: Workplace,
    engine: Any,
    documents: TrainingDocuments,
    batches: RankBatches,
    steps: int,
    training: TrainingConfig,
    settings: ResolvedDsConfig,
) -> dict[str, float]:
    import torch
    from torch.utils.data import DataLoader

    ranks = work.ranks
    on_gpu = engine.device.type == "cuda"
    workers = (4 if on_gpu else 0) if training.loader_workers < 0 else training.loader_workers
    loader: DataLoader = DataLoader(
        range(len(documents)),  # type: ignore[arg-type]
        batch_sampler=batches,
        collate_fn=documents.batch,
        num_workers=workers,
        pin_memory=on_gpu,
        persistent_workers=workers > 0,
    )
    engine.train()
    started = time.perf_counter()
    curve = LearningCurve(work, training.log_every)
    seen = 0
    with progress(total=steps, unit="steps", what="training") as bar:
        while engine.global_steps < steps:
            for batch in loader:
                arguments = {name: tensor.to(engine.device, non_blocking=True) for name, tensor in batch.items()}
                loss = engine(**arguments)
                engine.backward(loss)
                at_boundary = engine.is_gradient_accumulation_boundary()
                engine.step()
                seen += len(batch["weights"])
                curve.add(loss.detach(), int(batch["attention_mask"].sum()))
                if at_boundary:
                    bar.update(1)
                    curve.step(engine, loss_scaling=settings.precision_used == "fp16")
                    if engine.global_steps >= steps:
                        break
            batches.epoch += 1
    if on_gpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    speed = seen * ranks.world_size / seconds
    work.notes.append(
        f"{len(documents):,} documents, {engine.global_steps:,} steps of "
        f"{settings.micro_batch * settings.accumulation * ranks.world_size} on {ranks.world_size} × "
        f"{engine.device.type} in {settings.precision_used}, {speed:,.0f} documents/s, loss {curve.last:.3f}"
    )
    return {
        "documents_per_second/train": speed,
        "train/final_loss": curve.last,
        "train/steps": float(engine.global_steps),
        "train/total_skipped_steps": float(engine.skipped_steps),
    }


def _start_head(
    work: Workplace, classifier: Any, documents: TrainingDocuments, label_model: LabelModel, device: str
) -> None:
    from teleclass.model.head import start_head
    from teleclass.model.inference import forward_batches

    head = label_model.heads[-1]
    own = np.flatnonzero(documents.rows >= 0)
    if not len(own):
        return  # generated documents alone have no embeddings to start from: the head stays random
    some = np.sort(np.random.default_rng(work.seed).permutation(own)[:HEAD_DOCUMENTS])
    features = np.empty((len(some), classifier.backbone.config.hidden_size), dtype=np.float32)
    classifier.eval()
    batches = forward_batches(
        classifier.document_features, documents.tokens, some,
        pad_id=documents.pad_id, device=device, dtype=inference_dtype(device),
    )  # fmt: skip
    with progress(total=len(some), unit="documents", what="starting the head") as bar:
        for rows, values in batches:
            features[np.searchsorted(some, rows)] = values
            bar.update(len(rows))
    embeddings = np.load(work.artifacts.path("document_embeddings"), mmap_mode="r")
    start_head(
        classifier,
        features,
        head.documents(embeddings[documents.rows[some]]),
        head.class_vectors,
        documents.targets(some)[0],
    )


def _optimizer(classifier: Any, settings: ResolvedDsConfig) -> Any:
    """torch's fused AdamW: ten times the default loop on a CPU, and nothing to compile on a GPU."""
    import torch

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


def _save(work: Workplace, engine: Any, classifier: Any, tokenizer: Any, data: Dataset) -> None:
    """Save DeepSpeed's fp32 master weights, not the 16-bit copies; every rank must take part in gathering them."""
    import torch
    from deepspeed.utils import safe_get_full_fp32_param

    weights = {}
    for name, parameter in classifier.named_parameters():
        full = safe_get_full_fp32_param(parameter)
        weights[name] = (parameter if full is None else full).detach().float().cpu().clone()
    for name, buffer in classifier.named_buffers():
        if name in classifier.state_dict():
            weights[name] = buffer.detach().cpu().clone()
    if work.ranks.is_first:
        broken = [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]
        if broken:
            raise TeleclassError(f"training ended with weights that are not finite, the first is {broken[0]}")
        with work.artifacts.writing("model") as partial:
            classifier.save_pretrained(partial, state_dict=weights)
            tokenizer.save_pretrained(partial)
            _correct_dtype(partial / "config.json")
            taxonomy = data.taxonomy
            described = {"ids": taxonomy.ids, "names": taxonomy.names, "edges": sorted(taxonomy.graph.edges)}
            (partial / "taxonomy.json").write_text(json.dumps(described, indent=1), "utf-8")
    work.ranks.barrier()


def _correct_dtype(config_file: Path) -> None:
    """The weights are fp32 whatever precision they were trained in; transformers writes the module's own."""
    content = json.loads(config_file.read_text("utf-8"))
    content["dtype"] = "float32"
    config_file.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def _supports(device: str) -> Any:
    from deepspeed.accelerator import get_accelerator

    def supports(precision: str) -> bool:
        if precision == "fp16":
            return bool(get_accelerator().is_fp16_supported())
        return bool(get_accelerator().is_bf16_supported()) and fast_bf16(device)

    return supports


def _seed(seed: int) -> None:
    import random

    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
