"""train: the same classifier on the same texts, beside the usual loop and beside transformers.Trainer."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.interleave import (
    Measure,
    Method,
    Outcome,
    Round,
    Work,
    cpu_seconds,
    in_turn,
    rank_environments,
    ratio,
    ratio_of_least,
)
from benchmarks.own_training import OwnTraining, TrainingTask
from benchmarks.speed_data import Documents, mean_length
from benchmarks.speed_table import Comparison, Section
from teleclass.runtime.devices import set_up_torch

REFERENCE = "plain loop: padded to the limit, fp32, torch.optim.AdamW"
TRAINER = "transformers.Trainer: padded a batch, grouped by length, fp32"
OWN = "teleclass: DeepSpeed engine, packed"


@dataclass(frozen=True)
class Sizes:
    """Documents a step, steps of a round, and the texts that are drawn from."""

    batch: int = 16
    reference_steps: int = 1
    reference_rounds: int = 2
    trainer_steps: int = 4
    own_steps: int = 12
    own_warm_up: int = 12
    max_tokens: int = 512
    documents: int = 448


MINIATURE = Sizes(
    batch=2, trainer_steps=2, own_steps=2, own_warm_up=1, reference_rounds=1, max_tokens=32, documents=12
)  # fmt: skip


def measure(documents: Documents, model: Path, rounds: int, sizes: Sizes = Sizes()) -> Section:
    """CPU seconds a document of mean length, batch ``sizes.batch``, one thread each."""
    texts = tuple(documents.first(sizes.documents))
    task = TrainingTask(texts, model, documents.n_classes, sizes.max_tokens, sizes.batch)
    outcomes = in_turn(
        [
            Method(
                REFERENCE, partial(reference, task, sizes.reference_steps), rounds=sizes.reference_rounds, rotates=True
            ),
            Method(
                TRAINER,
                partial(trainer, task, sizes.trainer_steps),
                environments=({"DS_ACCELERATOR": "cpu"},),
                rotates=True,
            ),
            Method(
                OWN,
                partial(own, task, sizes.own_warm_up, sizes.own_steps),
                environments=rank_environments(1),
                rotates=True,
            ),
        ],
        rounds,
    )
    section = Section(
        "train", f"{task.n_classes} classes, {sizes.batch} documents a step, cut at {sizes.max_tokens} tokens, 1 thread"
    )
    length = mean_length(texts, model, sizes.max_tokens)
    section.add(outcomes, columns(length))
    section.comparisons += comparisons(outcomes, length)
    section.remarks += [
        f"A document is one of the mean length, {length:.0f} tokens: the steps of a round take documents of other "
        "lengths, so seconds are divided by their tokens first; not in the plain loop, where padding makes all alike.",
        f"A round: {sizes.reference_steps}, {sizes.trainer_steps} and {sizes.own_steps} steps; the first step of a "
        f"Trainer is left out, and so are our first {sizes.own_warm_up}. Each round is on another core.",
        "Targets are three random classes a document.",
    ]
    return section


def cpu_of_mean_length(one: Round, length: float) -> float:
    """CPU seconds a document of ``length`` tokens; a round that tells no tokens has documents that are all alike."""
    return one.cpu_seconds / one.tokens * length if one.tokens else one.cpu_a_document


def columns(length: float) -> dict[str, Callable[[Round], float]]:
    return {
        "CPU ms a document": lambda one: 1000 * cpu_of_mean_length(one, length),
        "documents/s (wall)": lambda one: one.cpu_seconds / cpu_of_mean_length(one, length) / one.wall_seconds,
    }


def comparisons(outcomes: dict[str, Outcome], length: float) -> list[Comparison]:
    """Our speed in times of the peers', by CPU seconds a document."""
    quantity = partial(cpu_of_mean_length, length=length)
    ours = outcomes[OWN]
    return [
        Comparison(name, ratio(ours, peer, quantity), at_least=least, of_least=ratio_of_least(ours, peer, quantity))
        for name, peer, least in (
            ("ours × plain loop, CPU", outcomes[REFERENCE], 22),
            ("ours × Trainer, CPU", outcomes[TRAINER], 2.2),
        )
    ]


