"""The training set as arrays: tokens, targets and weights, and the batches made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from teleclass.data.dataset import Dataset
from teleclass.errors import TeleclassError
from teleclass.model.batching import TokenizedTexts, packed, padded, tokenize
from teleclass.model.rank_batches import Share


@dataclass(frozen=True)
class TrainingDocuments:
    """The training set as arrays; targets are class positions by row.

    Attributes
    ----------
    pad_id : the padding token, where batches must be padded; None where they are packed.
    """

    tokens: TokenizedTexts
    rows: np.ndarray
    positives: list[np.ndarray]
    ignored: list[np.ndarray]
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
        new_positives, new_ignored, new_weights = list(self.positives), list(self.ignored), self.weights.copy()
        new_weights[rows] = weights
        for row, more, less in zip(rows.tolist(), positives, ignored, strict=True):
            new_positives[row], new_ignored[row] = more, less
        mean = float(new_weights.mean()) or 1.0
        return replace(self, positives=new_positives, ignored=new_ignored, weights=new_weights / mean)

    def labels(self) -> dict[str, np.ndarray]:
        """Labels and weights of all rows, as arrays that :meth:`with_labels` takes."""
        found = {"weights": self.weights}
        for name, rows in (("positives", self.positives), ("ignored", self.ignored)):
            found[name] = np.concatenate([np.zeros(0, dtype=int), *rows])
            found[f"n_{name}"] = np.array([len(row) for row in rows])
        return found

    def with_labels(self, labels: Mapping[str, np.ndarray]) -> TrainingDocuments:
        """A copy with the labels and weights that :meth:`labels` gave."""
        positives, ignored = (
            np.split(labels[name], np.cumsum(labels[f"n_{name}"])[:-1]) for name in ("positives", "ignored")
        )
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
    table: pd.DataFrame, data: Dataset, tokenizer: Any, max_tokens: int, is_packed: bool
) -> TrainingDocuments:
    """Tokenise the training set once and turn its class ids into positions.

    Parameters
    ----------
    table : ``training_set.parquet``.
    is_packed : whether batches are to be packed, not padded.

    Raises
    ------
    TeleclassError : the table is empty.
    """
    if table.empty:
        raise TeleclassError("the training set is empty: every training document is empty; check the training corpus")
    texts = [
        row.text if row.source == "generated" else data.corpus.texts[row.row]
        for row in table[["source", "row", "text"]].itertuples()
    ]
    position = data.taxonomy.position
    return TrainingDocuments(
        tokens=tokenize(tokenizer, texts, max_tokens),
        rows=table["row"].to_numpy(),
        positives=[np.array([position[number] for number in numbers], dtype=int) for numbers in table["positives"]],
        ignored=[np.array([position[number] for number in numbers], dtype=int) for numbers in table["ignored"]],
        weights=table["weight"].to_numpy(dtype=np.float32),
        n_classes=data.taxonomy.n_classes,
        pad_id=None if is_packed else tokenizer.pad_token_id,
    )
