"""How long an experiment would take here: an estimate a phase, from what there is to compute and how fast it goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from teleclass.config import ExperimentConfig, parse_arguments
from teleclass.data.dataset import Dataset
from teleclass.data.layout import CORPUS_TERMS
from teleclass.errors import TeleclassError
from teleclass.labelling.class_text import class_views
from teleclass.labelling.selection import DOCUMENTS_PER_PATH
from teleclass.model.embedding import parse_devices
from teleclass.model.sources import find_model
from teleclass.model.tokens import mean_tokens, token_limit
from teleclass.runtime.artifacts import Artifacts
from teleclass.runtime.devices import rank_device
from teleclass.runtime.ds_config import batch_sizes, read_ds_config

SAMPLED = 2000
"""Documents that mean lengths are taken from."""

# Seconds on two idle cores of an AMD EPYC with avx512_bf16 (benchmarks/results/amd_epyc_2_cores.json), where nothing
# else is said: what remains of a phase when its tokens are taken off, which is mostly imports and loading models.
START = 6.0  # the program, checks, MLflow
ENCODER_START = 5.5
TRAIN_START = 5.5
PREDICT_START = 1.5
EVALUATE_START = 0.5
FIT = 1e-7  # soft EM, a document and path; 1.12e-7 of one thread of an EPYC that slowness tells 1.2 of
DECODE = 1e-8  # a document and class, 1.02e-8 there
MINE = 1.5e-7  # phrases and words, a character of the training corpus
REPORT = 1.5e-4  # a filed document
TERM_TOKENS = 30  # of the terms that are encoded for a class
REFERENCE_LOOP = 0.0415
"""Seconds that :func:`slowness` counts on that machine."""
SECOND_WORKER = 0.93
"""Of the pace of one process, what each of several has: 213 documents/s for 115 on two encoder workers."""


@dataclass(frozen=True)
class Workload:
    """What an experiment computes.

    Attributes
    ----------
    fitted, filed : documents that soft EM is fitted on, and that get labels at the end.
    characters : of the texts that terms are mined from.
    encoded_tokens, step_tokens, predicted_tokens : those that are read; of documents and class texts, of a training
        step on all ranks, of the filed documents.
    """

    documents: int
    fitted: int
    filed: int
    characters: int
    classes: int
    paths: int
    encoded_tokens: float
    step_tokens: float
    steps: int
    predicted_tokens: float


@dataclass(frozen=True)
class Speed:
    """How fast it goes here.

    Attributes
    ----------
    encode, predict, train : tokens a second of all processes together.
    worker : tokens a second of one encoder worker.
    slowness : seconds that this machine takes for what takes one on the machine of the constants.
    source : where these figures come from, in words.
    """

    encode: float
    worker: float
    predict: float
    train: float
    slowness: float
    source: str


NOMINAL = Speed(27_000, 14_500, 25_000, 6_000, 1.0, "MiniLM on two cores of an AMD EPYC")
"""The speed of the machine that the constants are from; good for comparing two workloads with each other."""


@dataclass(frozen=True)
class Estimate:
    """Seconds by phase, those around the phases as ``start``, what there is to do, and in words what they rest on."""

    seconds: dict[str, float]
    work: Workload
    source: str

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


def estimate(config: ExperimentConfig, data: Dataset, world_size: int = 1) -> Estimate:
    """Estimate every phase, by measuring the models on some of the documents for about three seconds.

    Time for a language model is not part of it.

    Parameters
    ----------
    world_size : ranks that the experiment would have.

    Raises
    ------
    TeleclassError : a model that cannot be found, a device that is not here, a DeepSpeed file that cannot be used.
    """
    speed = measure_speed(config, data, world_size)
    work = workload(config, data, world_size)
    return Estimate(seconds_of(work, speed), work, speed.source)


def estimate_from_last_run(config: ExperimentConfig, data: Dataset, world_size: int = 1) -> Estimate | None:
    """Estimate by the times that the phases took before in the same output folder.

    Each is scaled by what there is to compute now and what there was then. ``None`` where the folder has no run with
    the same data and models that went through to its end.
    """
    output = Artifacts(Path(config.output_dir))
    file = output.path("config")
    try:
        before = parse_arguments(["--config", str(file)]) if file.exists() else None
    except TeleclassError:  # written by another version
        return None
    if before is None or _compared(before) != _compared(config):
        return None
    then = seconds_of(workload(before, data, world_size), NOMINAL)
    work = workload(config, data, world_size)
    now = seconds_of(work, NOMINAL)
    seconds = {"start": START}
    for name in [name for name in now if name not in seconds]:
        marker = output.marker(name)
        if marker is None:
            return None
        seconds[name] = marker.seconds * now[name] / then[name]
    return Estimate(seconds, work, f"the times of the last run in {config.output_dir}/")


def workload(config: ExperimentConfig, data: Dataset, world_size: int = 1) -> Workload:
    """Count what is to be computed; lengths are means over a sample of the documents."""
    corpus, taxonomy = data.corpus, data.taxonomy
    encoder, classifier = find_model(config.encoder.model), find_model(config.training.model)
    texts = sample(corpus.texts)
    encoded = mean_tokens(encoder, texts, token_limit(encoder, config.encoder.max_tokens))
    trained = mean_tokens(classifier, texts, token_limit(classifier, config.training.max_tokens))
    limit = config.prediction.max_tokens or config.training.max_tokens
    predicted = mean_tokens(classifier, texts, token_limit(classifier, limit))
    views = [text for of_class in class_views(taxonomy) for text in of_class]
    of_views = mean_tokens(encoder, sample(views), token_limit(encoder, config.encoder.max_tokens))
    micro, accumulation = batch_sizes(read_ds_config(config.deepspeed_file), world_size, config.deepspeed_file)
    batch = micro * accumulation * world_size
    # If the documents were spread evenly, so many more would be lent or written for starved classes.
    lent = max(0, config.augmentation.starved_below * len(taxonomy.leaves) - corpus.n_train)
    rows = corpus.n_train + min(lent, corpus.n_train)
    epoch = -(-rows // batch)
    steps = min(epoch * config.training.epochs, config.training.max_steps or epoch * config.training.epochs)
    steps += config.training.self_training_rounds * min(epoch, steps)
    filed = corpus.predicted.stop - corpus.predicted.start
    n_paths = len(taxonomy.paths(config.decoding.stop_at_inner))
    mines = config.enrichment.corpus_terms and not (data.folder / CORPUS_TERMS).exists()
    fit_documents = config.labelling.fit_documents or len(corpus)
    return Workload(
        documents=len(corpus),
        fitted=min(len(corpus), max(fit_documents, DOCUMENTS_PER_PATH * n_paths)),
        filed=filed,
        characters=_mined_characters(config, data) if mines else 0,
        classes=taxonomy.n_classes,
        paths=n_paths,
        encoded_tokens=len(corpus) * encoded + len(views) * of_views,
        step_tokens=min(batch, rows) * trained,
        steps=steps,
        predicted_tokens=filed * predicted,
    )


def seconds_of(work: Workload, speed: Speed) -> dict[str, float]:
    """Seconds by phase, and those of the program around them as ``start``."""
    slow = speed.slowness
    return {
        "start": slow * START,
        "encode": slow * ENCODER_START + work.encoded_tokens / speed.encode,
        "label": slow * (ENCODER_START + FIT * work.fitted * work.paths + DECODE * work.documents * work.classes
                         + MINE * work.characters) + TERM_TOKENS * work.classes / speed.worker,
        "augment": slow * (0.1 + DECODE * work.documents * work.classes),
        "expand": slow * (0.1 + 2e-5 * work.documents),
        "train": slow * TRAIN_START + work.steps * work.step_tokens / speed.train,
        "predict": slow * (PREDICT_START + 2 * DECODE * work.filed * work.classes)
        + work.predicted_tokens / speed.predict,
        "evaluate": slow * (EVALUATE_START + REPORT * work.filed),
    }  # fmt: skip


def measure_speed(config: ExperimentConfig, data: Dataset, world_size: int = 1) -> Speed:
    """Time the configured models on some of the documents, on the devices that the experiment would use."""
    from teleclass.model.probe import measure_pace

    encoder, classifier = find_model(config.encoder.model), find_model(config.training.model)
    workers = parse_devices(config.encoder.devices, world_size)
    device = rank_device(0)
    micro, _ = batch_sizes(read_ds_config(config.deepspeed_file), world_size, config.deepspeed_file)
    started = time.perf_counter()
    pace = measure_pace(
        (encoder, token_limit(encoder, config.encoder.max_tokens)),
        (classifier, token_limit(classifier, config.training.max_tokens)),
        sample(data.corpus.texts, 256 if device == "cpu" else 4096),
        data.taxonomy.n_classes,
        device,
        micro,
        world_size,
    )
    took = time.perf_counter() - started
    return Speed(
        encode=pace.encode * together(len(workers)),
        worker=pace.encode,
        predict=pace.predict * together(world_size),
        train=pace.train * together(world_size),
        slowness=slowness(),
        source=f"the models timed on {world_size} × {device.split(':')[0]} for {took:.0f} s",
    )


def slowness() -> float:
    """Seconds of this machine, as it is now, for one of an idle AMD EPYC's; by a loop of Python's."""
    started = time.perf_counter()
    total = 0
    for number in range(1_000_000):
        total += number * number % 7
    return (time.perf_counter() - started) / REFERENCE_LOOP


def together(processes: int) -> float:
    """How many times as fast several processes are as one."""
    return 1.0 if processes == 1 else processes * SECOND_WORKER


def sample(texts: Sequence[str], size: int = SAMPLED) -> list[str]:
    """Texts that are spread evenly over the list."""
    return [texts[row] for row in np.linspace(0, len(texts) - 1, min(size, len(texts))).astype(int)]


def _mined_characters(config: ExperimentConfig, data: Dataset) -> int:
    """Characters of the documents that terms are mined in."""
    share = min(1.0, config.phrases.max_documents / max(1, data.corpus.n_train))
    return round(share * int(data.corpus.texts.characters[data.corpus.train].sum()))


def _compared(config: ExperimentConfig) -> ExperimentConfig:
    """What must not differ for two runs' times to be comparable."""
    same = ExperimentConfig(data_dir=config.data_dir, max_documents=config.max_documents)
    return replace(
        same,
        encoder=replace(same.encoder, model=config.encoder.model, devices=config.encoder.devices),
        training=replace(same.training, model=config.training.model),
    )
