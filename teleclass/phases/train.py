"""train: the classifier learns from the training set, by DeepSpeed on every rank."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from teleclass.data.dataset import Dataset
from teleclass.errors import TeleclassError
from teleclass.labelling.decoding import Decoder, DecodingConfig
from teleclass.labelling.label_model import LabelModel
from teleclass.labelling.paths import index_paths
from teleclass.labelling.self_training import relabel
from teleclass.model.rank_batches import RankBatches
from teleclass.model.sources import find_model
from teleclass.model.training import Pace, TrainingConfig, train_until
from teleclass.model.training_set import TrainingDocuments, document_id, training_documents
from teleclass.model.weights import check_model
from teleclass.runtime.artifacts import file_digest, fingerprint
from teleclass.runtime.checkpoints import CheckpointFolder
from teleclass.runtime.console import log, progress
from teleclass.runtime.devices import fast_bf16, inference_dtype, rank_device, share_cores
from teleclass.runtime.ds_config import ResolvedDsConfig, batch_sizes, read_ds_config, resolve_ds_config
from teleclass.runtime.learning_curve import LearningCurve
from teleclass.runtime.workplace import Workplace

if TYPE_CHECKING:  # it imports torch, which finding faults of the input does without
    from teleclass.model.training_state import TrainingState

HEAD_DOCUMENTS = 1024
"""Documents that the classification head's start is fitted on."""


def run(
    work: Workplace, data: Dataset, training: TrainingConfig, ds_file: Path, relabelling: Relabelling
) -> dict[str, float]:
    """Train on every rank and save the model, from rank 0, in fp32."""
    import torch
    from transformers import AutoTokenizer

    from teleclass.model.classifier import LabelMatchingClassifier
    from teleclass.model.optimization import make_engine, seed_all
    from teleclass.model.save_points import SavePoints
    from teleclass.model.training_state import TrainingState

    ranks = work.ranks
    ranks.connect()
    seed_all(work.seed + ranks.rank)
    device = rank_device(ranks.local_rank)
    share_cores(device, ranks.local_world_size)

    folder = find_model(training.model)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    label_model = LabelModel.load(work.artifacts.path("label_model"))
    classifier = LabelMatchingClassifier.from_backbone(
        folder, data.taxonomy.n_classes, label_model.heads[-1].class_vectors.shape[1]
    )
    is_packed = training.packed and classifier.is_packable
    training_set = work.artifacts.path("training_set")
    documents = training_documents(training_set, data, tokenizer, training.max_tokens, is_packed)
    content = read_ds_config(ds_file)
    micro_batch, accumulation = batch_sizes(content, ranks.world_size, ds_file)
    batches = RankBatches(
        documents.tokens.lengths, micro_batch, ranks.rank, ranks.world_size, work.seed, accumulation,
        like_lengths=not is_packed,
    )  # fmt: skip
    epoch = batches.n_steps
    steps = min(epoch * training.epochs, training.max_steps or epoch * training.epochs)
    a_round = min(epoch, steps)
    total_steps = steps + training.self_training_rounds * a_round
    settings = resolve_ds_config(
        content, world_size=ranks.world_size, total_steps=total_steps, supports=supports_of(device),
        on_gpu=device != "cpu", path=ds_file,
    )  # fmt: skip
    if settings.precision_used != settings.precision_asked:
        log.info("  precision: %s asked, %s used: what this device is fast at", settings.precision_asked,
                 settings.precision_used)  # fmt: skip

    classifier.to(torch.device(device))  # type: ignore[arg-type]  # transformers wraps nn.Module.to
    checkpoints = CheckpointFolder(work.artifacts.path("checkpoints"), ranks)
    facts: dict[str, Any] = {"lineage": _lineage(work, settings), "world_size": ranks.world_size}
    found = checkpoints.find(facts["lineage"])
    if ranks.is_first and not found:  # DeepSpeed sends rank 0's weights to the others
        _start_head(work, classifier, documents, label_model, device)
    others = found.facts["world_size"] if found and found.facts["world_size"] != ranks.world_size else 0
    engine = make_engine(classifier, settings, for_other_ranks=others > 0)
    state = TrainingState(engine, documents, batches, LearningCurve(work, training.log_every), ranks, work.seed)
    if found:
        state.put_back(found, last_step=lambda number: steps + number * a_round)
        log.info("  goes on after step %s of %s%s", f"{engine.global_steps:,}", f"{total_steps:,}",
                 f" as saved by {others} rank{'s' * (others > 1)}: a little will differ" if others else "")  # fmt: skip
    save_points = SavePoints(state, checkpoints, facts, training.checkpoint_minutes, engine.global_steps, total_steps)
    pace = Pace()

    def name_of(row: int) -> str:
        return document_id(training_set, row)

    train_until(state, steps + state.round * a_round, training, settings, pace, name_of, save_points)
    while state.round < training.self_training_rounds:
        state.begin_round(_relabelled(work, state, data, label_model, relabelling))
        train_until(state, steps + state.round * a_round, training, settings, pace, name_of, save_points)
    metrics = _summary(work, state, settings, pace)
    metrics["train/documents_at_token_limit"] = float((documents.tokens.lengths >= training.max_tokens).sum())
    _save(work, engine, classifier, tokenizer, data)
    if ranks.is_first:
        with work.artifacts.writing("ds_config") as partial:
            partial.write_text(json.dumps(settings.config | {"optimizer": settings.optimizer}, indent=2), "utf-8")
        with work.artifacts.writing("learning_curve") as partial:
            state.curve.save(partial)
    work.tags.update(precision_asked=settings.precision_asked, precision_used=settings.precision_used)
    engine.destroy()
    return metrics


