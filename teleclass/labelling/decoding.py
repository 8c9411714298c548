"""From a path posterior to label sets: the set that maximises expected Example-F1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.label_sets import LabelSets
from teleclass.labelling.paths import PathIndex

CANDIDATES = 32
"""Classes a document that are looked at; those beyond carry no probability worth a label."""

SAMPLE = 4_000
"""Documents on which the number of labels a document is solved."""


@dataclass(frozen=True)
class DecodingConfig:
    """How many labels a document is given.

    Parameters
    ----------
    labels_per_document
        the mean number of labels you expect, ancestors counted; 0 when unknown.
    stop_at_inner
        let a path end at an inner class.
    """

    labels_per_document: float = 0.0
    stop_at_inner: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.labels_per_document < float("inf"):
            raise ValueError("decoding.labels_per_document must be a number, 0 or more")


class Decoder:
    """Chooses label sets along the taxonomy.

    Without a number of labels a document, the set S of size k that maximises the expected Example-F1 of one path,
    sum over paths j of e_j · 2|S ∩ path_j| / (k + |path_j|). For a fixed k that sum splits into one term a class, so
    the best S holds the k classes with the largest terms and the maximum is exact, over sets of at most twice the
    longest path's classes. Ancestors that are missing then are added along the most probable parents.

    With a number of labels a document L, marginals p become 1 − (1 − p)^m: the chance to be on one of m independent
    paths, with m solved so that the expected number of labels is L. The set then maximises
    sum over c in S of 2 q_c / (k + 1 + Q − q_c), where Q is the sum of all q.
    """

    def __init__(self, taxonomy: Taxonomy, paths: PathIndex, config: DecodingConfig):
        self.taxonomy = taxonomy
        self.paths = paths
        self.config = config
        self._lengths = np.unique(paths.lengths)
        self._roots = np.unique(paths.roots)
        shortest, longest = self._lengths[[0, -1]].tolist()
        self._largest = 2 * longest
        self._worth_a_label = (2 + shortest) / (2 + longest) / (longest + 1) * (1 - 1e-4)  # less what is rounded
        # Parents come before their children where probabilities tie, as on a branch without forks.
        self._order = taxonomy.levels * 1e-9
        self._of_length = {
            length: (np.flatnonzero(paths.lengths == length), paths.membership[paths.lengths == length].T.tocsr())
            for length in self._lengths.tolist()
        }
        self._parents = _padded_parents(taxonomy)

    def decode(
        self, posterior: np.ndarray, multiplicity: float = 1.0, marginals: np.ndarray | None = None
    ) -> LabelSets:
        """Label sets of documents, closed over one path.

        Parameters
        ----------
        posterior : (rows, P), rows sum to 1.
        multiplicity : m of the class docstring, from :meth:`solve_multiplicity`; only read with a number of labels
            a document.
        marginals : (rows, C), those of the posterior, where they are at hand.

        Returns
        -------
        the classes of each row, most probable first.
        """
        if marginals is None:
            marginals = self.paths.marginals(posterior)
        if self.config.labels_per_document:
            candidates = self._candidates(marginals)
            chosen = self._many_paths(marginals, candidates, multiplicity)
        else:
            candidates = self._likely(marginals)
            chosen = self._one_path(posterior, marginals, candidates)
        return self._ordered(*_flat(candidates, chosen), marginals)

    def _likely(self, marginals: np.ndarray) -> np.ndarray:
        """Classes that a document's best set can hold, most probable first, shape (rows, most of any row).

        Let the best set have k classes, two or more. Without the one of the smallest term t the others would count for
        (k + longest) / (k - 1 + longest) times as much at least, so t is their sum / (k - 1 + longest) at least. One of
        them is the largest, T, and the k - 2 others are no smaller than t: t is T / (longest + 1) at least. A class of
        marginal m has a term of at most 2m / (k + shortest), and the likeliest root one of at least 2m / (k + longest).
        What is less probable than that root by more than these factors is out; it is a class or two beside the path.
        Rows of fewer classes are filled up with C; a row whose marginals are not numbers has none.
        """
        n_rows, n_classes = marginals.shape
        by_class = marginals.T
        least = by_class[self._roots].max(axis=0) * self._worth_a_label
        classes, rows = np.divmod(np.flatnonzero((by_class >= least).ravel()), n_rows)
        order = np.argsort(rows.astype(np.min_scalar_type(n_rows)), kind="stable")  # few bits are sorted by counting
        rows, classes = rows[order], classes[order]
        counts = np.bincount(rows, minlength=n_rows)
        places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        candidates = np.full((n_rows, counts.max(initial=1)), n_classes)
        candidates[rows, places] = classes
        ranks = np.full(candidates.shape, np.inf)
        ranks[rows, places] = self._order[classes] - by_class[classes, rows]
        return np.take_along_axis(candidates, np.argsort(ranks, axis=1, kind="stable")[:, :CANDIDATES], axis=1)

    def _ordered(self, rows: np.ndarray, nodes: np.ndarray, marginals: np.ndarray) -> LabelSets:
        """Sets from (row, class) pairs, of which the rows ascend and the most probable class of each comes first."""
        n_rows, n_classes = marginals.shape
        in_set = np.zeros((n_rows, n_classes + 2), dtype=bool)
        in_set[:, n_classes] = True  # what a root has for a parent
        in_set[rows, nodes] = True
        is_open = ~in_set[rows[:, None], self._parents[nodes]].any(axis=1)
        if is_open.any():  # seldom: only a class of several parents can be more probable than its parent
            opened = np.unique(rows[is_open])
            closed = [self.close(np.flatnonzero(in_set[row, :n_classes]).tolist(), marginals[row]) for row in opened]
            kept = ~np.isin(rows, opened)
            rows = np.concatenate([rows[kept], np.repeat(opened, [len(nodes) for nodes in closed])])
            nodes = np.concatenate([nodes[kept], *closed])
            order = np.lexsort((self._order[nodes] - marginals[rows, nodes], rows))
            rows, nodes = rows[order], nodes[order]
        counts = np.bincount(rows, minlength=n_rows)
        return LabelSets(nodes.astype(np.int32), np.concatenate([[0], np.cumsum(counts)]))

    def multiplicity(self, posterior_of: Callable[[np.ndarray], np.ndarray], n_documents: int) -> float:
        """The multiplicity for :meth:`decode`, solved on a sample of the documents; 1 where no number was given.

        Parameters
        ----------
        posterior_of : from row numbers, ascending, to their (rows, P) posterior.
        """
        if not self.config.labels_per_document:
            return 1.0
        some = np.sort(np.random.default_rng(0).permutation(n_documents)[:SAMPLE])
        return self.solve_multiplicity(self.paths.marginals(posterior_of(some)))

    def solve_multiplicity(self, marginals: np.ndarray) -> float:
        """The m at which documents have ``labels_per_document`` labels on average; marginals (rows, C)."""
        target = self.config.labels_per_document
        low, high = 0.05, 64.0
        for _ in range(40):
            middle = (low * high) ** 0.5
            if _spread(marginals, middle).sum(axis=1).mean() < target:
                low = middle
            else:
                high = middle
        return (low * high) ** 0.5

    def _candidates(self, marginals: np.ndarray) -> np.ndarray:
        """Most probable classes first, shape (rows, at most CANDIDATES)."""
        n_classes = marginals.shape[1]
        n_candidates = min(CANDIDATES, n_classes)
        top = np.argpartition(marginals, n_classes - n_candidates, axis=1)[:, n_classes - n_candidates :]
        ranked = np.take_along_axis(marginals, top, axis=1) - self._order[top]
        order = np.argsort(-ranked, axis=1, kind="stable")
        return np.take_along_axis(top, order, axis=1)

    def _one_path(self, posterior: np.ndarray, marginals: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        places, rows = np.minimum(candidates, marginals.shape[1] - 1), np.arange(len(candidates))[:, None]
        order = np.append(self._order, np.inf)[candidates]
        if len(self._of_length) == 1:  # terms are in proportion to the marginals, of which the candidates are in order
            sums = np.cumsum(marginals.T[places, rows] - order, axis=1)[:, : self._largest]
            sizes = np.arange(1, sums.shape[1] + 1)
            size = 1 + (sums / (sizes + self._largest // 2)).argmax(axis=1)
            return (np.arange(candidates.shape[1]) < size[:, None]) & (candidates < marginals.shape[1])
        # joint[length]: probability that the class lies on the document's path and that this has `length` classes
        joint = {}
        for length, (columns, membership) in self._of_length.items():
            joint[length] = (membership @ posterior.T[columns])[places, rows]

        def terms(size: int) -> np.ndarray:
            return sum(joint[length] * (2.0 / (size + length)) for length in joint) - order

        return _best_sets(terms, candidates.shape, self._largest)

    def _many_paths(self, marginals: np.ndarray, candidates: np.ndarray, multiplicity: float) -> np.ndarray:
        spread = _spread(marginals, multiplicity)
        q, total = np.take_along_axis(spread, candidates, axis=1), spread.sum(axis=1, keepdims=True)
        largest = int(max(2 * self._lengths.max(), np.ceil(4 * self.config.labels_per_document)))

        def terms(size: int) -> np.ndarray:
            return 2 * q / (size + 1 + total - q)

        return _best_sets(terms, candidates.shape, largest)

    def close(self, chosen: list[int], marginals: np.ndarray) -> list[int]:
        """Add to each class without a parent in the set its most probable parent, up to a root."""
        labels = set(chosen)
        waiting = list(chosen)
        while waiting:
            parents = self.taxonomy.parents(waiting.pop())
            if parents and not labels.intersection(parents):
                parent = max(parents, key=lambda node: marginals[node])
                labels.add(parent)
                waiting.append(parent)
        return sorted(labels, key=lambda node: self._order[node] - marginals[node])


def _best_sets(terms: Callable[[int], np.ndarray], shape: tuple[int, int], largest: int) -> np.ndarray:
    """Mask (rows, candidates) of the k classes with the largest terms(k), for each row's best k."""
    best_value, best_size = np.full(shape[0], -np.inf), np.zeros(shape[0], dtype=int)
    sizes = range(1, min(largest, shape[1]) + 1)
    for size in sizes:
        value = -np.sort(-terms(size), axis=1)[:, :size].sum(axis=1)
        better = value > best_value
        best_value[better], best_size[better] = value[better], size
    best = np.zeros(shape, dtype=bool)
    for size in sizes:
        rows = np.flatnonzero(best_size == size)
        if len(rows):
            top = np.argsort(-terms(size)[rows], axis=1, kind="stable")[:, :size]
            best[rows[:, None], top] = True
    return best


def _flat(candidates: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, class) pairs of the candidates that a mask chooses."""
    rows, columns = np.nonzero(chosen)
    return rows, candidates[rows, columns]


def _padded_parents(taxonomy: Taxonomy) -> np.ndarray:
    """(C, largest number of parents): each class's parents; a root has C there, and what is left over is C + 1."""
    parents = [taxonomy.parents(node) or [taxonomy.n_classes] for node in range(taxonomy.n_classes)]
    table = np.full((taxonomy.n_classes, max(map(len, parents))), taxonomy.n_classes + 1)
    for node, own in enumerate(parents):
        table[node, : len(own)] = own
    return table


def _spread(marginals: np.ndarray, multiplicity: float) -> np.ndarray:
    return 1 - (1 - np.clip(marginals, 0, 1)) ** multiplicity
