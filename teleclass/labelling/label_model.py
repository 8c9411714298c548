"""The label model: class vectors fitted to a corpus, and the path posterior they give a document."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from teleclass.labelling.paths import PathIndex
from teleclass.labelling.similarity import product, softmax, unit

TEMPERATURE = 0.02
"""Temperature of the path posterior in soft EM, in cosine."""


HEAD_FIELDS = ("class_vectors", "document_shift", "log_prior", "temperature")


@dataclass(frozen=True)
class LabelHead:
    """One way to score documents against classes.

    Attributes
    ----------
    class_vectors : (C, D), unit rows.
    document_shift : (D,), taken off every document vector before it is scaled to length one.
    log_prior : (P,), log probability of each path; all equal when the prior is uniform.
    temperature : of the posterior that the head was fitted with, in cosine; it scales the log prior where that is
        added to path scores.
    """

    class_vectors: np.ndarray
    document_shift: np.ndarray
    log_prior: np.ndarray
    temperature: float = TEMPERATURE

    @classmethod
    def from_texts(cls, class_vectors: np.ndarray, n_paths: int, temperature: float = TEMPERATURE) -> LabelHead:
        """Class texts alone, every path as likely as any other."""
        n_dimensions = class_vectors.shape[1]
        return cls(unit(class_vectors), np.zeros(n_dimensions, np.float32), np.zeros(n_paths, np.float32), temperature)

    @cached_property
    def is_even(self) -> bool:
        """Whether every path is as likely as any other."""
        return bool(np.ptp(self.log_prior) == 0)

    def documents(self, embeddings: np.ndarray) -> np.ndarray:
        """Embeddings as this head sees them, shape (rows, D)."""
        embeddings = np.asarray(embeddings, dtype=np.float32)
        return unit(embeddings - self.document_shift) if self.document_shift.any() else embeddings

    def class_scores(self, embeddings: np.ndarray) -> np.ndarray:
        """Cosine of documents and classes, shape (rows, C)."""
        return (self.class_vectors @ self.documents(embeddings).T).T

    def path_evidence(self, embeddings: np.ndarray, paths: PathIndex) -> np.ndarray:
        """Path scores with the prior, in cosine, shape (rows, P)."""
        return paths.path_scores(self.class_scores(embeddings)) + self.temperature * self.log_prior


@dataclass(frozen=True, eq=False)
class LabelModel:
    """The fitted heads (their posteriors are averaged) and how sharp the posterior is.

    Attributes
    ----------
    sharpness : divides path scores, in standard deviations of a document's path scores.
    choice : which form was chosen, "corpus prior", "uniform prior", "both" or "class texts".
    reason : why, in one sentence.
    """

    heads: tuple[LabelHead, ...]
    sharpness: float
    choice: str
    reason: str

    def posterior(self, embeddings: np.ndarray, paths: PathIndex) -> np.ndarray:
        """Probability of every path for every document, shape (rows, P)."""
        embeddings = np.asarray(embeddings, dtype=np.float32)
        # One product for all heads: the documents are read, and rounded where they are, once.
        vectors = _path_vectors(self, paths)
        scores = np.split(product(vectors.reshape(-1, vectors.shape[2]), embeddings.T), len(self.heads))
        mean, *others = (self._posterior_of(*one, embeddings) for one in zip(self.heads, vectors, scores, strict=True))
        for other in others:
            mean += other
        return mean

    def _posterior_of(
        self, head: LabelHead, vectors: np.ndarray, by_path: np.ndarray, embeddings: np.ndarray
    ) -> np.ndarray:
        """The posterior that one head gives, in rows that sum to 1 / heads.

        Parameters
        ----------
        vectors : (P, D), those of the paths.
        by_path : (P, rows), their products with the embeddings; overwritten.
        """
        scores = by_path.T
        if head.document_shift.any():
            scores -= vectors @ head.document_shift
            if not head.is_even:  # without a prior, dividing by the spread takes the length off
                length = np.linalg.norm(embeddings - head.document_shift, axis=1)
                scores /= np.where(length > 0, length, 1)[:, None]
        variance = np.einsum("rp,rp->r", scores, scores) / np.float32(scores.shape[1])
        spread = self.sharpness * np.maximum(np.sqrt(variance), 1e-6)
        # A mean of scores is no further from 0 than one that has all of the variance.
        bound = np.sqrt(scores.shape[1]) / self.sharpness
        if not head.is_even:
            prior = head.temperature * head.log_prior
            scores += prior
            bound += np.abs(prior).max() / spread.min(initial=np.inf)
        scores *= (1 / spread)[:, None]
        return softmax(scores, 1 / len(self.heads), bound)

    def save(self, path: Path) -> None:
        """Write the model as one ``.npz`` file without pickled objects."""
        arrays = {
            f"{field}_{number}": getattr(head, field) for number, head in enumerate(self.heads) for field in HEAD_FIELDS
        }
        with path.open("wb") as stream:
            np.savez(
                stream,
                sharpness=np.float32(self.sharpness),
                choice=np.array(self.choice),
                reason=np.array(self.reason),
                **arrays,
            )

    @classmethod
    def load(cls, path: Path) -> LabelModel:
        with np.load(path) as stored:
            n_heads = sum(name.startswith("class_vectors_") for name in stored.files)
            heads = tuple(
                LabelHead(
                    stored[f"class_vectors_{n}"],
                    stored[f"document_shift_{n}"],
                    stored[f"log_prior_{n}"],
                    float(stored[f"temperature_{n}"]),
                )
                for n in range(n_heads)
            )
            return cls(heads, float(stored["sharpness"]), str(stored["choice"]), str(stored["reason"]))


@lru_cache(maxsize=1)
def _path_vectors(model: LabelModel, paths: PathIndex) -> np.ndarray:
    """Weighted means of the class vectors along each path, by head, less their mean over paths: (heads, P, D).

    The mean of a document's path scores is 0 then, so that the mean of their squares is their variance; its posterior
    stays the same, as every path has lost the same.
    """
    vectors = np.stack([paths.weights @ head.class_vectors for head in model.heads])
    return vectors - vectors.mean(axis=1, keepdims=True)
