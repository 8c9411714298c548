"""Soft EM over taxonomy paths: class vectors are pulled towards the documents that seem to be theirs.

It extends TELEClass's corpus-based refinement of class representations (Zhang et al., WWW 2025, section 3.2) from
hard core classes to posteriors over whole paths. Two forms are known; :mod:`teleclass.labelling.selection` chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from teleclass.errors import MemoryShortageError
from teleclass.labelling.annotation import Annotations
from teleclass.labelling.label_model import LabelHead
from teleclass.labelling.paths import PathIndex
from teleclass.labelling.similarity import blocks, product, softmax, unit
from teleclass.runtime.memory import is_out_of_memory, release_memory, tell_halving

_fitting: dict[str, int] = {}
"""Documents at once by device, where more did not fit into its memory."""


@dataclass(frozen=True)
class CorpusSums:
    """Sums over the corpus of one pass: (P,) path mass, (C,) class mass, (C, D) posterior-weighted sums."""

    path_mass: np.ndarray
    class_mass: np.ndarray
    class_sums: np.ndarray

    def centroids(self) -> np.ndarray:
        """Unit centroid of each class, (C, D): a plain mean is shorter than a class text and would count for less."""
        return unit(self.class_sums / np.maximum(self.class_mass, 1e-9)[:, None])

    def balanced_mean(self, paths: PathIndex) -> np.ndarray:
        """Mean of the leaf classes' centroids, shape (D,): the plain mean would be the dominant class's."""
        leaves = np.unique(paths.ends)
        heavy = leaves[self.class_mass[leaves] > 2]
        if not len(heavy):
            heavy = leaves
        centroids = self.class_sums[heavy] / np.maximum(self.class_mass[heavy], 1e-9)[:, None]
        return centroids.mean(axis=0).astype(np.float32)


def soft_em(
    embeddings: np.ndarray,
    head: LabelHead,
    paths: PathIndex,
    iterations: int,
    corpus_weight: float,
    learn_prior: bool,
    shrinkage: float = 0.0,
    annotations: Annotations | None = None,
    rows: np.ndarray | None = None,
    device: str = "cpu",
    tick: Callable[[int], Any] = lambda documents: None,
) -> LabelHead:
    """Run soft EM from ``head``'s class vectors.

    Parameters
    ----------
    embeddings : (N, D), of every document, training and test: no label is read.
    corpus_weight : largest share of the corpus centroid in a class vector.
    learn_prior : learn how common each path is (add-one smoothed), else keep it uniform.
    shrinkage : mass, in shares of the mean path's, at which a class takes half the corpus that it could: where few
        classes hold most documents, the others are fed by the errors of those.
    annotations : core classes that are known of some documents; they sharpen the posteriors of those.
    rows : the documents to learn from, ascending; all when None.
    device : ``cpu`` or ``cuda:N``.
    tick : told the number of documents as they are passed over, ``iterations`` times each.

    Returns
    -------
    the head with its fitted class vectors and prior.
    """
    text = head.class_vectors
    n_documents = len(embeddings) if rows is None else len(rows)
    for _ in range(iterations):
        sums = pass_over(embeddings, head, paths, annotations, rows, device, tick)
        log_prior = head.log_prior
        mass = sums.class_mass[:, None]
        shrunk = mass / (mass + shrinkage * n_documents / paths.n_paths + 1e-9)
        share = corpus_weight * np.minimum(1, mass) * shrunk
        if learn_prior:
            log_prior = np.log((sums.path_mass + 1) / (sums.path_mass.sum() + paths.n_paths)).astype(np.float32)
        vectors = unit((1 - share) * text + share * sums.centroids())
        head = replace(head, class_vectors=vectors, log_prior=log_prior)
    return head


def pass_over(
    embeddings: np.ndarray,
    head: LabelHead,
    paths: PathIndex,
    annotations: Annotations | None = None,
    rows: np.ndarray | None = None,
    device: str = "cpu",
    tick: Callable[[int], Any] = lambda documents: None,
) -> CorpusSums:
    """One expectation step over the corpus, in blocks.

    Scores of paths are linear in class vectors and sums over classes are linear in sums over paths, so a block takes
    two dense products and no sparse one.
    """
    expect = _Expectation(head, paths, device)
    for block in blocks(len(embeddings) if rows is None else len(rows), paths.n_paths):
        waiting: list[slice | np.ndarray] = [block if rows is None else rows[block]]
        while waiting:
            some = waiting.pop()
            documents = head.documents(embeddings[some])
            evidence = None if annotations is None else partial(annotations.sharpen, rows=some)
            if expect.add(documents, evidence):
                tick(len(documents))
            else:
                numbers = np.arange(some.start, some.stop) if isinstance(some, slice) else some
                waiting += np.array_split(numbers, 2)[::-1]
    path_mass, path_sums = expect.sums()
    to_classes = paths.membership.T
    return CorpusSums(path_mass, to_classes @ path_mass, to_classes @ path_sums)


class _Expectation:
    """Posteriors of blocks of documents, and their sums over paths, on the host or on a GPU."""

    def __init__(self, head: LabelHead, paths: PathIndex, device: str):
        vectors = (paths.weights @ head.class_vectors) / np.float32(head.temperature)
        self.device = device
        self.mass: Any = np.zeros(paths.n_paths)
        self.total: Any = np.zeros((paths.n_paths, vectors.shape[1]))
        self.vectors: Any = vectors
        self.log_prior: Any = head.log_prior
        if device != "cpu":
            import torch

            arrays = (self.mass, self.total, self.vectors, self.log_prior)
            tensors = [torch.from_numpy(np.asarray(array)).to(device) for array in arrays]
            self.mass, self.total, self.vectors, self.log_prior = tensors

    def add(self, documents: np.ndarray, evidence: Callable[[np.ndarray], np.ndarray] | None) -> bool:
        """Add the sums of some documents (rows, D); ``evidence`` sharpens their posterior.

        Returns
        -------
        False where the device has no memory for so many; nothing was added then.
        """
        if self.device != "cpu":
            return self._add_on_device(documents, evidence)
        scores = product(self.vectors, documents.T).T
        scores += self.log_prior
        posterior = softmax(scores)
        if evidence is not None:
            posterior = evidence(posterior)
        self.mass += posterior.sum(axis=0)
        self.total += product(posterior.T, documents)
        return True

    def _add_on_device(self, documents: np.ndarray, evidence: Callable[[np.ndarray], np.ndarray] | None) -> bool:
        import torch

        if len(documents) > _fitting.get(self.device, len(documents)):
            return False
        try:
            on_device = torch.from_numpy(np.ascontiguousarray(documents)).to(self.device)
            posterior = torch.softmax(on_device @ self.vectors.T + self.log_prior, dim=1)
            if evidence is not None:
                posterior = torch.from_numpy(evidence(posterior.cpu().numpy())).to(self.device)
            mass, total = posterior.sum(dim=0), posterior.T @ on_device
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        else:
            self.mass += mass
            self.total += total
            return True
        release_memory()
        if len(documents) == 1:
            raise MemoryShortageError(
                f"soft EM on one document does not fit into the memory of {self.device}; end what else uses the device"
            )
        _fitting[self.device] = -(-len(documents) // 2)
        tell_halving(self.device, "documents of soft EM at once", len(documents), _fitting[self.device])
        return False

    def sums(self) -> tuple[np.ndarray, np.ndarray]:
        """(P,) path mass and (P, D) posterior-weighted sums."""
        if self.device == "cpu":
            return self.mass, self.total
        return self.mass.cpu().numpy(), self.total.cpu().numpy()


def log_likelihood(embeddings: np.ndarray, head: LabelHead, paths: PathIndex) -> float:
    """Mean log likelihood of documents under the mixture of paths, in nats and up to a constant.

    The constant (the von Mises-Fisher normaliser) depends on the temperature alone, so heads of one temperature and
    one document shift can be compared.
    """
    log_prior = head.log_prior - np.log(np.exp(head.log_prior).sum())
    total = 0.0
    for rows in blocks(len(embeddings), paths.n_paths):
        scores = paths.path_scores(head.class_scores(embeddings[rows])) / head.temperature + log_prior
        largest = scores.max(axis=1)
        total += float((largest + np.log(np.exp(scores - largest[:, None]).sum(axis=1))).sum())
    return total / max(1, len(embeddings))
