"""What a method gives the filed documents, and how good that is by gold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from teleclass.data.dataset import Dataset
from teleclass.data.gold import gold_file, read_gold
from teleclass.errors import InputError
from teleclass.labelling.decoding import Decoder
from teleclass.labelling.metrics import ranking_metrics, set_metrics
from teleclass.labelling.paths import PathIndex
from teleclass.labelling.similarity import blocks


@dataclass(frozen=True)
class Filed:
    """Label sets of the N filed documents, as class positions, and (N, C) scores that rank the classes of each."""

    labels: list[set[int]]
    scores: np.ndarray


@dataclass(frozen=True)
class Gold:
    """Gold label sets, and the rows that they belong to among the filed (or the training) documents."""

    rows: np.ndarray
    labels: list[set[int]]


class LeftOut(Exception):
    """A method that says nothing on a data set; the message is the reason, in a few words."""


def filed_gold(data: Dataset) -> Gold:
    """Gold of the filed documents: the test documents, or the training documents where there is no test corpus.

    Raises
    ------
    InputError : no filed document has gold.
    """
    split = "test" if data.corpus.n_test else "train"
    gold = _gold_of(data, split, data.corpus.ids[data.corpus.predicted])
    if not len(gold.rows):
        path = gold_file(data.folder, data.layout, split)
        raise InputError("no document that is filed has gold here; without it there is nothing to measure", path)
    return gold


def training_gold(data: Dataset) -> Gold:
    """Gold of the training documents, for the supervised bound alone; perhaps none."""
    return _gold_of(data, "train", data.corpus.ids[data.corpus.train])


def evaluate(filed: Filed, gold: Gold, data: Dataset) -> dict[str, float]:
    """Metrics over the documents with gold, as the evaluate phase takes them."""
    chosen = [filed.labels[row] for row in gold.rows]
    return set_metrics(chosen, gold.labels, data.taxonomy) | ranking_metrics(filed.scores[gold.rows], gold.labels)


def decode(
    posterior_of: Callable[[slice | np.ndarray], np.ndarray], n_documents: int, paths: PathIndex, decoder: Decoder
) -> Filed:
    """File documents by their path posterior, in blocks; scores are the marginals, as in the predict phase.

    Parameters
    ----------
    posterior_of : from rows to their (rows, P) posterior.
    """
    multiplicity = decoder.multiplicity(posterior_of, n_documents)
    scores = np.empty((n_documents, paths.n_classes), dtype=np.float32)
    labels: list[set[int]] = []
    for rows in blocks(n_documents):
        posterior = posterior_of(rows)
        scores[rows] = paths.marginals(posterior)
        labels.extend(set(classes) for classes in decoder.decode(posterior, multiplicity))
    return Filed(labels, scores)


def chosen_first(labels: list[set[int]], scores: np.ndarray) -> Filed:
    """Rank the chosen classes before all others, by score within either group.

    Parameters
    ----------
    scores : (N, C), at most 2.5 apart within a row, as cosines and probabilities are.
    """
    ranked = np.array(scores, dtype=np.float32)
    for row, chosen in enumerate(labels):
        ranked[row, sorted(chosen)] += 3
    return Filed(labels, ranked)


def _gold_of(data: Dataset, split: str, ids: Sequence[str]) -> Gold:
    path = gold_file(data.folder, data.layout, split)
    gold = read_gold(path, data.taxonomy) if path.exists() else {}
    rows = [row for row, document in enumerate(ids) if document in gold]
    return Gold(np.array(rows, dtype=np.int64), [gold[ids[row]] for row in rows])