def multi_hot(task: TrainingTask) -> np.ndarray:
    """Targets as (documents, classes), float32."""
    targets = np.zeros((len(task.texts), task.n_classes), dtype=np.float32)
    for row, classes in zip(targets, task.targets(), strict=True):
        row[classes] = 1
    return targets


def reference(task: TrainingTask, steps: int) -> Measure:
    """The practice of the published code: every document padded to the limit, fp32, the optimizer's plain loop."""
    import torch

    classifier = task.classifier().train()
    tokenizer = task.tokenizer()
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=5e-5)
    targets = torch.from_numpy(multi_hot(task))
    position = 0

    def step(number: int) -> None:
        nonlocal position
        rows = [(position + offset) % len(task.texts) for offset in range(number)]
        position += number
        texts = [task.texts[row] for row in rows]
        batch = tokenizer(
            texts, padding="max_length", truncation=True, max_length=task.max_tokens, return_tensors="pt"
        )  # fmt: skip
        loss = classifier(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            targets=targets[rows],
            counted=torch.ones(number, task.n_classes),
            weights=torch.full((number,), 1 / number),
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(classifier.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    step(2)  # small: a whole step would take as long as a round

    def train() -> Work:
        for _ in range(steps):
            step(task.batch)
        return Work(task.batch * steps)

    return train


def trainer(task: TrainingTask, steps: int) -> Measure:
    """transformers' Trainer as it would be set up for speed without knowing this model: padding a batch, grouping."""
    import torch
    from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    class WithLoss(torch.nn.Module):
        """The classifier with the arguments that a Trainer hands over, and what it wants back."""

        def __init__(self) -> None:
            super().__init__()
            self.classifier = task.classifier()
            self.tokens = self.documents = 0

        def forward(self, input_ids: Any, attention_mask: Any, labels: Any) -> dict[str, Any]:
            self.documents += len(labels)
            self.tokens += int(attention_mask.sum())
            weights = torch.full((len(labels),), 1 / len(labels))
            return {"loss": self.classifier(input_ids, attention_mask, labels, torch.ones_like(labels), weights)}

    class AfterFirstStep(TrainerCallback):
        """Times every step but the first."""

        work: Work | None = None

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 1:
                model.tokens = model.documents = 0
                self.cpu, self.wall = cpu_seconds(), time.perf_counter()
            elif state.global_step == steps + 1:
                wall, cpu = time.perf_counter() - self.wall, cpu_seconds() - self.cpu
                self.work = Work(model.documents, cpu, wall, model.tokens)

    tokenizer = task.tokenizer()
    encoded = tokenizer(list(task.texts), truncation=True, max_length=task.max_tokens)
    targets = multi_hot(task)
    rows = [
        {"input_ids": ids, "attention_mask": mask, "labels": row}
        for ids, mask, row in zip(encoded["input_ids"], encoded["attention_mask"], targets, strict=True)
    ]
    model = WithLoss()
    folder = tempfile.mkdtemp()  # a Trainer wants one, and writes nothing there
    number = 0

    def train() -> Work:
        nonlocal number
        number += 1
        timing = AfterFirstStep()
        arguments = TrainingArguments(
            output_dir=folder, per_device_train_batch_size=task.batch, max_steps=steps + 1, seed=number,
            train_sampling_strategy="group_by_length", max_grad_norm=1.0, use_cpu=True, report_to=[],
            save_strategy="no", logging_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        loop = Trainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[timing],
        )
        loop.remove_callback(PrinterCallback)
        loop.train()
        if timing.work is None:
            raise RuntimeError("the Trainer took fewer steps than it was told")
        return timing.work

    return train


def own(task: TrainingTask, warm_up: int, steps: int) -> Measure:
    """Our engine; the environment says which rank this is."""
    set_up_torch()
    training = OwnTraining(task)
    training.steps(warm_up)

    def train() -> Work:
        taken = training.steps(steps)
        values = {"loss": taken.loss, "state_bytes": training.optimizer_state_bytes()}
        return Work(taken.documents, tokens=taken.tokens, values=values)

    return train
