"""Key terms of classes out of the corpus."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import sparse

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.affinity import SHORTLIST, EnrichmentConfig, class_terms
from teleclass.labelling.phrases import CorpusTerms

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)


def terms_of(counts) -> CorpusTerms:
    counts = np.asarray(counts, dtype=np.int32)
    return CorpusTerms([f"t{column}" for column in range(counts.shape[1])], sparse.csr_matrix(counts))


def membership_of(documents, taxonomy) -> sparse.csr_matrix:
    """One class a document, closed over ancestors."""
    rows = np.zeros((len(documents), taxonomy.n_classes), dtype=np.int8)
    for row, node in enumerate(documents):
        rows[row, list(taxonomy.close([node]))] = 1
    return sparse.csr_matrix(rows)


class Cosines:
    """Given cosines by term and class; remembers what it was asked."""

    def __init__(self, cosines):
        self.cosines = np.asarray(cosines, dtype=np.float32)
        self.asked: list[list[str]] = []

    def __call__(self, terms: list[str]) -> np.ndarray:
        self.asked.append(terms)
        return self.cosines[[int(term[1:]) for term in terms]]


def directly(terms, memberships, taxonomy, cosines, affinity, limit) -> dict[tuple, dict[int, dict[int, float]]]:
    """Each class's terms and affinities by group of siblings, from the definitions, class by class and term by term."""
    counts, belongs = terms.counts.toarray(), memberships.toarray()
    groups = {tuple(sorted(taxonomy.roots))} | {tuple(sorted(taxonomy.children(n))) for n in range(taxonomy.n_classes)}
    result = {}
    for group in groups - {()}:
        siblings = [node for node in group if counts[belongs[:, node] > 0].sum()]
        tf = {node: counts[belongs[:, node] > 0].sum(axis=0) for node in siblings}
        df = {node: (counts[belongs[:, node] > 0] > 0).sum(axis=0) for node in siblings}
        mean_length = np.mean([tf[node].sum() for node in siblings])
        score: dict[int, dict[int, float]] = {node: {} for node in siblings}
        for term in range(counts.shape[1]):
            bm25, pop = {}, {}
            for node in siblings:
                pop[node] = math.log2(1 + df[node][term]) / math.log2(1 + df[node].max())
                norm = 1.2 * (1 - 0.5 + 0.5 * tf[node].sum() / mean_length)
                bm25[node] = tf[node][term] * 2.2 / (tf[node][term] + norm) * pop[node]
            total = 1 + sum(math.exp(value) for value in bm25.values())
            for node in siblings:
                dist, sem = math.exp(bm25[node]) / total, max(0.0, float(cosines[term, node]))
                code = pop[node] ** 0.2 * dist**0.8 * sem
                value = code if affinity == "code" else (pop[node] * dist * sem) ** (1 / 3)
                if value > 0:
                    score[node][term] = value
        top = {node: dict(sorted(own.items(), key=lambda one: -one[1])[:limit]) for node, own in score.items()}
        result[group] = {
            node: {
                term: value
                for term, value in own.items()
                if all(value >= other.get(term, 0) for sibling, other in top.items() if sibling != node)
            }
            for node, own in top.items()
        }
    return result


@pytest.fixture
def corpus():
    """The counts of 30 terms in 80 documents, the documents' classes, and cosines."""
    rng = np.random.default_rng(7)
    terms = terms_of(rng.poisson(0.3, size=(80, 30)))
    nodes = rng.choice([FRUIT, BREAD, KNIVES, LADDERS, BREAD_KNIVES, TOOLS], 80)
    return terms, nodes, rng.uniform(-0.2, 1, size=(30, 7))


