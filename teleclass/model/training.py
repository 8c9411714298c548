"""The training loop: batches in, optimizer steps by the engine, a learning curve out."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from teleclass.errors import NotFiniteLoss
from teleclass.runtime.console import progress
from teleclass.runtime.ds_config import ResolvedDsConfig
from teleclass.runtime.processes import signals_wait

if TYPE_CHECKING:  # both import torch, which reading the configuration must not
    from teleclass.model.save_points import SavePoints
    from teleclass.model.training_state import TrainingState


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
    packed
        train without padding where the model's kind allows it.
    self_training_rounds
        further passes, each after the training documents were labelled anew by classifier and label model together.
    max_skipped_steps
        optimizer steps that may be skipped one after the other as their gradients are not finite, before the training
        stops; finding the loss scale of fp16 takes up to 32.
    checkpoint_minutes
        minutes between two checkpoints of the training; 0 for none but at the end of each epoch and before it obeys a
        signal to stop.
    """

    model: str = "bundled"
    epochs: int = 3
    max_tokens: int = 128
    max_steps: int = 0
    loader_workers: int = -1
    log_every: int = 10
    packed: bool = True
    self_training_rounds: int = 0
    max_skipped_steps: int = 40
    checkpoint_minutes: float = 10.0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError("training.epochs must be 1 or more")
        if self.max_tokens < 8:
            raise ValueError("training.max_tokens must be 8 or more")
        if self.self_training_rounds < 0:
            raise ValueError("training.self_training_rounds must be 0 or more")
        if self.log_every < 1:
            raise ValueError("training.log_every must be 1 or more")
        if self.max_skipped_steps < 0:
            raise ValueError("training.max_skipped_steps must be 0 or more")
        if not 0 <= self.checkpoint_minutes < float("inf"):
            raise ValueError("training.checkpoint_minutes must be 0 or more")


@dataclass
class Pace:
    """Documents that this rank has trained on, for how many seconds, and the passes that a micro-batch takes."""

    documents: int = 0
    seconds: float = 0.0
    passes: int = 1


def train_until(
    state: TrainingState,
    steps: int,
    training: TrainingConfig,
    settings: ResolvedDsConfig,
    pace: Pace,
    name_of: Callable[[int], str],
    save_points: SavePoints,
) -> None:
    """Train until the engine has taken so many steps in all, with as many documents a pass as fit into memory.

    Parameters
    ----------
    name_of : the id of the document in a row of the training set, for errors.

    Raises
    ------
    TeleclassError : the loss is not finite, too many steps were skipped, or a document alone does not fit into memory.
    Stopped, KeyboardInterrupt : this process or another rank was told to stop; the training has been saved.
    """
    import torch
    from torch.utils.data import DataLoader

    from teleclass.model.numbers import StepWatch
    from teleclass.model.passes import Passes

    engine, batches = state.engine, state.batches
    on_gpu = engine.device.type == "cuda"
    workers = (4 if on_gpu else 0) if training.loader_workers < 0 else training.loader_workers
    watch = StepWatch(batches, training.max_skipped_steps, settings.precision_used, name_of)
    loader: DataLoader = DataLoader(
        state.documents,  # type: ignore[arg-type]  # anything with __getitem__ will do
        sampler=watch,
        batch_size=None,
        num_workers=workers,
        pin_memory=on_gpu,
        persistent_workers=workers > 0,
        worker_init_fn=_outlive_signals,
    )
    engine.train()
    passes = Passes(engine, state.curve.work, settings.accumulation, pace.passes)
    passes.fit(state.documents, batches, steps - engine.global_steps)
    pace.passes = passes.number
    started = time.perf_counter()
    bar = progress(total=steps - engine.global_steps, unit="steps", what="training")
    with signals_wait() as request, bar:
        while engine.global_steps < steps:
            epoch = iter(loader)
            state.put_draws_back()
            for batch in epoch:
                n_tokens = batch["batch"].n_tokens
                arguments = {name: value.to(engine.device, non_blocking=True) for name, value in batch.items()}
                loss = passes.run(arguments)
                at_boundary = engine.is_gradient_accumulation_boundary()
                watch.step(engine)
                pace.documents += len(batch["weights"])
                state.curve.add(loss, n_tokens)
                if at_boundary:
                    bar.update(1)
                    try:
                        state.curve.step(engine, loss_scaling=settings.precision_used == "fp16")
                    except NotFiniteLoss as error:
                        raise watch.explain(error, engine, state.documents, state.ranks) from None
                    epoch_has_ended = batches.advance()
                    is_last = engine.global_steps >= steps
                    if is_last and not epoch_has_ended:
                        batches.end_epoch()
                    save_points.after_step(request, epoch_has_ended or is_last)
                    if is_last:
                        break
        save_points.end(request)
    if on_gpu:
        torch.cuda.synchronize()
    pace.seconds += time.perf_counter() - started


def _outlive_signals(number: int) -> None:
    """A loader's worker leaves signals to the process that trains: a launcher sends them to its children too, and
    without workers it could not finish its step. They end with it.
    """
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
