"""Part of evaluate: predictions and gold as arrays, read a few thousand documents at a time."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from operator import eq
from pathlib import Path

import numpy as np

from teleclass.data.dataset import Dataset
from teleclass.data.gold import gold_documents, gold_file
from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.label_sets import LabelSets
from teleclass.labelling.trust import agreement_by_level
from teleclass.runtime.parquet import read_column, read_lists, read_rows, starts_of


@dataclass(frozen=True)
class Predictions:
    """``predictions.parquet`` as arrays: labels, a score each, and the documents' margins; the paths stay in the file.

    Attributes
    ----------
    agrees : (N,), whether label model and classifier, each alone, find the same path most probable.
    agreement_by_level : see :func:`teleclass.labelling.trust.agreement_by_level`.
    """

    labels: LabelSets
    scores: np.ndarray
    margin: np.ndarray
    agrees: np.ndarray
    agreement_by_level: list[float]


def read_predictions(file: Path, taxonomy: Taxonomy) -> Predictions:
    """The content of ``predictions.parquet``."""
    classes, starts = read_lists(file, "classes")
    agrees = array("b")

    def views(which: str) -> Iterator[list[int]]:
        other = {"label_model_path": "classifier_path", "classifier_path": "label_model_path"}[which]
        for batch in read_rows(file, [which, other]):
            mine = batch.column(which).to_pylist()
            if which == "label_model_path":
                agrees.extend(map(eq, mine, batch.column(other).to_pylist()))
            yield from mine

    by_level = agreement_by_level(views("label_model_path"), views("classifier_path"))
    return Predictions(
        labels=LabelSets(_positions(classes, taxonomy), starts),
        scores=read_lists(file, "scores")[0].astype(np.float64),
        margin=read_column(file, "margin").astype(np.float64),
        agrees=np.frombuffer(agrees, dtype=bool) if agrees else np.zeros(0, dtype=bool),
        agreement_by_level=by_level,
    )


def _positions(numbers: np.ndarray, taxonomy: Taxonomy) -> np.ndarray:
    """Class ids as positions, int32."""
    ids = np.array(taxonomy.ids, dtype=np.int64)
    order = np.argsort(ids)
    return order[np.searchsorted(ids, numbers, sorter=order)].astype(np.int32)


@dataclass(frozen=True)
class Gold:
    """The documents of a split that have gold: their rows among those of the split, ascending, and their labels."""

    rows: np.ndarray
    labels: LabelSets


def gold_of(data: Dataset, split: str) -> Gold:
    """Gold of the documents of a split; of none where none is given."""
    path = gold_file(data.folder, data.layout, split)
    rows, sizes, classes = array("q"), array("i"), array("i")
    if path.exists():
        own = data.corpus.train if split == "train" else slice(data.corpus.n_train, len(data.corpus))
        row_of = {document: row for row, document in enumerate(data.corpus.ids[own])}
        for document, labels in gold_documents(path, data.taxonomy, data.mender):
            if document in row_of:
                rows.append(row_of[document])
                sizes.append(len(labels))
                classes.extend(labels)
    if not rows:
        return Gold(np.zeros(0, dtype=np.int64), LabelSets.of([]))
    found = LabelSets(np.frombuffer(classes, dtype=np.int32), starts_of(np.frombuffer(sizes, dtype=np.int32)))
    order = np.argsort(np.frombuffer(rows, dtype=np.int64))
    return Gold(np.frombuffer(rows, dtype=np.int64)[order], found.chosen(order))
