"""The story: seven phases in order, each skipped when it is fresh, the whole of it one MLflow run."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teleclass import space
from teleclass.config import ExperimentConfig, flatten, make_config, parse_arguments, to_arguments, to_yaml
from teleclass.data.dataset import Dataset
from teleclass.dry_run import show_plan
from teleclass.errors import TeleclassError
from teleclass.execution import Phase, read_and_check, run_phases
from teleclass.model.sources import model_digest
from teleclass.phases import augment, encode, evaluate, expand, label, predict, train
from teleclass.publish import log_artifacts, publish_model
from teleclass.runtime.artifacts import Artifacts, file_digest
from teleclass.runtime.console import is_first_rank, log, set_up_console
from teleclass.runtime.devices import set_up_torch
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.facts import run_tags
from teleclass.runtime.launcher import launch, ranks_to_launch, tell_success
from teleclass.runtime.llm import llm_print
from teleclass.runtime.lock import only_writer
from teleclass.runtime.parents import follow_launcher
from teleclass.runtime.processes import Stopped, signals_raise, undisturbed
from teleclass.runtime.summary import say_goodbye
from teleclass.runtime.supervision import Supervisor
from teleclass.runtime.tracking import Tracker
from teleclass.runtime.workplace import Workplace
from teleclass.sections import card_options, label_options, relabelling
from teleclass.sweep import run_seeds

PHASES = (
    Phase(
        "encode",
        encode.run,
        lambda c: (c.encoder,),
        inputs=(),
        outputs=("document_embeddings", "class_embeddings"),
        depends_on=lambda c, data, ranks: [model_digest(c.encoder.model), c.encoder.max_tokens],
        every_rank=True,
        check=lambda c, data, ranks: encode.check(data, c.encoder),
        version=2,
        space=space.encode,
    ),
    Phase(
        "label",
        label.run,
        lambda c: (label_options(c),),
        inputs=("document_embeddings", "class_embeddings"),
        outputs=("pseudo_labels", "label_model", "class_terms", "annotations"),
        depends_on=lambda c, data, ranks: [
            c.labelling, c.decoding, c.enrichment, c.phrases, c.annotation, c.refinement, llm_print(c.llm)
        ],
        check=lambda c, data, ranks: label.check(data, label_options(c)),
        version=2,
        space=space.label,
    ),
    Phase(
        "augment",
        augment.run,
        lambda c: (c.augmentation, c.generation, c.decoding, c.llm),
        inputs=("pseudo_labels", "label_model", "document_embeddings", "class_terms"),
        outputs=("augmented", "augmentation"),
        depends_on=lambda c, data, ranks: [c.augmentation, c.generation, llm_print(c.llm)],
        check=lambda c, data, ranks: augment.check(data, c.augmentation),
        space=space.training_rows,
    ),
    Phase(
        "expand",
        expand.run,
        lambda c: (c.expansion,),
        inputs=("pseudo_labels", "augmented"),
        outputs=("training_set",),
        depends_on=lambda c, data, ranks: c.expansion,
        space=space.training_rows,
    ),
    Phase(
        "train",
        train.run,
        lambda c: (c.training, c.deepspeed_file, relabelling(c)),
        inputs=("training_set", "label_model", "document_embeddings"),
        outputs=("model", "ds_config", "learning_curve"),
        depends_on=lambda c, data, ranks: [
            model_digest(c.training.model), c.training.epochs, c.training.max_tokens, c.training.max_steps, c.seed,
            c.training.packed,
            file_digest(c.deepspeed_file),
            [c.training.self_training_rounds, relabelling(c)] if c.training.self_training_rounds else [],
        ],
        every_rank=True,
        check=lambda c, data, ranks: train.check(data, c.training, c.deepspeed_file, ranks.world_size),
        version=3,
        layout=lambda ranks: ranks.world_size,
        leftovers=("checkpoints",),
        space=space.train,
    ),
    Phase(
        "predict",
        predict.run,
        lambda c: (c.prediction, c.decoding, c.training.max_tokens, c.encoder),
        inputs=("model", "label_model", "document_embeddings"),
        outputs=("predictions", "submission", "class_scores", "classifier_scores", "filing"),
        depends_on=lambda c, data, ranks: [
            c.prediction.classifier_weight, c.prediction.max_tokens or c.training.max_tokens, c.decoding
        ],
        every_rank=True,
        version=3,
        space=space.predict,
    ),
    Phase(
        "evaluate",
        evaluate.run,
        lambda c: (card_options(c),),
        inputs=("predictions", "class_scores", "pseudo_labels", "augmented", "annotations", "learning_curve"),
        outputs=("metrics", "class_metrics", "level_metrics", "report", "figures", "model_card"),
        depends_on=lambda c, data, ranks: evaluate.gold_digest(data),
        version=4,
        check=lambda c, data, ranks: evaluate.check(data),
        space=space.evaluate,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class ExperimentResult:
    """Where an experiment left its results, and its metrics by their MLflow names."""

    output_dir: Path
    submission: Path
    metrics: dict[str, float]


def main(arguments: Sequence[str] | None = None, program: str | None = None) -> int:
    """Parse, maybe start the launcher, run the experiment; returns the exit status."""
    set_up_console()
    set_up_torch()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    follow_launcher()
    try:
        config = parse_arguments(arguments, program)
        n_ranks = ranks_to_launch()
        if config.seeds and not config.dry_run:
            run_seeds(config, arguments, PHASES, read_and_check(PHASES, config, Ranks.from_environment()), n_ranks)
        elif n_ranks > 1 and not config.dry_run:
            return launch(arguments, n_ranks)
        else:
            run_pipeline(config, n_ranks)
    except TeleclassError as error:
        if is_first_rank():
            print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except Stopped:
        return 143
    if is_first_rank():
        tell_success()
    return 0


def run_pipeline(config: ExperimentConfig, n_ranks: int = 1) -> ExperimentResult:
    """Run the phases that are not fresh, on this rank.

    A dry run only prints them, as they would be on ``n_ranks`` that a launcher starts; its result has no metrics.

    Raises
    ------
    TeleclassError : anything the user can mend; all inputs are checked before the first phase starts.
    """
    started = time.perf_counter()
    if config.dry_run:
        show_plan(PHASES, config, n_ranks)
        return _result(config, {})
    ranks = Ranks.from_environment()
    data = read_and_check(PHASES, config, ranks)
    # Before the ranks meet: a second experiment must neither wait for anyone nor touch the logs of the first.
    with only_writer(Path(config.output_dir)) if ranks.is_first else nullcontext():
        return _run_experiment(config, ranks, data, started)


def _run_experiment(config: ExperimentConfig, ranks: Ranks, data: Dataset, started: float) -> ExperimentResult:
    """The whole of it as one MLflow run, in an output folder that is this experiment's alone."""
    log.info("%s", f"{config.data_folder}: {data.taxonomy.summary()}; {data.corpus.summary()}")
    for line in data.mender.summary(data.folder):
        log.info("repaired %s", line)
    if ranks.world_size > 1:
        ranks.connect()
    tracker = Tracker(config.tracking, Path(config.output_dir))
    artifacts = Artifacts(Path(config.output_dir))
    work = Workplace(artifacts, ranks, tracker, config.seed, supervision=config.supervision)
    supervisor = Supervisor(artifacts.folder, ranks, config.supervision)
    status = "FAILED"
    with signals_raise():
        try:
            with supervisor.watching(lambda: tracker.end("FAILED")):
                metrics = _run_and_track(config, data, work, started)
            status = "FINISHED"
        except (KeyboardInterrupt, Stopped):
            status = "KILLED"
            log.info("stopped; the same command goes on from what is complete")
            raise
        except TeleclassError as error:
            if not ranks.is_first:  # rank 0's are printed by main
                print(f"error on rank {ranks.rank}: {error}", file=sys.stderr)
            raise
        finally:
            with undisturbed():
                tracker.end(status)
            ranks.close()
    return _result(config, metrics)


