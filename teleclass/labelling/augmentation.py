"""Starved classes, and the documents that can be given to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from teleclass.labelling.label_model import LabelModel
from teleclass.labelling.paths import PathIndex
from teleclass.labelling.similarity import blocks

KEPT = 1024
"""Near documents of a class that are held until they are more than so many: then its best alone."""


@dataclass(frozen=True)
class AugmentationConfig:
    """How starved classes are fed.

    Parameters
    ----------
    starved_below
        a class with fewer pseudo-labelled documents is starved.
    nearest_confidence
        least probability that a document given to a starved class belongs there.
    use_generated
        take ``generated_docs.txt`` of the data folder, where it has one.
    """

    starved_below: int = 15
    nearest_confidence: float = 0.1
    use_generated: bool = True

    def __post_init__(self) -> None:
        if self.starved_below < 0:
            raise ValueError("augmentation.starved_below must be 0 or more")
        if not 0 < self.nearest_confidence <= 1:
            raise ValueError("augmentation.nearest_confidence must lie above 0 and not above 1")


@dataclass(frozen=True)
class NearestDocument:
    """A document lent to a starved class: its row, the classes on the path to that class, the probability."""

    row: int
    node: int
    path: tuple[int, ...]
    confidence: float


def starved_classes(labels: np.ndarray, n_classes: int, starved_below: int) -> dict[int, int]:
    """Number of pseudo-labelled documents of each starved class, by class position.

    Parameters
    ----------
    labels : (pairs,), the class position of every (document, class) pair.
    """
    count = np.bincount(labels, minlength=n_classes)
    return {int(node): int(count[node]) for node in np.flatnonzero(count < starved_below)}


def nearest_documents(
    embeddings: np.ndarray,
    model: LabelModel,
    paths: PathIndex,
    starved: dict[int, int],
    labelled: sparse.csr_matrix,
    config: AugmentationConfig,
) -> list[NearestDocument]:
    """The most probable documents of each starved class among those that were not given it.

    Parameters
    ----------
    embeddings : (N, D), training documents.
    starved : documents each starved class has already; it is filled up to ``starved_below``.
    labelled : (N, C) bool, the classes that documents have already, and those they are not to be lent to.
    """
    if not starved:
        return []
    nodes = np.array(sorted(starved))
    found: dict[int, list[NearestDocument]] = {int(node): [] for node in nodes}
    through = {int(node): np.flatnonzero(paths.membership[:, [node]].toarray().ravel()) for node in nodes}
    for rows in blocks(len(embeddings), max(paths.n_paths, paths.n_classes)):
        posterior = model.posterior(embeddings[rows], paths)
        marginals = paths.marginals(posterior)[:, nodes]
        is_near = (marginals >= config.nearest_confidence) & ~labelled[rows][:, nodes].toarray()
        for offset, column in zip(*np.nonzero(is_near), strict=True):
            row, node = rows.start + int(offset), int(nodes[column])
            best = through[node][posterior[offset, through[node]].argmax()]
            path = paths.membership[best].indices
            route = tuple(int(step) for step in path[: list(path).index(node) + 1])
            found[node].append(NearestDocument(row, node, route, float(marginals[offset, column])))
        for node, documents in found.items():
            if len(documents) > KEPT:
                found[node] = _best(documents, config.starved_below - starved[node])
    return [one for node, documents in found.items() for one in _best(documents, config.starved_below - starved[node])]


def _best(documents: list[NearestDocument], number: int) -> list[NearestDocument]:
    return sorted(documents, key=lambda document: (-document.confidence, document.row))[: max(0, number)]
