"""evaluate: predictions and pseudo labels against gold, where it is given. No other module reads gold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from teleclass.data.dataset import Dataset
from teleclass.data.gold import gold_documents, gold_file, read_gold
from teleclass.data.spreadsheet import guarded, unguarded
from teleclass.errors import TeleclassError
from teleclass.labelling.errors_in_taxonomy import taxonomy_errors
from teleclass.labelling.label_sets import LabelSets
from teleclass.labelling.metrics import (
    calibration_error,
    class_table,
    example_f1,
    example_f1_of,
    level_table,
    path_consistency,
    ranking_metrics,
    reliability,
    set_metrics,
)
from teleclass.phases.evaluate_inputs import Predictions, gold_of, read_predictions
from teleclass.report.card import CardOptions, model_card
from teleclass.report.values import AgainstGold, RunValues
from teleclass.runtime.artifacts import Artifacts, file_digest
from teleclass.runtime.parquet import read_column, starts_of
from teleclass.runtime.workplace import Workplace

BEFORE = ("encode", "label", "augment", "expand", "train", "predict")
"""The phases whose markers the report reads."""


def run(work: Workplace, data: Dataset, card: CardOptions) -> dict[str, float]:
    """Write ``metrics.json``, the tables by class and by level, the report with its figures, and the model card."""
    artifacts, taxonomy = work.artifacts, data.taxonomy
    predictions = read_predictions(artifacts.path("predictions"), taxonomy)
    predicted = predictions.labels.as_sets
    metrics = {
        "test/path_consistency": path_consistency(predicted, taxonomy),
        "test/mean_confidence": float(predictions.margin.mean()),
    }
    metrics |= _pseudo_label_metrics(work, data)

    against = _against_gold(data, predictions)
    by_class: Mapping[str, list] = {"class": []}
    by_level: Mapping[str, list] = {"level": []}
    if against is not None:
        chosen = predictions.labels.chosen(against.rows).as_sets
        scores = np.load(artifacts.path("class_scores"), mmap_mode="r")
        found = set_metrics(chosen, against.labels, taxonomy) | ranking_metrics(scores, against.labels, against.rows)
        metrics |= {f"test/{name}": value for name, value in found.items()}
        # over all documents, those without gold too
        metrics["test/path_consistency"] = path_consistency(predicted, taxonomy)
        metrics["test/documents_with_gold"] = float(len(against.rows))
        metrics["test/calibration_error"] = calibration_error(against.reliability)
        by_class, by_level = against.by_class, against.by_level
        work.notes.append(f"{len(against.rows):,} documents with gold, Example-F1 {metrics['test/example_f1']:.4f}")
    else:
        work.notes.append("no gold labels given")
    with artifacts.writing("class_metrics") as partial:
        _for_spreadsheets(pd.DataFrame(by_class)).to_csv(partial, index=False)
    with artifacts.writing("level_metrics") as partial:
        pd.DataFrame(by_level).to_csv(partial, index=False)
    _write_report(work, _run_values(work, data, metrics, predictions, against), card)
    with artifacts.writing("metrics") as partial:
        partial.write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n", "utf-8")
    return metrics


def _against_gold(data: Dataset, predictions: Predictions) -> AgainstGold | None:
    """The predicted documents that have gold, and how right each of their labels is; None where there are none."""
    gold = gold_of(data, "test" if data.corpus.n_test else "train")
    if not len(gold.rows):
        return None
    taxonomy, truth = data.taxonomy, gold.labels.as_sets
    labels = predictions.labels.chosen(gold.rows)
    errors = taxonomy_errors(labels.as_sets, truth, taxonomy)
    is_right = (node in right for nodes, right in zip(labels, truth, strict=True) for node in nodes)
    places = LabelSets(np.arange(len(predictions.scores)), predictions.labels.starts).chosen(gold.rows).classes
    return AgainstGold(
        rows=gold.rows,
        labels=truth,
        f1=example_f1_of(labels.as_sets, truth),
        kinds=errors.kinds,
        wrong_classes=errors.wrong_classes,
        confused=errors.confused,
        reliability=reliability(predictions.scores[places], np.fromiter(is_right, dtype=bool)),
        by_class=class_table(labels.as_sets, truth, taxonomy),
        by_level=level_table(labels.as_sets, truth, taxonomy),
    )


def _pseudo_label_metrics(work: Workplace, data: Dataset) -> dict[str, float]:
    gold = gold_of(data, "train")
    if not len(gold.rows):
        return {}
    file = work.artifacts.path("pseudo_labels")
    counts = np.bincount(read_column(file, "row").astype(np.int64), minlength=data.corpus.n_train)
    labels = LabelSets(read_column(file, "class_position").astype(np.int32), starts_of(counts))
    found = set_metrics(labels.chosen(gold.rows).as_sets, gold.labels.as_sets, data.taxonomy)
    metrics = {f"label/{name}": found[name] for name in ("example_f1", "micro_f1", "macro_f1")}
    asked = pd.read_parquet(work.artifacts.path("annotations"), columns=["row", "candidates", "core_classes"])
    position = data.taxonomy.position
    place_of = dict(zip(gold.rows.tolist(), range(len(gold.rows)), strict=True)) if len(asked) else {}
    rows = [(one, gold.labels.as_sets[place_of[one.row]]) for one in asked.itertuples() if one.row in place_of]
    recalls = [
        len(right & {position[number] for number in one.candidates}) / len(right)
        for one, right in rows
        if len(one.candidates)
    ]
    if recalls:
        metrics["label/candidate_recall"] = float(np.mean(recalls))
    core = [
        (data.taxonomy.close({position[number] for number in one.core_classes}), right)
        for one, right in rows
        if len(one.core_classes)
    ]
    if core:
        metrics["label/core_classes_example_f1"] = example_f1(*zip(*core, strict=True))
    return metrics


def _write_report(work: Workplace, run: RunValues, card: CardOptions) -> None:
    """``report.html``, its figures as files, and the model card."""
    from teleclass.report.assemble import assemble
    from teleclass.report.page import render

    report = assemble(run)
    with work.artifacts.writing("figures") as partial:
        partial.mkdir()
        for figure in report.figures:
            (partial / f"{figure.key}.svg").write_text(figure.svg, "utf-8")
    with work.artifacts.writing("report") as partial:
        partial.write_text(render(report), "utf-8")
    with work.artifacts.writing("model_card") as partial:
        partial.write_text(model_card(run, card), "utf-8")


def _run_values(
    work: Workplace,
    data: Dataset,
    metrics: dict[str, float],
    predictions: Predictions,
    gold: AgainstGold | None,
) -> RunValues:
    """What the report is made from, read from the output folder."""
    artifacts, taxonomy = work.artifacts, data.taxonomy
    phases = {name: marker for name in BEFORE if (marker := artifacts.marker(name))}
    of_phases = {name: value for marker in phases.values() for name, value in marker.metrics.items()}
    labelled = read_column(artifacts.path("pseudo_labels"), "class_position").astype(np.int64)
    augmented = pd.read_parquet(artifacts.path("augmented"), columns=["path"])
    added = [taxonomy.position[number] for path in augmented["path"] for number in path]
    curve = pd.read_csv(artifacts.path("learning_curve"))
    return RunValues(
        data=data,
        phases=phases,
        reused=list(work.reused),
        metrics=of_phases | metrics,
        learning_curve={name: curve[name].to_numpy(dtype=float) for name in curve},
        pseudo_labelled=np.bincount(labelled, minlength=taxonomy.n_classes),
        augmented=np.bincount(np.asarray(added, dtype=np.int64), minlength=taxonomy.n_classes),
        predicted=predictions.labels.as_sets,
        margin=predictions.margin,
        agrees=predictions.agrees,
        agreement_by_level=predictions.agreement_by_level,
        gold=gold,
    )


def check(data: Dataset) -> None:
    """Read the gold files once, only to find their faults before the long work; nothing is kept."""
    for split in ("train", "test"):
        path = gold_file(data.folder, data.layout, split)
        if path.exists():
            for _ in gold_documents(path, data.taxonomy, data.mender):
                pass


@dataclass(frozen=True)
class GoldCoverage:
    """How the gold of one split goes with its documents and the taxonomy.

    Attributes
    ----------
    file : relative to the data folder.
    documents : the corpus's documents that have gold labels.
    unknown : document ids of the gold file that the corpus does not hold.
    without : documents without a gold label.
    not_closed : documents with a class, but none of its parents.
    """

    split: str
    file: str
    documents: int
    unknown: tuple[str, ...]
    without: tuple[str, ...]
    not_closed: tuple[str, ...]


def gold_coverage(data: Dataset) -> list[GoldCoverage]:
    """What is odd about the gold files that exist, a split each; labels themselves are not handed out.

    Raises
    ------
    InputError : a fault of a gold file.
    """
    found = []
    for split, rows in (("train", data.corpus.train), ("test", slice(data.corpus.n_train, len(data.corpus)))):
        path = gold_file(data.folder, data.layout, split)
        if not path.exists():
            continue
        gold = read_gold(path, data.taxonomy, data.mender)
        ids = data.corpus.ids[rows]
        known = set(ids)
        found.append(
            GoldCoverage(
                split=split,
                file=str(path.relative_to(data.folder)),
                documents=len(known & gold.keys()),
                unknown=tuple(one for one in gold if one not in known),
                without=tuple(one for one in ids if one not in gold),
                not_closed=tuple(one for one, labels in gold.items() if not data.taxonomy.is_closed(labels)),
            )
        )
    return found


def evaluate_labels(data: Dataset, labels: Mapping[str, set[int]], split: str) -> dict[str, float]:
    """Metrics of label sets that came from elsewhere, over the documents of a split that have gold.

    Parameters
    ----------
    labels : class positions by document id; a document without any counts as wrong.
    split : "train" or "test".

    Returns
    -------
    metrics by name, as ``test/example_f1``.

    Raises
    ------
    TeleclassError : the split has no gold.
    """
    gold = gold_of(data, split)
    if not len(gold.rows):
        path = gold_file(data.folder, data.layout, split)
        raise TeleclassError(f"{path} has no gold for a document of the {split} corpus; name another --split")
    first = 0 if split == "train" else data.corpus.n_train
    chosen = [labels.get(document, set()) for document in data.corpus.ids[first + gold.rows]]
    found = set_metrics(chosen, gold.labels.as_sets, data.taxonomy)
    found["path_consistency"] = path_consistency(chosen, data.taxonomy)
    counts = {"documents_with_gold": float(len(gold.rows)), "documents_with_labels": float(sum(map(bool, chosen)))}
    return {f"{split}/{name}": value for name, value in (found | counts).items()}


def gold_digest(data: Dataset) -> list[str]:
    """SHA-256 of the gold files that exist."""
    files = [gold_file(data.folder, data.layout, split) for split in ("train", "test")]
    return [file_digest(path) if path.exists() else "" for path in files]


def read_metrics(artifacts: Artifacts) -> dict[str, float]:
    """The content of ``metrics.json``."""
    return json.loads(artifacts.path("metrics").read_text("utf-8"))


def read_table(artifacts: Artifacts, name: str) -> dict[str, list]:
    """A table by class or by level as columns; empty where there was no gold."""
    # As they stand: a class may be called "NA" or "007".
    table = pd.read_csv(artifacts.path(name), converters={"name": unguarded})
    return {} if table.empty else table.to_dict(orient="list")


def _for_spreadsheets(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(name=table["name"].map(guarded)) if "name" in table else table