def _run_and_track(config: ExperimentConfig, data: Dataset, work: Workplace, started: float) -> dict[str, float]:
    """Run the phases, and tell MLflow and the terminal what came of them; returns all metrics."""
    ranks, tracker = work.ranks, work.tracker
    tags = run_tags(ranks) | {"preset": config.preset}
    if repairs := data.mender.summary(data.folder):
        tags["repairs"] = "; ".join(repairs)
    if ranks.is_first:
        tracker.end_leftovers()
        tracker.start(flatten(config), tags)
        tracker.metrics({"data/repairs": float(len(data.mender.repairs))} if config.repair else {})
        with work.artifacts.writing("config") as partial:
            partial.write_text(to_yaml(config), "utf-8")
        tracker.artifact(work.artifacts.path("config"))
    run_id = ranks.from_first(tracker.run_id)
    if ranks.local_rank == 0:
        tracker.watch_node(run_id, ranks.node, ranks.n_nodes)
    metrics = run_phases(PHASES, config, data, work)
    if ranks.is_first:
        total = time.perf_counter() - started
        tracker.metrics({"seconds/total": total, "documents_per_second/total": len(data.corpus) / total})
        log_artifacts(work)
        publish_model(work, data.taxonomy, config.tracking.model, config.register)
        say_goodbye(work, metrics, total)
    ranks.barrier()
    return metrics


