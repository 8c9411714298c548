"""expand: pseudo labels and augmented documents become training rows."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from teleclass.data.dataset import Dataset
from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.expansion import (
    ExpansionConfig,
    confidence_weight,
    generated_weight,
    ignored_classes,
    mean_one,
)
from teleclass.runtime.parquet import ROWS, RowGroups, read_column, starts_of, writing_rows
from teleclass.runtime.workplace import Workplace

COLUMNS = {
    "source": "string", "document": "string", "row": "int", "text": "string", "positives": "int[]", "weight": "float",
    "ignored": "int[]",
}  # fmt: skip
"""Columns of ``training_set.parquet``, see :func:`run`."""


def run(work: Workplace, data: Dataset, expansion: ExpansionConfig) -> dict[str, float]:
    """Write ``training_set.parquet``: one row a training document.

    Columns: ``source`` ("corpus", "nearest", "generated"), ``document``, ``row`` (in the corpus, -1 for a generated
    document), ``text`` (of generated ones alone), ``positives`` and ``ignored`` (class ids), ``weight`` (mean 1).
    """
    artifacts, taxonomy = work.artifacts, data.taxonomy
    rows, classes, starts, margins = _labelled(work, data)
    augmented = pd.read_parquet(artifacts.path("augmented"))
    is_generated = (augmented["source"] == "generated").to_numpy(dtype=bool)
    lent_rows = augmented["row"].to_numpy(dtype=np.int64)
    has_text = is_generated | (data.corpus.texts.characters[np.maximum(lent_rows, 0)] > 0)
    augmented, is_generated = augmented[has_text], is_generated[has_text]

    weights = np.concatenate([
        confidence_weight(margins, expansion.weight_floor).astype(np.float64),
        np.where(is_generated, generated_weight(len(rows), int(is_generated.sum())), augmented["confidence"]),
    ]).astype(np.float64)  # fmt: skip
    weights = mean_one(weights).astype(np.float32)
    table = _Table(taxonomy)
    with artifacts.writing("training_set") as partial, writing_rows(partial, COLUMNS) as groups:
        for start in range(0, len(rows), ROWS):
            some = slice(start, min(start + ROWS, len(rows)))
            sets = [
                tuple(classes[begin:end].tolist())
                for begin, end in zip(starts[some], starts[some.start + 1 : some.stop + 1], strict=True)
            ]
            documents = list(data.corpus.ids[rows[some]])
            n_rows = len(documents)
            table.add(groups, ["corpus"] * n_rows, documents, rows[some], [None] * n_rows, sets, weights[some])
        paths = [tuple(taxonomy.position[number] for number in path) for path in augmented["path"]]
        texts = [
            text if generated else None for text, generated in zip(augmented["text"], is_generated, strict=True)
        ]  # fmt: skip
        table.add(
            groups, augmented["source"].tolist(), augmented["document"].tolist(), augmented["row"].to_numpy(np.int64),
            texts, paths, weights[len(rows) :],
        )  # fmt: skip
    ignored = table.n_ignored / max(len(weights), 1)
    work.notes.append(
        f"{len(weights):,} training rows, {len(rows):,} of them from the corpus; "
        f"left out of the loss, as they lie below a row's labels: {ignored:.1f} classes a row"
    )
    return {"train/rows": float(len(weights))}


def _labelled(work: Workplace, data: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The pseudo-labelled documents that have a text: rows (n,) ascending, their classes with starts, margins (n,)."""
    file = work.artifacts.path("pseudo_labels")
    row_of, classes = read_column(file, "row").astype(np.int64), read_column(file, "class_position").astype(np.int32)
    margin_of = read_column(file, "margin")
    if (np.diff(row_of) < 0).any():
        order = np.argsort(row_of, kind="stable")
        row_of, classes, margin_of = row_of[order], classes[order], margin_of[order]
    kept = data.corpus.texts.characters[row_of] > 0
    row_of, classes, margin_of = row_of[kept], classes[kept], margin_of[kept]
    rows, first, sizes = np.unique(row_of, return_index=True, return_counts=True)
    return rows, classes, starts_of(sizes), margin_of[first]


class _Table:
    """Class sets as the sorted ids of their positives and of what they ignore; the same few sets come again and again.

    Attributes
    ----------
    n_ignored : ignored classes so far, over all rows.
    """

    def __init__(self, taxonomy: Taxonomy):
        self.n_ignored = 0

        @cache
        def ids_of(nodes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
            return tuple(  # type: ignore[return-value]
                np.array(sorted(taxonomy.ids[node] for node in some), dtype=np.int64)
                for some in (nodes, ignored_classes(nodes, taxonomy))
            )

        self._ids_of = ids_of

    def add(
        self,
        groups: RowGroups,
        sources: list[str],
        documents: list[str],
        rows: np.ndarray,
        texts: list[str | None],
        sets: list[tuple[int, ...]],
        weights: np.ndarray,
    ) -> None:
        """Add a row a document; ``sets`` are class positions."""
        if not len(sets):
            return
        positives, ignored = zip(*map(self._ids_of, sets), strict=True)
        self.n_ignored += sum(map(len, ignored))
        groups.add(
            source=sources, document=documents, row=rows, text=texts, weight=weights,
            positives=_flat(positives), ignored=_flat(ignored),
        )  # fmt: skip


def _flat(lists: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Lists as their values and where each begins."""
    return np.concatenate(lists), starts_of(np.array([len(one) for one in lists]))