@pytest.mark.parametrize("edges", [[], [(TOOLS, BREAD), (KNIVES, LADDERS)]], ids=["one family", "several families"])
@pytest.mark.parametrize("several_parents", ["union", "intersection"])
@pytest.mark.parametrize("affinity", ["code", "paper"])
def test_terms_and_affinities_are_those_of_the_definition(taxonomy, corpus, affinity, several_parents, edges):
    """With two more edges bread and ladders stand among other siblings under each of their parents."""
    graph = Taxonomy(range(7), taxonomy.names, [*taxonomy.graph.edges, *edges])
    terms, nodes, cosines = corpus
    memberships = membership_of(nodes, graph)
    found = class_terms(terms, memberships, graph, Cosines(cosines), EnrichmentConfig(affinity, 8, several_parents))
    by_group = directly(terms, memberships, graph, cosines, affinity, 8)
    join = set.union if several_parents == "union" else set.intersection
    for node in range(7):
        lists = [own[node] for own in by_group.values() if node in own]
        expected = {term: max(own.get(term, 0) for own in lists) for term in join(*(set(own) for own in lists))}
        assert [term for term, _ in found[node]] == [f"t{t}" for t in sorted(expected, key=lambda t: -expected[t])]
        assert [score for _, score in found[node]] == pytest.approx(sorted(expected.values(), reverse=True), rel=1e-5)


def test_a_class_with_two_parents_unites_what_it_is_given_under_each(corpus):
    """The last class is an only child of one parent, and has a sibling under the other."""
    graph = Taxonomy(range(7), list("abcdefg"), [(0, 1), (0, 2), (3, 4), (3, 5), (2, 6), (4, 6), (2, 5)])
    terms, _, cosines = corpus
    memberships = membership_of(np.random.default_rng(8).choice([1, 5, 6], 80), graph)
    united = class_terms(terms, memberships, graph, Cosines(cosines), EnrichmentConfig(terms_per_class=5))
    common = class_terms(
        terms, memberships, graph, Cosines(cosines), EnrichmentConfig(terms_per_class=5, several_parents="intersection")
    )
    assert 5 < len(united[6]) <= 10
    assert 0 < len(common[6]) < 5
    assert {term for term, _ in common[6]} < {term for term, _ in united[6]}


def test_a_term_shared_by_siblings_goes_to_the_one_it_suits_better(taxonomy):
    terms = terms_of([[3, 1]] * 4 + [[1, 3]] * 4)
    memberships = membership_of([FRUIT] * 4 + [BREAD] * 4, taxonomy)
    found = class_terms(terms, memberships, taxonomy, Cosines(np.full((2, 7), 0.5)), EnrichmentConfig())
    assert [term for term, _ in found[FRUIT]] == ["t0"]
    assert [term for term, _ in found[BREAD]] == ["t1"]
    assert {term for term, _ in found[FOOD]} == {"t0", "t1"}  # a root, no sibling of theirs


def test_roots_are_siblings_of_one_another(taxonomy):
    terms = terms_of([[2, 1]] * 3 + [[1, 2]] * 3)
    memberships = membership_of([FRUIT] * 3 + [LADDERS] * 3, taxonomy)
    found = class_terms(terms, memberships, taxonomy, Cosines(np.ones((2, 7))), EnrichmentConfig())
    assert [term for term, _ in found[FOOD]] == ["t0"]
    assert [term for term, _ in found[TOOLS]] == ["t1"]


def test_a_class_without_siblings_still_has_terms_the_frequent_ones_first():
    chain = Taxonomy(range(2), ["top", "below"], [(0, 1)])
    terms = terms_of([[1, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1]])
    memberships = membership_of([1, 1, 1, 0], chain)
    found = class_terms(terms, memberships, chain, Cosines(np.ones((3, 2))), EnrichmentConfig())
    assert [term for term, _ in found[1]] == ["t0", "t1"]
    assert [term for term, _ in found[0]] == ["t0", "t1", "t2"]
    pop = math.log2(3) / math.log2(4)  # two of three documents, and the most frequent term stands in three
    bm25 = 2 * 2.2 / (2 + 1.2) * pop
    assert found[1][1][1] == pytest.approx(pop**0.2 * (math.exp(bm25) / (2 + math.exp(bm25) - 1)) ** 0.8)


