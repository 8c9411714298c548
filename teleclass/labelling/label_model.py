"""The label model: class vectors fitted to a corpus, and the path posterior they give a document."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
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

    @cached_property
    def centred_vectors(self) -> np.ndarray:
        """Class vectors less their mean, (C, D).

        The mean of a document's scores over the classes is 0 then, so that the mean of their squares is their variance;
        its posterior stays the same, as every path has lost the same.
        """
        return self.class_vectors - self.class_vectors.mean(axis=0)

    @cached_property
    def _of_shift(self) -> np.ndarray:
        """Products of the centred class vectors and the document shift, (C,)."""
        return self.centred_vectors @ self.document_shift

    def shift_off(self, scores: np.ndarray, embeddings: np.ndarray) -> None:
        """Make products of embeddings and centred vectors, (rows, C), those of documents as the head sees them.

        Where no prior is added they are not scaled by the document's length, as they are divided by their spread.
        """
        if not self.document_shift.any():
            return
        scores -= self._of_shift
        if not self.is_even:
            length = np.linalg.norm(embeddings - self.document_shift, axis=1)
            scores /= np.where(length > 0, length, 1)[:, None]

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


@dataclass(frozen=True)
class LabelModel:
    """The fitted heads (their posteriors are averaged) and how sharp the posterior is.

    Attributes
    ----------
    sharpness : divides path scores, in standard deviations of a document's class scores.
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
        scores = np.split(product(self._centred_vectors, embeddings.T), len(self.heads))
        mean, *others = (self._posterior_of(*one, embeddings, paths) for one in zip(self.heads, scores, strict=True))
        for other in others:
            mean += other
        return mean

    @cached_property
    def _centred_vectors(self) -> np.ndarray:
        """Centred class vectors of all heads, one head's under the other's, (heads · C, D)."""
        return np.concatenate([head.centred_vectors for head in self.heads])

    def _posterior_of(
        self, head: LabelHead, by_class: np.ndarray, embeddings: np.ndarray, paths: PathIndex
    ) -> np.ndarray:
        """The posterior that one head gives, of products (C, rows), in rows that sum to 1 / heads."""
        scores = by_class.T
        head.shift_off(scores, embeddings)
        variance = np.einsum("rc,rc->r", scores, scores) / np.float32(scores.shape[1])
        spread = self.sharpness * np.maximum(np.sqrt(variance), 1e-6)
        evidence = paths.path_scores(scores)
        # A mean of scores is no further from 0 than one that has all of the variance.
        bound = np.sqrt(scores.shape[1]) / self.sharpness
        if not head.is_even:
            prior = head.temperature * head.log_prior
            evidence += prior
            bound += np.abs(prior).max() / spread.min(initial=np.inf)
        evidence /= spread[:, None]
        return softmax(evidence, 1 / len(self.heads), bound)

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
