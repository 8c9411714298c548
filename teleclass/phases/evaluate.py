"""evaluate: predictions and pseudo labels against gold, where it is given. No other module reads gold."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from teleclass.data.dataset import Dataset
from teleclass.data.gold import gold_file, read_gold
from teleclass.labelling.metrics import (
    class_table,
    example_f1,
    level_table,
    path_consistency,
    ranking_metrics,
    set_metrics,
)
from teleclass.runtime.artifacts import Artifacts, file_digest
from teleclass.runtime.workplace import Workplace

BEFORE = ("encode", "label", "augment", "expand", "train", "predict")
"""The phases whose markers the report reads."""


def run(work: Workplace, data: Dataset) -> dict[str, float]:
    """Write ``metrics.json`` and the tables by class and by level."""
    artifacts, taxonomy = work.artifacts, data.taxonomy
    predictions = pd.read_parquet(artifacts.path("predictions"))
    predicted = [{taxonomy.position[number] for number in classes} for classes in predictions["classes"]]
    metrics = {
        "test/path_consistency": path_consistency(predicted, taxonomy),
        "test/mean_confidence": float(predictions["margin"].mean()),
    }
    metrics |= _pseudo_label_metrics(work, data)

    gold = _gold(data, "test") if data.corpus.n_test else _gold(data, "train")
    rows = [row for row, document in enumerate(predictions["document"]) if document in gold]
    by_class: dict[str, list] = {"class": []}
    by_level: dict[str, list] = {"level": []}
    if rows:
        chosen = [predicted[row] for row in rows]
        truth = [gold[predictions["document"][row]] for row in rows]
        scores = np.load(artifacts.path("class_scores"), mmap_mode="r")[rows]
        found = set_metrics(chosen, truth, taxonomy) | ranking_metrics(scores, truth)
        metrics |= {f"test/{name}": value for name, value in found.items()}
        # over all documents, those without gold too
        metrics["test/path_consistency"] = path_consistency(predicted, taxonomy)
        metrics["test/documents_with_gold"] = float(len(rows))
        by_class = class_table(chosen, truth, taxonomy)
        by_level = level_table(chosen, truth, taxonomy)
        work.notes.append(f"{len(rows):,} documents with gold, Example-F1 {metrics['test/example_f1']:.4f}")
    else:
        work.notes.append("no gold labels given")
    with artifacts.writing("class_metrics") as partial:
        pd.DataFrame(by_class).to_csv(partial, index=False)
    with artifacts.writing("level_metrics") as partial:
        pd.DataFrame(by_level).to_csv(partial, index=False)
    f1 = np.array([example_f1([predicted[row]], [gold[predictions["document"][row]]]) for row in rows])
    with artifacts.writing("report") as partial:
        partial.write_text(_report(work, data, metrics, by_class, predictions["margin"].to_numpy(), rows, f1), "utf-8")
    with artifacts.writing("metrics") as partial:
        partial.write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n", "utf-8")
    return metrics


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


def _report(
    work: Workplace,
    data: Dataset,
    metrics: dict[str, float],
    by_class: dict[str, list],
    margin: np.ndarray,
    rows: list[int],
    f1: np.ndarray,
) -> str:
    """The report's page; ``f1`` is the Example-F1 of the documents ``rows``, which are those with gold."""
    from teleclass.report import figures
    from teleclass.report.page import Figure, Report, render

    taxonomy, corpus = data.taxonomy, data.corpus
    markers = {name: marker for name in BEFORE if (marker := work.artifacts.marker(name))}
    tags = {name: value for marker in markers.values() for name, value in marker.tags.items()}
    shown = {
        name: value
        for marker in markers.values()
        for name, value in marker.metrics.items()
        if name.startswith(("label/", "llm/", "test/"))
    } | metrics
    labels = pd.read_parquet(work.artifacts.path("pseudo_labels"), columns=["class_position"])
    augmented = pd.read_parquet(work.artifacts.path("augmented"), columns=["class"])
    before = np.bincount(labels["class_position"], minlength=taxonomy.n_classes)
    given = np.bincount([taxonomy.position[number] for number in augmented["class"]], minlength=taxonomy.n_classes)
    drawn = [
        Figure(
            "Documents a class",
            figures.documents_by_level(taxonomy.levels, before, before + given),
            "Training documents of each class by its level, with the pseudo labels (circles) and after augmentation "
            "(crosses).",
        ),
        Figure(
            "Confidence",
            figures.histogram(margin, "gap between the two best paths"),
            "How sure the filed documents are: the gap between the probabilities of their two best paths.",
        ),
    ]
    if rows:
        levels = list(range(1, int(taxonomy.levels.max()) + 1))
        drawn += [
            Figure(
                "F1 by level",
                figures.bars_by_level(levels, [metrics[f"test/level_{level}_f1"] for level in levels], "micro-F1"),
                "Micro-F1 over the classes of each taxonomy level.",
            ),
            Figure(
                "Confidence and correctness",
                figures.confidence_against_f1(margin[rows], f1),
                "Mean Example-F1 of documents from the least to the most confident; it should rise.",
            ),
        ]
    table = [dict(zip(by_class, row, strict=True)) for row in zip(*by_class.values(), strict=True)]
    return render(
        Report(
            title=f"teleclass: {data.folder.resolve().name}",
            facts=[
                ("taxonomy", taxonomy.summary()),
                ("documents", f"{corpus.n_train:,} training, {corpus.n_test:,} test, {corpus.n_empty:,} empty"),
                ("with gold", f"{len(rows):,} of the filed documents"),
            ],
            decisions=[(name.replace("_", " "), value) for name, value in tags.items()],
            phases=[(name, marker.seconds) for name, marker in markers.items()],
            metrics=sorted(shown.items()),
            figures=drawn,
            classes=sorted(table, key=lambda row: (row["f1"], -row["gold_documents"])),
        )
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
        gold = read_gold(path, data.taxonomy)
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


def gold_digest(data: Dataset) -> list[str]:
    """SHA-256 of the gold files that exist."""
    files = [gold_file(data.folder, data.layout, split) for split in ("train", "test")]
    return [file_digest(path) if path.exists() else "" for path in files]


def read_metrics(artifacts: Artifacts) -> dict[str, float]:
    """The content of ``metrics.json``."""
    return json.loads(artifacts.path("metrics").read_text("utf-8"))


def read_table(artifacts: Artifacts, name: str) -> dict[str, list]:
    """A table by class or by level as columns; empty where there was no gold."""
    table = pd.read_csv(artifacts.path(name))
    return {} if table.empty else table.to_dict(orient="list")


def _gold(data: Dataset, split: str) -> dict[str, set[int]]:
    """Gold of a split by document id; empty where none is given."""
    path = gold_file(data.folder, data.layout, split)
    if not path.exists():
        return {}
    gold = read_gold(path, data.taxonomy)
    known = set(data.corpus.ids[data.corpus.train] if split == "train" else data.corpus.ids[data.corpus.n_train :])
    return {document: labels for document, labels in gold.items() if document in known}
