"""Metrics of hierarchical classification, each by its exact definition; scikit-learn does the counting."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import sparse

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.similarity import blocks

LabelSets = Sequence[set[int]]


def indicator(labels: LabelSets, n_classes: int) -> sparse.csr_matrix:
    """Label sets as a matrix of zeros and ones, (documents, C), or with a second empty column for a single class.

    scikit-learn takes one column for binary labels, which it refuses as a sparse matrix.
    """
    starts = np.cumsum([0, *map(len, labels)], dtype=np.int64)
    columns = np.fromiter((node for classes in labels for node in sorted(classes)), dtype=np.int32, count=starts[-1])
    return sparse.csr_matrix(
        (np.ones(len(columns), dtype=np.int8), columns, starts), shape=(len(labels), max(2, n_classes))
    )


def example_f1(predicted: LabelSets, gold: LabelSets) -> float:
    """Mean over documents of 2|P ∩ G| / (|P| + |G|)."""
    return float(np.mean(example_f1_of(predicted, gold)))


def example_f1_of(predicted: LabelSets, gold: LabelSets) -> np.ndarray:
    """2|P ∩ G| / (|P| + |G|) of each document, (documents,)."""
    values = (2 * len(p & g) / (len(p) + len(g)) for p, g in zip(predicted, gold, strict=True))
    return np.fromiter(values, dtype=np.float64)


def precision_at(scores: np.ndarray, gold: LabelSets, k: int) -> float:
    """Mean over documents of |top k ∩ G| / k; the divisor is k even where a document has fewer gold labels.

    Parameters
    ----------
    scores : (documents, C).
    """
    return float(np.mean([len(g.intersection(top)) / k for top, g in zip(top_classes(scores, k), gold, strict=True)]))


def top_classes(scores: np.ndarray, k: int) -> list[list[int]]:
    """The k best classes of each row, best first; ties go to the lower position."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k].tolist()


def mean_reciprocal_rank(scores: np.ndarray, gold: LabelSets) -> float:
    """Mean over (document, gold label) pairs of 1 / rank among the labels that are not gold.

    A label's rank is one more than the number of non-gold labels that score at least as much: ties count against it.
    """
    return float(np.mean(_reciprocal_ranks(scores, gold)))


def _reciprocal_ranks(scores: np.ndarray, gold: LabelSets) -> list[float]:
    """Of every (document, gold label) pair."""
    reciprocal: list[float] = []
    for row, labels in enumerate(gold):
        own = sorted(labels)
        others = np.delete(scores[row], own)
        reciprocal.extend(1.0 / (1 + int((others >= scores[row, node]).sum())) for node in own)
    return reciprocal


def path_consistency(predicted: LabelSets, taxonomy: Taxonomy) -> float:
    """Share of documents in which every label is a root or has at least one of its parents among the labels."""
    return float(np.mean(np.fromiter((taxonomy.is_closed(labels) for labels in predicted), dtype=bool)))


def set_metrics(predicted: LabelSets, gold: LabelSets, taxonomy: Taxonomy) -> dict[str, float]:
    """Metrics of the decoded label sets alone."""
    from sklearn.metrics import f1_score, precision_score, recall_score

    n_classes = taxonomy.n_classes
    truth, guess = indicator(gold, n_classes), indicator(predicted, n_classes)
    in_gold = np.unique(truth.indices)
    values = {
        "example_f1": example_f1(predicted, gold),
        "micro_f1": f1_score(truth, guess, average="micro", zero_division=0),
        "micro_precision": precision_score(truth, guess, average="micro", zero_division=0),
        "micro_recall": recall_score(truth, guess, average="micro", zero_division=0),
        "macro_f1": f1_score(truth, guess, average="macro", labels=in_gold, zero_division=0),
        "exact_match": float(np.mean(np.fromiter((p == g for p, g in zip(predicted, gold, strict=True)), dtype=bool))),
        "path_consistency": path_consistency(predicted, taxonomy),
    }
    for level in range(1, int(taxonomy.levels.max()) + 1):
        classes = np.flatnonzero(taxonomy.levels == level)
        values[f"level_{level}_f1"] = f1_score(truth, guess, average="micro", labels=classes, zero_division=0)
    return {name: float(value) for name, value in values.items()}


