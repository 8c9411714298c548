"""What a user would pick today, from the same embeddings; and the supervised bound."""

from __future__ import annotations

import warnings

import numpy as np

from benchmarks.evaluation import Filed, Gold, LeftOut, chosen_first, decode
from teleclass.data.dataset import Dataset
from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.combination import classifier_log_posterior
from teleclass.labelling.decoding import Decoder, DecodingConfig
from teleclass.labelling.metrics import top_classes
from teleclass.labelling.paths import PathIndex, index_paths

MARGIN = 0.05
"""How far below the best class's cosine another is still given. A threshold that needs no gold, at any number of
classes: mean + 3 standard deviations gives none at all below 11 classes."""

FOLDS = 5
INVERSE_REGULARISATION = 10.0


def cosine_top_3(cosines: np.ndarray) -> Filed:
    """The three most similar classes, from (N, C) cosines; the taxonomy is not used."""
    return Filed([set(top) for top in top_classes(cosines, min(3, cosines.shape[1]))], cosines)


def cosine_threshold(cosines: np.ndarray) -> Filed:
    """Every class within ``MARGIN`` of the most similar one; the taxonomy is not used."""
    near = cosines >= cosines.max(axis=1, keepdims=True) - MARGIN
    return Filed([set(np.flatnonzero(row).tolist()) for row in near], cosines)


def best_leaf(cosines: np.ndarray, taxonomy: Taxonomy) -> Filed:
    """The most similar leaf class, and its ancestors over all parents."""
    leaves = np.array(taxonomy.leaves)
    best = leaves[cosines[:, leaves].argmax(axis=1)]
    return chosen_first([taxonomy.close([int(leaf)]) for leaf in best], cosines)


def tree_search(cosines: np.ndarray, taxonomy: Taxonomy) -> Filed:
    """TELEClass's candidate search (section 3.1), and the most similar candidate with its ancestors over all parents.

    There a language model picks among the candidates; without one the most similar is taken. Similarity is the cosine
    with the class text, as in all other rows, so that the row tells of the search alone.
    """
    labels = []
    scores = np.array(cosines, dtype=np.float32)
    for row, similarity in enumerate(np.asarray(cosines)):
        candidates = sorted(search_candidates(similarity, taxonomy))
        best = max(candidates, key=lambda node: similarity[node])
        labels.append(taxonomy.close([best]))
        scores[row, candidates] += 3
    for row, chosen in enumerate(labels):
        scores[row, sorted(chosen)] += 3
    return Filed(labels, scores)


def search_candidates(similarity: np.ndarray, taxonomy: Taxonomy) -> dict[int, float]:
    """Classes that the top-down search keeps, with their path scores.

    Level l = 0 is a virtual root above all roots, with path score 1. Every class kept at level l offers its l + 3 most
    similar children; the path score of a child is the largest product of a parent's path score and its own similarity
    (below 0 taken as 0); of all that are offered the (l + 2)² with the largest path scores are kept, as level l + 1.
    Ties go to the lower position.

    Parameters
    ----------
    similarity : (C,), of one document.
    """
    positive = np.maximum(similarity, 0).astype(np.float64).tolist()

    def best_children(children: list[int], number: int) -> list[int]:
        return sorted(children, key=lambda node: (-float(similarity[node]), node))[:number]

    kept: dict[int, float] = {}
    offered = {node: positive[node] for node in best_children(taxonomy.roots, 3)}
    level = 0
    while offered:
        best = sorted(offered, key=lambda node: (-offered[node], node))[: (level + 2) ** 2]
        current = {node: offered[node] for node in best}
        kept |= {node: max(score, kept.get(node, 0.0)) for node, score in current.items()}
        level += 1
        offered = {}
        for parent, score in current.items():
            for child in best_children(taxonomy.children(parent), level + 3):
                offered[child] = max(offered.get(child, 0.0), score * positive[child])
    return kept


def supervised(embeddings: np.ndarray, gold: Gold, data: Dataset, decoding: DecodingConfig) -> Filed:
    """One-vs-rest logistic regression on the training documents' gold, decoded along paths: the upper bound.

    Where there is no test corpus the filed documents are the training documents: each fifth of them is then filed by
    a regression on the others.

    Parameters
    ----------
    embeddings : (N, D), of all documents.
    gold : of the training documents.

    Raises
    ------
    LeftOut : no training document has gold.
    """
    if not len(gold.rows):
        raise LeftOut("no gold for training documents")
    n_classes = data.taxonomy.n_classes
    if data.corpus.n_test:
        filed = np.asarray(embeddings[data.corpus.predicted])
        logits = _fit_logits(np.asarray(embeddings[gold.rows]), gold.labels, filed, n_classes)
    else:
        every = np.asarray(embeddings)
        logits = np.empty((len(every), n_classes), dtype=np.float32)
        fold_of = np.random.default_rng(0).permutation(len(every)) % FOLDS
        for fold in range(FOLDS):
            others = fold_of[gold.rows] != fold
            labels = [one for one, other in zip(gold.labels, others, strict=True) if other]
            mine = fold_of == fold
            logits[mine] = _fit_logits(every[gold.rows[others]], labels, every[mine], n_classes)
    paths = index_paths(data.taxonomy, decoding.stop_at_inner)
    return decode_logits(logits, paths, Decoder(data.taxonomy, paths, decoding))


def decode_logits(logits: np.ndarray, paths: PathIndex, decoder: Decoder) -> Filed:
    """File documents by (N, C) logits of independent classes."""
    return decode(lambda rows: np.exp(classifier_log_posterior(logits[rows], paths)), len(logits), paths, decoder)


def _fit_logits(documents: np.ndarray, labels: list[set[int]], filed: np.ndarray, n_classes: int) -> np.ndarray:
    """Logits of the filed documents, (rows, C); a class that no or every document has gets its smoothed log odds."""
    from sklearn.linear_model import LogisticRegression

    logits = np.empty((len(filed), n_classes), dtype=np.float32)
    for node in range(n_classes):
        own = np.array([node in classes for classes in labels], dtype=bool)
        count = int(own.sum())
        if count in (0, len(own)):
            logits[:, node] = np.log((count + 0.5) / (len(own) - count + 0.5))
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a regression that is not quite at its optimum is told by its metrics
            fitted = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=200).fit(documents, own)
        logits[:, node] = fitted.decision_function(filed)
    return logits