class TELEClassPipeline:
    """The experiment as a class.

    Parameters
    ----------
    data_dir : folder of taxonomy and documents; the embedded sample when None.
    device_ids : GPUs to use, by their numbers; with several, :meth:`run` starts DeepSpeed's launcher on them.
        None uses this process alone on a CPU, and every visible GPU elsewhere.
    options : any other option of the command line, by its name: ``output_dir="o"``, ``training={"epochs": 1}``.

    Raises
    ------
    TeleclassError : an option that cannot be used.
    """

    def __init__(self, data_dir: str | Path | None = None, device_ids: Sequence[int] | None = None, **options: Any):
        given = {"data_dir": str(data_dir)} if data_dir is not None else {}
        self._options = {**given, **options}
        self.config = make_config(**self._options)
        self.device_ids = None if device_ids is None else [int(number) for number in device_ids]
        if self.device_ids is not None and (not self.device_ids or len(set(self.device_ids)) < len(self.device_ids)):
            raise TeleclassError("device_ids must name at least one device, each once")

    def run(self) -> ExperimentResult:
        """Run the experiment, on several devices in processes of their own.

        With ``seeds`` each runs in processes of its own; the metrics are means and, as ``…_std``, deviations, and the
        submission is the first seed's.

        Raises
        ------
        TeleclassError : the experiment failed; in processes of their own it has said why on standard error.
        """
        set_up_console()
        set_up_torch()
        follow_launcher()
        n_ranks = len(self.device_ids) if self.device_ids is not None else ranks_to_launch()
        if self.config.seeds and not self.config.dry_run:
            data = read_and_check(PHASES, self.config, Ranks())
            first, metrics = run_seeds(self.config, to_arguments(self._options), PHASES, data, n_ranks, self.device_ids)
            return ExperimentResult(Path(self.config.output_dir), first.path("submission"), metrics)
        if self.config.dry_run or (n_ranks == 1 and not self.device_ids):
            return run_pipeline(self.config, n_ranks)
        status = launch(to_arguments(self._options), n_ranks, self.device_ids)
        if status:
            raise TeleclassError(f"the experiment ended with status {status}; its messages say why")
        return _result(self.config, evaluate.read_metrics(Artifacts(Path(self.config.output_dir))))


def _result(config: ExperimentConfig, metrics: dict[str, float]) -> ExperimentResult:
    return ExperimentResult(Path(config.output_dir), Artifacts(Path(config.output_dir)).path("submission"), metrics)