def ranking_metrics(scores: np.ndarray, gold: LabelSets, rows: np.ndarray | None = None) -> dict[str, float]:
    """Metrics of the class scores, as TELEClass and TaxoClass report them.

    Parameters
    ----------
    scores : (documents, C), mapped or in memory; read in blocks.
    rows : the rows of ``scores`` that ``gold`` belongs to; all when None.
    """
    n_classes = scores.shape[1]
    f1, first, third = np.empty((3, len(gold)))
    ranks = array("d")
    for block in blocks(len(gold), n_classes):
        some = np.asarray(scores[block if rows is None else rows[block]])
        labels, best = gold[block], top_classes(some, min(3, n_classes))
        f1[block] = example_f1_of([set(top) for top in best], labels)
        for k, values in ((1, first), (3, third)):
            values[block] = [len(g.intersection(top[:k])) / k for top, g in zip(best, labels, strict=True)]
        ranks.extend(_reciprocal_ranks(some, labels))
    return {
        "example_f1_top3": float(f1.mean()),
        "precision_at_1": float(first.mean()),
        "precision_at_3": float(third.mean()),
        "mrr": float(np.mean(np.frombuffer(ranks))) if len(ranks) else float("nan"),
    }


def reliability(probability: np.ndarray, is_right: np.ndarray, n_bins: int = 10) -> dict[str, np.ndarray]:
    """Labels in bins of equally many, from the least to the most probable: their number, mean probability and accuracy.

    Parameters
    ----------
    probability, is_right : (labels,).

    Returns
    -------
    columns ``labels``, ``probability``, ``accuracy``, each as long as there are bins; no bin is empty.
    """
    order = np.argsort(probability, kind="stable")
    bins = [rows for rows in np.array_split(order, n_bins) if len(rows)]
    return {
        "labels": np.array([len(rows) for rows in bins]),
        "probability": np.array([probability[rows].mean() for rows in bins]),
        "accuracy": np.array([is_right[rows].mean() for rows in bins]),
    }


def calibration_error(bins: Mapping[str, np.ndarray]) -> float:
    """Mean distance of probability and accuracy over the labels of the bins of :func:`reliability`."""
    return float(np.average(np.abs(bins["probability"] - bins["accuracy"]), weights=bins["labels"]))


def class_table(predicted: LabelSets, gold: LabelSets, taxonomy: Taxonomy) -> dict[str, list]:
    """Precision, recall, F1 and counts of every class, as columns."""
    from sklearn.metrics import precision_recall_fscore_support

    truth, guess = indicator(gold, taxonomy.n_classes), indicator(predicted, taxonomy.n_classes)
    every = np.arange(taxonomy.n_classes)
    precision, recall, f1, support = precision_recall_fscore_support(truth, guess, labels=every, zero_division=0)
    return {
        "class": list(taxonomy.ids),
        "name": list(taxonomy.names),
        "level": taxonomy.levels.tolist(),
        "gold_documents": support.tolist(),
        "predicted_documents": np.asarray(guess.sum(axis=0)).ravel()[every].tolist(),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
    }


def level_table(predicted: LabelSets, gold: LabelSets, taxonomy: Taxonomy) -> dict[str, list]:
    """Micro precision, recall and F1 over the classes of each level, as columns."""
    from sklearn.metrics import precision_recall_fscore_support

    truth, guess = indicator(gold, taxonomy.n_classes), indicator(predicted, taxonomy.n_classes)
    columns: dict[str, list] = {"level": [], "classes": [], "precision": [], "recall": [], "f1": []}
    for level in range(1, int(taxonomy.levels.max()) + 1):
        classes = np.flatnonzero(taxonomy.levels == level)
        p, r, f, _ = precision_recall_fscore_support(truth, guess, labels=classes, average="micro", zero_division=0)
        for name, value in zip(columns, (level, len(classes), float(p), float(r), float(f)), strict=True):
            columns[name].append(value)
    return columns
