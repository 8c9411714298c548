"""The label model: class vectors fitted to a corpus, and the path posterior they give a document."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from teleclass.labelling.paths import PathIndex
from teleclass.labelling.similarity import softmax, unit

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
        total = np.zeros((paths.n_paths, len(embeddings)), dtype=np.float32).T  # in memory as the posteriors are
        for head in self.heads:
            scores = head.class_scores(embeddings)
            spread = scores.std(axis=1, keepdims=True)
            evidence = paths.path_scores(scores) + head.temperature * head.log_prior
            total += softmax(evidence / (self.sharpness * np.maximum(spread, 1e-6)))
        total /= len(self.heads)
        return total

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
