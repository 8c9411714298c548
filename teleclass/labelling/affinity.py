"""Key terms of classes, mined from the corpus: the taxonomy enrichment of TELEClass (WWW 2025, section 3.2).

A term suits a class that mentions it often (popularity), more than its siblings do (distinctiveness), and whose name
means something similar (semantic similarity).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.phrases import CorpusTerms

SHORTLIST = 10
"""Terms of a class whose similarity is asked for, in multiples of those it is given."""
BM25_K = 1.2
BM25_B = 0.5


@dataclass(frozen=True)
class EnrichmentConfig:
    """Which key terms a class is given.

    Parameters
    ----------
    affinity
        "code", popularity ** .2 · distinctiveness ** .8 · similarity, as the code released with TELEClass has it, or
        "paper", the geometric mean of the three.
    terms_per_class
        terms of a class under each of its parents.
    several_parents
        "union" of a class's terms under its several parents, or "intersection", which leaves some classes without any.
    corpus_terms
        mine the corpus for terms of each class: for the report, for refinement, and for class texts if asked.
    terms_in_texts
        put mined terms into the texts of classes without keywords. It helped one of five corpora measured.
    llm_terms
        key terms that the language model is asked for, of a class without keywords.
    """

    affinity: str = "code"
    terms_per_class: int = 20
    several_parents: str = "union"
    corpus_terms: bool = True
    terms_in_texts: bool = False
    llm_terms: int = 10

    def __post_init__(self) -> None:
        if self.llm_terms < 1:
            raise ValueError("enrichment.llm_terms must be 1 or more")
        if self.affinity not in ("code", "paper"):
            raise ValueError("enrichment.affinity must be code or paper")
        if self.terms_per_class < 0:
            raise ValueError("enrichment.terms_per_class must be 0 or more")
        if self.several_parents not in ("union", "intersection"):
            raise ValueError("enrichment.several_parents must be union or intersection")


@dataclass(frozen=True)
class _Family:
    """Siblings that have documents, and their shortlisted terms: one entry a (sibling, term).

    Attributes
    ----------
    nodes : (siblings,) class positions.
    owners, terms : (entries,), row of ``nodes`` and column of the corpus terms.
    factors : (entries,), popularity and distinctiveness put together.
    """

    nodes: np.ndarray
    owners: np.ndarray
    terms: np.ndarray
    factors: np.ndarray


def class_terms(
    terms: CorpusTerms,
    memberships: sparse.csr_matrix,
    taxonomy: Taxonomy,
    similarity_of: Callable[[list[str]], np.ndarray],
    config: EnrichmentConfig,
) -> dict[int, list[tuple[str, float]]]:
    """Find the corpus terms of every class.

    As in the released code, a term that two siblings would both be given stays with the one of greater affinity, and
    a sibling without documents takes no part in the comparison.

    Parameters
    ----------
    terms : of the N documents.
    memberships : (N, C) 0 or 1, whether a document's core classes hold the class or one of its descendants.
    similarity_of : cosines of terms with class names, (terms, C); called once, with a shortlist.

    Returns
    -------
    (term, affinity) by class position, best first; a class that has no documents or no term is absent.
    """
    if not config.terms_per_class or not terms.terms:
        return {}
    pooled = sparse.csr_matrix(memberships, dtype=np.int32).T.tocsr()
    frequency = sparse.csr_matrix(pooled @ terms.counts)
    present = terms.counts.copy()
    present.data[:] = 1
    n_documents = sparse.csr_matrix(pooled @ present)
    for counts in (frequency, n_documents):
        counts.sort_indices()

    # The children of two parents may be the same ones; compared twice they would say the same.
    siblings = dict.fromkeys(tuple(sorted(taxonomy.children(node))) for node in range(taxonomy.n_classes))
    groups = [group for group in [tuple(sorted(taxonomy.roots)), *siblings] if group]
    families = [
        _compare(frequency[nodes], n_documents[nodes], nodes, config)
        for group in dict.fromkeys(groups)
        if len(nodes := np.array(group)[np.diff(frequency.indptr)[list(group)] > 0])
    ]
    asked = np.unique(np.concatenate([family.terms for family in families])) if families else np.zeros(0, np.int64)
    if not len(asked):
        return {}
    similarity = np.maximum(0, similarity_of([terms.terms[column] for column in asked]))

    found: dict[int, list[dict[int, float]]] = {}
    for family in families:
        cosines = similarity[np.searchsorted(asked, family.terms), family.nodes[family.owners]]
        scores = family.factors * (cosines if config.affinity == "code" else np.cbrt(cosines))
        for node, given in zip(family.nodes.tolist(), _share_out(family, scores, config.terms_per_class), strict=True):
            found.setdefault(node, []).append(given)
    return {
        node: [
            (terms.terms[column], score) for column, score in sorted(given.items(), key=lambda one: (-one[1], one[0]))
        ]
        for node, lists in sorted(found.items())
        if (given := _unite(lists, config.several_parents))
    }


def _compare(
    frequency: sparse.csr_matrix, n_documents: sparse.csr_matrix, nodes: np.ndarray, config: EnrichmentConfig
) -> _Family:
    """Popularity and distinctiveness of every term of some siblings, and the shortlist of each.

    Distinctiveness is a softmax over the siblings' BM25 with one more summand exp(0), as if there were an empty
    sibling too: so in the released code, and what makes a class without siblings comparable, where it is a sigmoid.

    Parameters
    ----------
    frequency, n_documents : (siblings, T), occurrences of the terms in the siblings' documents, and documents.
    """
    n_siblings, n_terms = frequency.shape
    owners = np.repeat(np.arange(n_siblings), np.diff(frequency.indptr))
    columns = frequency.indices
    logs = np.log2(1 + n_documents.data)
    popularity = logs / np.maximum.reduceat(logs, frequency.indptr[:-1])[owners]
    length = np.bincount(owners, weights=frequency.data, minlength=n_siblings)
    norm = BM25_K * (1 - BM25_B + BM25_B * length / length.mean())
    grown = np.exp(frequency.data * (BM25_K + 1) / (frequency.data + norm[owners]) * popularity)
    # a sibling that lacks the term has BM25 0 and adds exp(0)
    total = 1 + n_siblings + np.bincount(columns, weights=grown - 1, minlength=n_terms)
    distinctiveness = grown / total[columns]
    if config.affinity == "code":
        factors = popularity**0.2 * distinctiveness**0.8
    else:
        factors = np.cbrt(popularity * distinctiveness)
    kept = _best(owners, columns, factors, SHORTLIST * config.terms_per_class)
    return _Family(nodes, owners[kept], columns[kept], factors[kept])


def _best(owners: np.ndarray, columns: np.ndarray, scores: np.ndarray, limit: int) -> np.ndarray:
    """Entries of the ``limit`` best scores of each owner, best first; ties go to the more frequent term."""
    order = np.lexsort((columns, -scores, owners))
    starts = np.searchsorted(owners[order], owners[order])
    return order[np.arange(len(order)) - starts < limit]


def _share_out(family: _Family, scores: np.ndarray, limit: int) -> list[dict[int, float]]:
    """Scores by term of each sibling, a term at one sibling alone."""
    given: list[dict[int, float]] = [{} for _ in family.nodes]
    best: dict[int, tuple[float, int]] = {}
    for entry in _best(family.owners, family.terms, scores, limit):
        term, score, owner = int(family.terms[entry]), float(scores[entry]), int(family.owners[entry])
        if score > 0 and score > best.get(term, (0.0, 0))[0]:
            best[term] = score, owner
    for term, (score, owner) in best.items():
        given[owner][term] = score
    return given


def _unite(lists: list[dict[int, float]], several_parents: str) -> dict[int, float]:
    """A class's terms under all of its parents, each with its best score."""
    terms = set(lists[0]).intersection(*lists) if several_parents == "intersection" else set().union(*lists)
    return {term: max(given.get(term, 0.0) for given in lists) for term in terms}
