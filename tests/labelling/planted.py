"""A corpus of planted clusters: the truth is known and never shown to the label model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.annotation import Annotations
from teleclass.labelling.label_model import LabelHead, LabelModel
from teleclass.labelling.paths import PathIndex, index_paths
from teleclass.labelling.selection import Evidence, LabellingConfig, fit_label_model
from teleclass.labelling.similarity import unit

DIMENSIONS = 24
EVEN = [1 / 6] * 6
SKEWED = [0.6, 0.08, 0.08, 0.08, 0.08, 0.08]
IN_BETWEEN = [0.43] + [0.114] * 5


@dataclass
class Planted:
    """Roots with leaves; documents lie around leaf centres, class texts point only roughly there."""

    paths: PathIndex
    centres: np.ndarray
    texts: np.ndarray
    documents: np.ndarray
    truth: np.ndarray

    @property
    def start(self) -> LabelHead:
        return LabelHead.from_texts(self.texts, self.paths.n_paths)

    @property
    def balanced_mean(self) -> np.ndarray:
        """Mean of the leaves' true means, shape (D,)."""
        leaves = [self.documents[self.truth == leaf].mean(axis=0) for leaf in self.paths.ends]
        return np.mean(leaves, axis=0)

    def accuracy(self, head: LabelHead) -> float:
        best = self.paths.path_scores(head.class_scores(self.documents)).argmax(axis=1)
        return float((self.paths.ends[best] == self.truth).mean())

    def model_accuracy(self, model: LabelModel) -> float:
        best = model.posterior(self.documents, self.paths).argmax(axis=1)
        return float((self.paths.ends[best] == self.truth).mean())

    def nearness(self, vectors: np.ndarray) -> float:
        """Mean cosine of leaf vectors and planted centres."""
        leaves = self.paths.ends
        return float((unit(vectors[leaves]) * self.centres[leaves]).sum(axis=1).mean())


def plant(
    root_shares: list[float], leaves_a_root: int = 4, n: int = 4500, text_noise: float = 0.25, seed: int = 0
) -> Planted:
    """Root r holds ``root_shares[r]`` of the documents, spread evenly over its leaves."""
    rng = np.random.default_rng(seed)
    n_roots = len(root_shares)
    n_classes = n_roots * (1 + leaves_a_root)
    edges = [(root, n_roots + root * leaves_a_root + leaf) for root in range(n_roots) for leaf in range(leaves_a_root)]
    taxonomy = Taxonomy(range(n_classes), [f"c{number}" for number in range(n_classes)], edges)
    centres = unit(rng.normal(size=(n_classes, DIMENSIONS)))
    for root in range(n_roots):
        children = taxonomy.children(root)
        centres[children] = unit(centres[children] + 0.8 * centres[root])
        centres[root] = unit(centres[children].mean(axis=0, keepdims=True))[0]
    texts = unit(centres + text_noise * rng.normal(size=centres.shape))
    roots = rng.choice(n_roots, size=n, p=root_shares)
    truth = n_roots + roots * leaves_a_root + rng.integers(leaves_a_root, size=n)
    documents = unit(centres[truth] + 0.17 * rng.normal(size=(n, DIMENSIONS)))
    return Planted(index_paths(taxonomy), centres, texts, documents, truth)


def flat_paths(n_classes: int) -> PathIndex:
    """As many paths of one class each."""
    return index_paths(Taxonomy(range(n_classes), [f"c{number}" for number in range(n_classes)], []))


def fit(planted: Planted, annotations: Annotations | None = None, **settings) -> tuple[LabelModel, Evidence]:
    return fit_label_model(planted.documents, planted.texts, planted.paths, LabellingConfig(**settings), annotations)


def even(n: int = 1200) -> Planted:
    return plant(EVEN, n=n, text_noise=0.1)


def contradicting(n: int = 1200) -> Planted:
    """An even corpus with texts so noisy that the uniform form agrees with them on two documents of three."""
    return plant(EVEN, n=n, text_noise=0.4)


def in_between(n: int = 1200) -> Planted:
    return plant(IN_BETWEEN, n=n, text_noise=0.1)


def skewed(n: int = 1200) -> Planted:
    return plant(SKEWED, n=n, text_noise=0.1)


def one_document_a_class(n_classes: int = 60) -> Planted:
    """Classes at right angles with a document each: what one half teaches is not true of the other."""
    rng = np.random.default_rng(0)
    centres = np.eye(n_classes, dtype=np.float32)
    truth = rng.permutation(n_classes)
    documents = unit(centres[truth] + 0.1 * rng.normal(size=(n_classes, n_classes)))
    return Planted(flat_paths(n_classes), centres, centres.copy(), documents, truth)
