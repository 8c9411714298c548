"""The training set as arrays: tokens, targets and weights, and the batches made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from teleclass.data.dataset import Dataset
from teleclass.errors import TeleclassError
from teleclass.model.batching import Ragged, TokenizedTexts, packed, padded, tokenize_to_file
from teleclass.model.rank_batches import Share
from teleclass.runtime.parquet import read_column, read_lists, read_rows


@dataclass(frozen=True)
class TrainingDocuments:
    """The training set as arrays; targets are class positions by row.

    Attributes
    ----------
    tokens : in a mapped file.
    rows : (N,), the documents' rows in the corpus, -1 for generated ones.
    is_corpus : (N,), whether a document stands there with its own pseudo labels, neither lent nor generated.
    pad_id : the padding token, where batches must be padded; None where they are packed.
    """

    tokens: TokenizedTexts
    rows: np.ndarray
    is_corpus: np.ndarray
    positives: Ragged
    ignored: Ragged
    weights: np.ndarray
    n_classes: int
    pad_id: int | None

    def __len__(self) -> int:
        return len(self.weights)

    def targets(self, rows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Targets and counted classes of some rows, both (rows, C), float32."""
        targets = np.zeros((len(rows), self.n_classes), dtype=np.float32)
        counted = np.ones((len(rows), self.n_classes), dtype=np.float32)
        for offset, row in enumerate(rows):
            targets[offset, self.positives[row]] = 1
            counted[offset, self.ignored[row]] = 0
        return targets, counted

    def relabelled(
        self, rows: np.ndarray, positives: list[np.ndarray], ignored: list[np.ndarray], weights: np.ndarray
    ) -> TrainingDocuments:
        """A copy in which some rows have other labels and weights; weights keep a mean of 1."""
        new_weights = self.weights.copy()
        new_positives, new_ignored = self.positives.replaced(rows, positives), self.ignored.replaced(rows, ignored)
        new_weights[rows] = weights
        mean = float(new_weights.mean()) or 1.0
        return replace(self, positives=new_positives, ignored=new_ignored, weights=new_weights / mean)

    def labels(self) -> dict[str, np.ndarray]:
        """Labels and weights of all rows, as arrays that :meth:`with_labels` takes."""
        return {
            "weights": self.weights,
            "positives": self.positives.flat,
            "positives_starts": self.positives.starts,
            "ignored": self.ignored.flat,
            "ignored_starts": self.ignored.starts,
        }

    def with_labels(self, labels: Mapping[str, np.ndarray]) -> TrainingDocuments:
        """A copy with the labels and weights that :meth:`labels` gave."""
        positives, ignored = (Ragged(labels[name], labels[f"{name}_starts"]) for name in ("positives", "ignored"))
        return replace(self, positives=positives, ignored=ignored, weights=labels["weights"])

    def __getitem__(self, share: Share) -> dict[str, Any]:
        """The classifier's arguments for one rank's part of a micro-step."""
        import torch

        rows = share.rows
        batch = packed(self.tokens, rows) if self.pad_id is None else padded(self.tokens, rows, self.pad_id)
        targets, counted = self.targets(rows)
        arrays = {"targets": targets, "counted": counted, "weights": self.weights[rows] * np.float32(share.weight)}
        return {"batch": batch} | {name: torch.from_numpy(array) for name, array in arrays.items()}


def training_documents(
    file: Path, data: Dataset, tokenizer: Any, max_tokens: int, is_packed: bool
) -> TrainingDocuments:
    """Tokenise the training set once and turn its class ids into positions.

    Parameters
    ----------
    file : ``training_set.parquet``, read a few thousand rows at a time; the tokens are kept in its folder.
    is_packed : whether batches are to be packed, not padded.

    Raises
    ------
    TeleclassError : the table is empty.
    """
    rows = read_column(file, "row").astype(np.int64)
    if not len(rows):
        raise TeleclassError("the training set is empty: every training document is empty; check the training corpus")
    ids = np.array(data.taxonomy.ids, dtype=np.int64)
    order = np.argsort(ids)

    def positions(name: str) -> Ragged:
        numbers, starts = read_lists(file, name)
        return Ragged(order[np.searchsorted(ids, numbers, sorter=order)].astype(np.int32), starts)

    return TrainingDocuments(
        tokens=tokenize_to_file(tokenizer, _texts(file, data), max_tokens, file.parent),
        rows=rows,
        is_corpus=np.concatenate(
            [np.array(batch.column(0).to_pylist()) == "corpus" for batch in read_rows(file, ["source"])]
        ),
        positives=positions("positives"),
        ignored=positions("ignored"),
        weights=read_column(file, "weight").astype(np.float32),
        n_classes=data.taxonomy.n_classes,
        pad_id=None if is_packed else tokenizer.pad_token_id,
    )


def document_id(file: Path, row: int) -> str:
    """The id of the document in a row of ``training_set.parquet``."""
    for batch in read_rows(file, ["document"]):
        if row < batch.num_rows:
            return str(batch.column(0)[int(row)])
        row -= batch.num_rows
    raise IndexError(f"row {row} is beyond the training set")


def _texts(file: Path, data: Dataset) -> Iterator[str]:
    """The texts of the training set: those of the corpus from there, of generated documents from the table."""
    for batch in read_rows(file, ["source", "row", "text"]):
        sources, rows, texts = (column.to_pylist() for column in batch.columns)
        of_corpus = iter(data.corpus.texts[np.array([row for row in rows if row >= 0], dtype=np.int64)])
        for source, row, text in zip(sources, rows, texts, strict=True):
            known = next(of_corpus) if row >= 0 else ""
            yield text if source == "generated" else known
