"""evaluate: predictions and pseudo labels against gold, where it is given. No other module reads gold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from teleclass.data.dataset import Dataset
from teleclass.data.gold import gold_file, read_gold
from teleclass.data.spreadsheet import guarded, unguarded
from teleclass.errors import TeleclassError
from teleclass.labelling.errors_in_taxonomy import taxonomy_errors
from teleclass.labelling.metrics import (
    calibration_error,
    class_table,
    example_f1,
    level_table,
    path_consistency,
    ranking_metrics,
    reliability,
    set_metrics,
)
from teleclass.labelling.trust import agreement_by_level
from teleclass.report.card import CardOptions, model_card
from teleclass.report.values import AgainstGold, RunValues
from teleclass.runtime.artifacts import Artifacts, file_digest
from teleclass.runtime.workplace import Workplace

BEFORE = ("encode", "label", "augment", "expand", "train", "predict")
"""The phases whose markers the report reads."""


def run(work: Workplace, data: Dataset, card: CardOptions) -> dict[str, float]:
    """Write ``metrics.json``, the tables by class and by level, the report with its figures, and the model card."""
    artifacts, taxonomy = work.artifacts, data.taxonomy
    predictions = pd.read_parquet(artifacts.path("predictions"))
    predicted = [{taxonomy.position[number] for number in classes} for classes in predictions["classes"]]
    metrics = {
        "test/path_consistency": path_consistency(predicted, taxonomy),
        "test/mean_confidence": float(predictions["margin"].mean()),
    }
    metrics |= _pseudo_label_metrics(work, data)

    against = _against_gold(work, data, predictions, predicted)
    by_class: Mapping[str, list] = {"class": []}
    by_level: Mapping[str, list] = {"level": []}
    if against is not None:
        chosen = [predicted[row] for row in against.rows]
        scores = np.load(artifacts.path("class_scores"), mmap_mode="r")[against.rows]
        found = set_metrics(chosen, against.labels, taxonomy) | ranking_metrics(scores, against.labels)
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
    _write_report(work, _run_values(work, data, metrics, predictions, predicted, against), card)
    with artifacts.writing("metrics") as partial:
        partial.write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n", "utf-8")
    return metrics


def _against_gold(
    work: Workplace, data: Dataset, predictions: pd.DataFrame, predicted: list[set[int]]
) -> AgainstGold | None:
    """The predicted documents that have gold, and how right each of their labels is; None where there are none."""
    gold = _gold(data, "test") if data.corpus.n_test else _gold(data, "train")
    documents, classes, scores = (predictions[name].to_list() for name in ("document", "classes", "scores"))
    rows = np.array([row for row, document in enumerate(documents) if document in gold], dtype=np.int64)
    if not len(rows):
        return None
    taxonomy = data.taxonomy
    chosen = [predicted[row] for row in rows]
    truth = [gold[documents[row]] for row in rows]
    errors = taxonomy_errors(chosen, truth, taxonomy)
    is_right = np.array([taxonomy.position[number] in right for row, right in zip(rows, truth, strict=True)
                         for number in classes[row]])  # fmt: skip
    return AgainstGold(
        rows=rows,
        labels=truth,
        f1=np.array([example_f1([one], [right]) for one, right in zip(chosen, truth, strict=True)]),
        kinds=errors.kinds,
        wrong_classes=errors.wrong_classes,
        confused=errors.confused,
        reliability=reliability(np.concatenate([scores[row] for row in rows]).astype(float), is_right),
        by_class=class_table(chosen, truth, taxonomy),
        by_level=level_table(chosen, truth, taxonomy),
    )


def _pseudo_label_metrics(work: Workplace, data: Dataset) -> dict[str, float]:
    gold = _gold(data, "train")
    if not gold:
        return {}
    labels = pd.read_parquet(work.artifacts.path("pseudo_labels"), columns=["document", "class_position"])
    sets = labels.groupby("document")["class_position"].agg(set).to_dict()
    documents = [document for document in data.corpus.ids[data.corpus.train] if document in gold]
    if not documents:
        return {}
    found = set_metrics([sets.get(d, set()) for d in documents], [gold[d] for d in documents], data.taxonomy)
    metrics = {f"label/{name}": found[name] for name in ("example_f1", "micro_f1", "macro_f1")}
    asked = pd.read_parquet(work.artifacts.path("annotations"), columns=["document", "candidates", "core_classes"])
    position = data.taxonomy.position
    offered, core = (
        {row.document: {position[number] for number in getattr(row, name)} for row in asked.itertuples()}
        for name in ("candidates", "core_classes")
    )
    recalls = [len(gold[one] & nodes) / len(gold[one]) for one, nodes in offered.items() if nodes and one in gold]
    if recalls:
        metrics["label/candidate_recall"] = float(np.mean(recalls))
    annotated = [one for one, nodes in core.items() if nodes and one in gold]
    if annotated:
        closed = [data.taxonomy.close(core[one]) for one in annotated]
        metrics["label/core_classes_example_f1"] = example_f1(closed, [gold[one] for one in annotated])
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
    predictions: pd.DataFrame,
    predicted: list[set[int]],
    gold: AgainstGold | None,
) -> RunValues:
    """What the report is made from, read from the output folder."""
    artifacts, taxonomy = work.artifacts, data.taxonomy
    phases = {name: marker for name in BEFORE if (marker := artifacts.marker(name))}
    of_phases = {name: value for marker in phases.values() for name, value in marker.metrics.items()}
    labels = pd.read_parquet(artifacts.path("pseudo_labels"), columns=["class_position"])
    augmented = pd.read_parquet(artifacts.path("augmented"), columns=["path"])
    added = [taxonomy.position[number] for path in augmented["path"] for number in path]
    curve = pd.read_csv(artifacts.path("learning_curve"))
    views = [[list(path) for path in predictions[name]] for name in ("label_model_path", "classifier_path")]
    return RunValues(
        data=data,
        phases=phases,
        reused=list(work.reused),
        metrics=of_phases | metrics,
        learning_curve={name: curve[name].to_numpy(dtype=float) for name in curve},
        pseudo_labelled=np.bincount(labels["class_position"], minlength=taxonomy.n_classes),
        augmented=np.bincount(np.asarray(added, dtype=np.int64), minlength=taxonomy.n_classes),
        predicted=predicted,
        margin=predictions["margin"].to_numpy(dtype=float),
        agrees=np.array([one == other for one, other in zip(*views, strict=True)]),
        agreement_by_level=agreement_by_level(*views),
        gold=gold,
    )


def check(data: Dataset) -> None:
    """Read the gold files once, only to find their faults before the long work; nothing is kept."""
    for split in ("train", "test"):
        _gold(data, split)


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
    gold = _gold(data, split)
    if not gold:
        path = gold_file(data.folder, data.layout, split)
        raise TeleclassError(f"{path} has no gold for a document of the {split} corpus; name another --split")
    chosen = [labels.get(document, set()) for document in gold]
    found = set_metrics(chosen, list(gold.values()), data.taxonomy)
    found["path_consistency"] = path_consistency(chosen, data.taxonomy)
    counts = {"documents_with_gold": float(len(gold)), "documents_with_labels": float(sum(map(bool, chosen)))}
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


def _gold(data: Dataset, split: str) -> dict[str, set[int]]:
    """Gold of a split by document id; empty where none is given."""
    path = gold_file(data.folder, data.layout, split)
    if not path.exists():
        return {}
    gold = read_gold(path, data.taxonomy, data.mender)
    known = set(data.corpus.ids[data.corpus.train] if split == "train" else data.corpus.ids[data.corpus.n_train :])
    return {document: labels for document, labels in gold.items() if document in known}