def test_a_class_without_documents_or_words_is_absent_and_takes_no_part(taxonomy):
    """With two empty siblings fruit has the affinities of an only child."""
    terms = terms_of([[2, 1], [1, 0], [0, 0]])
    memberships = membership_of([FRUIT, FRUIT, BREAD], taxonomy)
    found = class_terms(terms, memberships, taxonomy, Cosines(np.ones((2, 7))), EnrichmentConfig())
    assert set(found) == {FOOD, FRUIT}
    alone = Taxonomy(range(2), ["food", "fruit"], [(0, 1)])
    only = class_terms(terms, membership_of([1, 1, 0], alone), alone, Cosines(np.ones((2, 2))), EnrichmentConfig())
    assert found[FRUIT] == only[1]


def test_a_term_of_another_meaning_is_not_taken(taxonomy):
    terms = terms_of([[5, 1, 1]] * 3)
    cosines = np.array([[-0.4] * 7, [0.3] * 7, [0.0] * 7])
    found = class_terms(terms, membership_of([FRUIT] * 3, taxonomy), taxonomy, Cosines(cosines), EnrichmentConfig())
    assert [term for term, _ in found[FRUIT]] == ["t1"]


def test_the_similarity_is_asked_once_and_for_a_shortlist_without_repetition(taxonomy):
    rng = np.random.default_rng(3)
    terms = terms_of(rng.poisson(0.5, size=(60, 400)))
    memberships = membership_of(rng.choice([FRUIT, BREAD, LADDERS, KNIVES], 60), taxonomy)
    cosines = Cosines(rng.uniform(0.1, 1, size=(400, 7)))
    found = class_terms(terms, memberships, taxonomy, cosines, EnrichmentConfig(terms_per_class=2))
    (asked,) = cosines.asked
    assert len(set(asked)) == len(asked) <= 6 * 2 * SHORTLIST < 400
    assert all(1 <= len(own) <= 2 for own in found.values())
    for own in found.values():
        assert {term for term, _ in own} <= set(asked)


@pytest.mark.parametrize("affinity", ["code", "paper"])
def test_nothing_comes_of_nothing(taxonomy, affinity):
    def refuse(terms):
        raise AssertionError("there is nothing to ask for")

    no_documents = sparse.csr_matrix((4, 7), dtype=np.int8)
    some = membership_of([FRUIT] * 4, taxonomy)
    config = EnrichmentConfig(affinity)
    assert class_terms(terms_of(np.ones((4, 2))), no_documents, taxonomy, refuse, config) == {}
    assert class_terms(terms_of(np.zeros((4, 2))), some, taxonomy, refuse, config) == {}
    assert class_terms(terms_of(np.zeros((4, 0))), some, taxonomy, refuse, config) == {}
    none_wanted = EnrichmentConfig(affinity, terms_per_class=0)
    assert class_terms(terms_of(np.ones((4, 2))), some, taxonomy, refuse, none_wanted) == {}


def test_the_given_matrices_are_left_as_they_were(taxonomy, corpus):
    terms, nodes, cosines = corpus
    memberships = membership_of(nodes, taxonomy)
    before = terms.counts.toarray(), memberships.toarray()
    class_terms(terms, memberships, taxonomy, Cosines(cosines), EnrichmentConfig())
    assert (terms.counts.toarray() == before[0]).all()
    assert (memberships.toarray() == before[1]).all()


@pytest.mark.parametrize(
    "setting", [{"affinity": "best"}, {"terms_per_class": -1}, {"several_parents": "any"}], ids=str
)
def test_a_setting_out_of_range_is_refused_by_its_name(setting):
    with pytest.raises(ValueError, match=f"enrichment.{next(iter(setting))}"):
        EnrichmentConfig(**setting)