@dataclass(frozen=True)
class Relabelling:
    """What self-training must know of how labels are decoded, combined and weighted elsewhere."""

    decoding: DecodingConfig
    classifier_weight: float
    weight_floor: float


def check(data: Dataset, training: TrainingConfig, ds_file: Path, world_size: int) -> None:
    """Find the model and read the DeepSpeed file before any work."""
    check_model(find_model(training.model))
    resolve_ds_config(
        read_ds_config(ds_file), world_size=world_size, total_steps=1, supports=lambda _: True, path=ds_file
    )


def _lineage(work: Workplace, settings: ResolvedDsConfig) -> str:
    """What a checkpoint must be of for this training to go on from it; known to rank 0, which looks for one."""
    if not work.ranks.is_first:
        return ""
    files = [file_digest(work.artifacts.path(name)) for name in ("training_set", "label_model")]
    return fingerprint(phase=work.lineage, files=files, precision=settings.precision_used)


def _summary(work: Workplace, state: TrainingState, settings: ResolvedDsConfig, pace: Pace) -> dict[str, float]:
    ranks, engine, loss = work.ranks, state.engine, state.curve.last
    speed = pace.documents * ranks.world_size / max(pace.seconds, 1e-9)
    work.notes.append(
        f"{len(state.documents):,} documents, {engine.global_steps:,} steps of "
        f"{settings.micro_batch * settings.accumulation * ranks.world_size} on {ranks.world_size} × "
        f"{engine.device.type} in {settings.precision_used}, {speed:,.0f} documents/s, loss {loss:.3f}"
    )
    return {
        "documents_per_second/train": speed,
        "train/final_loss": loss,
        "train/steps": float(engine.global_steps),
        "train/total_skipped_steps": float(engine.skipped_steps),
    }


def _relabelled(
    work: Workplace,
    state: TrainingState,
    data: Dataset,
    label_model: LabelModel,
    relabelling: Relabelling,
) -> TrainingDocuments:
    """The documents with new labels for those of the corpus; every rank scores its share and decodes all."""
    from teleclass.model.inference import forward_batches

    engine, documents = state.engine, state.documents
    own = np.flatnonzero(documents.is_corpus)
    mine = own[work.ranks.rank :: work.ranks.world_size]
    engine.module.eval()
    scored = forward_batches(
        lambda batch: engine.module(batch=batch), documents.tokens, mine, pad_id=documents.pad_id,
        device=str(engine.device), dtype=inference_dtype(str(engine.device)),
    )  # fmt: skip
    logits = np.empty((len(own), documents.n_classes), dtype=np.float32)
    for rows, values in (part for parts in work.ranks.gather(list(scored)) for part in parts):
        logits[np.searchsorted(own, rows)] = values
    embeddings = np.load(work.artifacts.path("document_embeddings"), mmap_mode="r")[documents.rows[own]]
    decoder = Decoder(
        data.taxonomy, index_paths(data.taxonomy, relabelling.decoding.stop_at_inner), relabelling.decoding
    )
    found = relabel(embeddings, logits, label_model, decoder, relabelling.classifier_weight, relabelling.weight_floor)
    changed = sum(
        not np.array_equal(new, np.sort(documents.positives[row]))
        for row, new in zip(own, found.positives, strict=True)
    )
    log.info("  self-training round %d: %s of %s documents have new labels", state.round + 1, f"{changed:,}",
             f"{len(own):,}")  # fmt: skip
    return documents.relabelled(own, found.positives, found.ignored, found.weights)


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


def supports_of(device: str) -> Any:
    """Whether a device computes in \"fp16\" or \"bf16\" at speed, as :func:`resolve_ds_config` asks.

    A CPU that has instructions for both is taken to have bf16 alone: it trained 25 documents a second in bf16 and 22 in
    fp16 (Xeon with amx_bf16 and avx512_fp16), and bf16 skips no step for its loss scale.
    """
    from deepspeed.accelerator import get_accelerator

    def supports(precision: str) -> bool:
        if precision == "fp16":
            is_better_in_bf16 = device == "cpu" and fast_bf16(device)
            return bool(get_accelerator().is_fp16_supported()) and not is_better_in_bf16
        return bool(get_accelerator().is_bf16_supported()) and fast_bf16(device)

    return supports
