"""Label sets: the best by brute force, closed, and as many as are asked for."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.decoding import SAMPLE, Decoder, DecodingConfig
from teleclass.labelling.label_model import LabelHead, LabelModel
from teleclass.labelling.paths import index_paths
from teleclass.labelling.similarity import unit

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)
FRUIT_PATH = (FOOD, FRUIT)
LADDER_PATH = (TOOLS, LADDERS)
BY_BREAD = (FOOD, BREAD, BREAD_KNIVES)
BY_KNIVES = (TOOLS, KNIVES, BREAD_KNIVES)


def decoder_of(taxonomy: Taxonomy, labels_per_document: float = 0.0, stop_at_inner: bool = False) -> Decoder:
    config = DecodingConfig(labels_per_document, stop_at_inner)
    return Decoder(taxonomy, index_paths(taxonomy, stop_at_inner), config)


def posterior_over(taxonomy: Taxonomy, shares: dict[tuple[int, ...], float], stop_at_inner: bool = False) -> np.ndarray:
    return np.array([[shares.get(path, 0.0) for path in taxonomy.paths(stop_at_inner)]])


def expected_f1(labels: set[int], posterior: np.ndarray, paths: list[tuple[int, ...]]) -> float:
    """The definition: sum over paths of e · 2|S ∩ path| / (|S| + |path|)."""
    return sum(e * 2 * len(labels & set(path)) / (len(labels) + len(path)) for e, path in zip(posterior, paths))  # noqa: B905


def all_subsets(n_classes: int, largest: int) -> list[set[int]]:
    return [set(some) for size in range(1, largest + 1) for some in combinations(range(n_classes), size)]


def check_against_brute_force(taxonomy: Taxonomy, posterior: np.ndarray, subsets: list[set[int]], inner: bool) -> int:
    """Compare every row with the best of ``subsets``; returns the number of rows in which nothing was added.

    What is exactly true: the decoder starts from a set with the largest expected F1 of all, and only adds ancestors
    that close it. So where the best sets are closed its own value is the largest; where it is not, a best set lies
    within the decoded one. With one parent a class every best set can be closed for nothing.
    """
    paths = taxonomy.paths(inner)
    values = np.zeros((len(posterior), len(subsets)))
    for column, labels in enumerate(subsets):
        gain = np.array([2 * len(labels & set(path)) / (len(labels) + len(path)) for path in paths])
        values[:, column] = posterior @ gain
    one_parent = all(len(taxonomy.parents(node)) < 2 for node in range(taxonomy.n_classes))
    n_untouched = 0
    for row, classes in enumerate(decoder_of(taxonomy, stop_at_inner=inner).decode(posterior)):
        decoded, value = set(classes), expected_f1(set(classes), posterior[row], paths)
        best = values[row].max()
        optima = [subsets[column] for column in np.flatnonzero(values[row] >= best - 1e-6)]
        if one_parent or all(taxonomy.is_closed(optimum) for optimum in optima):
            assert value >= best - 1e-6
        within = [optimum for optimum in optima if optimum <= decoded]
        assert any(decoded - optimum <= set().union(*map(taxonomy.ancestors, optimum)) for optimum in within)
        n_untouched += value >= best - 1e-6
    return n_untouched


# --- one path


def test_an_uncertain_document_by_hand(taxonomy):
    """fruit .55, bread knives by bread .45.

    {food}: .55·2/3 + .45·2/4 = .592;  {food, fruit}: .55·1 + .45·2/5 = .73;  {food, bread, bread knives}: .67;
    {food, fruit, bread}: .55·4/5 + .45·4/6 = .74;  all four: .55·4/6 + .45·6/7 = .752, the best.
    """
    posterior = posterior_over(taxonomy, {FRUIT_PATH: 0.55, BY_BREAD: 0.45})
    assert expected_f1({FOOD, FRUIT}, posterior[0], taxonomy.paths()) == pytest.approx(0.73)
    (labels,) = decoder_of(taxonomy).decode(posterior)
    assert set(labels) == {FOOD, FRUIT, BREAD, BREAD_KNIVES}


def test_a_fork_that_is_not_worth_a_guess_is_left_open(taxonomy):
    """Over ten even leaves of one root, the root and a leaf: .1 + .9·2/4 = .55; the root alone: 2/3."""
    fan = Taxonomy(range(11), [f"c{node}" for node in range(11)], [(0, leaf) for leaf in range(1, 11)])
    assert decoder_of(fan).decode(np.full((1, 10), 0.1))[0] == [0]


def test_a_sure_document_gets_exactly_its_path_root_first(taxonomy):
    for path in taxonomy.paths():
        assert decoder_of(taxonomy).decode(posterior_over(taxonomy, {path: 1.0}))[0] == list(path)


@pytest.mark.parametrize("asked", [0.0, 3.0])
def test_equally_likely_parents_come_first_where_children_stand_before_them_in_the_file(asked):
    """Leaf 0, inner 1, root 2 of one sure path: only the level tells them apart."""
    chain = Taxonomy(range(3), ["leaf", "inner", "root"], [(2, 1), (1, 0)])
    assert decoder_of(chain, asked).decode(np.ones((1, 1)))[0] == [2, 1, 0]


@pytest.mark.parametrize("asked", [0.0, 1.0])
def test_where_nothing_is_known_the_few_labels_are_roots(asked):
    """20 even chains of two, leaves first in the file: sets of at most 4, and roots need nothing added to be closed."""
    chains = Taxonomy(range(40), [f"c{node}" for node in range(40)], [(20 + leaf, leaf) for leaf in range(20)])
    (labels,) = decoder_of(chains, asked).decode(np.full((1, 20), 0.05))
    assert len(labels) == 4
    assert min(labels) >= 20


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("concentration", [0.2, 0.6, 2.0])
def test_the_set_before_closing_is_the_best_of_all_127(taxonomy, monkeypatch, concentration, inner):
    """Closing is taken out, so what is decoded is the maximum itself."""
    monkeypatch.setattr(Decoder, "close", lambda self, chosen, marginals: chosen)
    paths, subsets = taxonomy.paths(inner), all_subsets(7, 7)
    assert len(subsets) == 127
    posterior = np.random.default_rng(2).dirichlet(np.full(len(paths), concentration), size=60)
    for e, classes in zip(posterior, decoder_of(taxonomy, stop_at_inner=inner).decode(posterior), strict=True):
        best = max(expected_f1(labels, e, paths) for labels in subsets)
        assert expected_f1(set(classes), e, paths) == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("concentration", [0.1, 0.3, 1.0])
def test_paths_of_one_length_against_all_label_sets_of_up_to_four(concentration):
    """Two roots of three leaves: all that tells the terms of classes apart are their marginals."""
    tree = Taxonomy(range(8), [f"c{node}" for node in range(8)], [(leaf % 2, leaf) for leaf in range(2, 8)])
    posterior = np.random.default_rng(4).dirichlet(np.full(6, concentration), size=200)
    check_against_brute_force(tree, posterior, all_subsets(8, 4), inner=False)
    assert len({len(labels) for labels in decoder_of(tree).decode(posterior)}) > 2


@pytest.mark.parametrize("concentration", [0.2, 0.6, 2.0])
def test_the_seven_classes_against_all_127_label_sets(taxonomy, concentration):
    posterior = np.random.default_rng(0).dirichlet(np.full(4, concentration), size=150)
    n_untouched = check_against_brute_force(taxonomy, posterior, all_subsets(7, 7), inner=False)
    assert n_untouched > 100  # closing is the exception


def test_the_decoder_is_not_beaten_by_a_closed_set_unless_it_had_to_close_its_own(taxonomy):
    """Where the best of all label sets is closed already, nothing closed is better than what was decoded."""
    posterior = np.random.default_rng(1).dirichlet(np.full(4, 0.6), size=200)
    paths, subsets = taxonomy.paths(), all_subsets(7, 7)
    n_compared = 0
    for e, classes in zip(posterior, decoder_of(taxonomy).decode(posterior), strict=True):
        best = max(subsets, key=lambda labels, e=e: expected_f1(labels, e, paths))
        if taxonomy.is_closed(best):
            closed = max(expected_f1(labels, e, paths) for labels in subsets if taxonomy.is_closed(labels))
            assert expected_f1(set(classes), e, paths) >= closed - 1e-6
            n_compared += 1
    assert n_compared > 100


def test_a_class_that_is_likelier_than_both_parents_brings_the_likelier_parent_along(taxonomy):
    """Bread knives .55 (by bread .3, by knives .25), ladders .45: the best set is tools, bread knives, ladders.

    .3·2/6 + .25·4/6 + .45·4/5 = .627; with bread and food: .3·6/8 + .25·4/8 + .45·4/7 = .607.
    """
    posterior = posterior_over(taxonomy, {BY_BREAD: 0.3, BY_KNIVES: 0.25, LADDER_PATH: 0.45})
    best = max(all_subsets(7, 7), key=lambda labels: expected_f1(labels, posterior[0], taxonomy.paths()))
    assert best == {TOOLS, LADDERS, BREAD_KNIVES}
    (labels,) = decoder_of(taxonomy).decode(posterior)
    assert set(labels) == best | {BREAD, FOOD}


def test_a_class_with_a_parent_in_the_set_does_not_bring_a_likelier_one_along():
    """Class 1 below root 0 (.4), and below class 2 (.6), to which four chains of ten lead, .15 each.

    {0, 1}: .4·4/4 + .6·2/14 = .486;  with class 2: .4·4/5 + .6·4/15 = .48;  with a chain too: .323.
    """
    edges, chains = [(0, 1), (2, 1)], [list(range(start, start + 10)) for start in (3, 13, 23, 33)]
    for chain in chains:
        edges += [*pairwise(chain), (chain[-1], 2)]
    taxonomy = Taxonomy(range(43), [f"c{node}" for node in range(43)], edges)
    posterior = posterior_over(taxonomy, {(0, 1): 0.4} | {(*chain, 2, 1): 0.15 for chain in chains})
    assert set(decoder_of(taxonomy).decode(posterior)[0]) == {0, 1}


# --- any taxonomy


@st.composite
def taxonomies(draw, max_classes: int) -> Taxonomy:
    """A random DAG whose classes stand in any order in the file."""
    n_classes = draw(st.integers(1, max_classes))
    order = draw(st.permutations(range(n_classes)))
    forward = [(order[low], order[high]) for high in range(n_classes) for low in range(high)]
    edges = draw(st.lists(st.sampled_from(forward), unique=True, max_size=2 * n_classes)) if forward else []
    return Taxonomy(range(n_classes), [f"c{node}" for node in range(n_classes)], edges)


@st.composite
def cases(draw, max_classes: int) -> tuple[Taxonomy, bool, np.ndarray]:
    """A taxonomy and three posteriors over its paths, with ties and zeros as often as not."""
    taxonomy, inner = draw(taxonomies(max_classes)), draw(st.booleans())
    n_paths = len(taxonomy.paths(inner))
    if draw(st.booleans()):
        rows = draw(st.lists(st.lists(st.integers(0, 5), min_size=n_paths, max_size=n_paths), min_size=3, max_size=3))
        weights = np.array(rows, dtype=float)
        weights[weights.sum(axis=1) == 0] = 1
    else:
        weights = np.random.default_rng(draw(st.integers(0, 10_000))).gamma(0.5, size=(3, n_paths)) + 1e-9
    return taxonomy, inner, weights / weights.sum(axis=1, keepdims=True)


@settings(max_examples=60, deadline=None)
@given(case=cases(max_classes=6))
def test_any_taxonomy_against_all_label_sets_up_to_twice_the_longest_path(case):
    taxonomy, inner, posterior = case
    longest = max(len(path) for path in taxonomy.paths(inner))
    subsets = all_subsets(taxonomy.n_classes, min(2 * longest, taxonomy.n_classes))
    check_against_brute_force(taxonomy, posterior, subsets, inner)


@settings(max_examples=60, deadline=None)
@given(case=cases(max_classes=12), asked=st.sampled_from([0.0, 0.5, 1.0, 2.5, 8.0]), single=st.booleans())
def test_label_sets_are_never_empty_closed_without_duplicates_and_ranked(case, asked, single):
    taxonomy, inner, posterior = case
    posterior = posterior.astype(np.float32 if single else np.float64)
    decoder = decoder_of(taxonomy, asked, inner)
    marginals = index_paths(taxonomy, inner).marginals(posterior)
    multiplicity = decoder.solve_multiplicity(marginals) if asked else 1.0
    decoded = decoder.decode(posterior, multiplicity)
    assert len(decoded) == len(posterior)
    for row, labels in enumerate(decoded):
        assert labels
        assert len(labels) == len(set(labels))
        assert set(labels) <= set(range(taxonomy.n_classes))
        assert taxonomy.is_closed(set(labels))
        assert all(marginals[row, a] >= marginals[row, b] - 1e-6 for a, b in pairwise(labels))


@settings(max_examples=40, deadline=None)
@given(case=cases(max_classes=12))
def test_a_document_is_decoded_alike_alone_and_among_others(case):
    taxonomy, inner, posterior = case
    decoder = decoder_of(taxonomy, stop_at_inner=inner)
    assert list(decoder.decode(posterior)) == [decoder.decode(row[None])[0] for row in posterior]


@pytest.mark.parametrize("lost", [[1], [0, 1, 2]])
@pytest.mark.parametrize("inner", [False, True])
def test_a_document_whose_posterior_is_no_number_gets_no_label_and_the_others_theirs(lost, inner):
    """Its margin is no number either, by which the label phase finds it; a fan has paths of one length, or of two."""
    fan = Taxonomy(range(4), ["root", "a", "b", "c"], [(0, 1), (0, 2), (0, 3)])
    decoder = decoder_of(fan, stop_at_inner=inner)
    posterior = np.eye(decoder.paths.n_paths)[:3]
    expected = list(decoder.decode(posterior))
    posterior[lost] = np.nan
    decoded = decoder.decode(posterior)
    assert list(decoded) == [[] if row in lost else expected[row] for row in range(3)]


def test_more_classes_than_candidates_leave_the_path_of_a_sure_document_alone():
    """60 leaves below one root, 61 classes; 32 are looked at."""
    fan = Taxonomy(range(61), [f"c{node}" for node in range(61)], [(60, leaf) for leaf in range(60)])
    posterior = np.full((60, 60), 0.1 / 59)
    np.fill_diagonal(posterior, 0.9)
    assert list(decoder_of(fan).decode(posterior)) == [[60, leaf] for leaf in range(60)]


# --- stopping at an inner class


def test_stop_at_inner_lets_a_path_end_at_an_inner_class(taxonomy):
    posterior = posterior_over(taxonomy, {(FOOD, BREAD): 0.9, BY_BREAD: 0.1}, stop_at_inner=True)
    assert decoder_of(taxonomy, stop_at_inner=True).decode(posterior)[0] == [FOOD, BREAD]


def test_a_document_about_an_inner_class_is_filed_there_only_if_asked(taxonomy):
    """Class vectors at right angles and a document on bread: without the flag its path runs on to bread knives."""
    labels = {}
    for inner in (False, True):
        paths = index_paths(taxonomy, inner)
        head = LabelHead(np.eye(7, dtype=np.float32), np.zeros(7, np.float32), np.zeros(paths.n_paths, np.float32))
        posterior = LabelModel((head,), 0.2, "", "").posterior(np.eye(7)[[BREAD]], paths)
        labels[inner] = decoder_of(taxonomy, stop_at_inner=inner).decode(posterior)[0]
    assert set(labels[True]) == {FOOD, BREAD}
    assert BREAD_KNIVES in labels[False]


# --- a number of labels a document


@pytest.fixture(scope="module")
def many_labels():
    """5 roots with 5 leaves, 400 documents about one to three leaves each: taxonomy and posterior."""
    rng = np.random.default_rng(3)
    edges = [(root, 5 + 5 * root + leaf) for root in range(5) for leaf in range(5)]
    taxonomy = Taxonomy(range(30), [f"c{node}" for node in range(30)], edges)
    vectors = unit(rng.normal(size=(30, 40)))
    for root in range(5):
        vectors[taxonomy.children(root)] = unit(vectors[taxonomy.children(root)] + 0.5 * vectors[root])
    about = [rng.choice(np.arange(5, 30), size=rng.integers(1, 4), replace=False) for _ in range(400)]
    documents = unit(np.stack([vectors[leaves].sum(axis=0) for leaves in about]) + 0.1 * rng.normal(size=(400, 40)))
    paths = index_paths(taxonomy)
    head = LabelHead(vectors, np.zeros(40, np.float32), np.zeros(paths.n_paths, np.float32))
    return taxonomy, LabelModel((head,), 0.4, "", "").posterior(documents, paths)


@pytest.mark.parametrize("asked", [2.0, 3.0, 4.0, 6.0])
def test_the_average_number_of_labels_is_near_the_one_asked_for(many_labels, asked):
    taxonomy, posterior = many_labels
    decoder = decoder_of(taxonomy, asked)
    multiplicity = decoder.solve_multiplicity(index_paths(taxonomy).marginals(posterior))
    given_ = np.mean([len(labels) for labels in decoder.decode(posterior, multiplicity)])
    assert 0.65 * asked <= given_ <= 1.35 * asked


@pytest.mark.parametrize("asked", [1.5, 3.0, 6.0])
def test_the_multiplicity_makes_the_expected_number_of_labels_the_one_asked_for(many_labels, asked):
    """q = 1 − (1 − p)^m over all 30 classes; the mean over documents of its sum is L."""
    taxonomy, posterior = many_labels
    marginals = index_paths(taxonomy).marginals(posterior)
    multiplicity = decoder_of(taxonomy, asked).solve_multiplicity(marginals)
    assert (1 - (1 - marginals) ** multiplicity).sum(axis=1).mean() == pytest.approx(asked, rel=0.01)


def test_the_expected_number_of_labels_counts_every_class_of_a_large_taxonomy():
    """208 classes on three levels, a document on one of 160 leaves each, at the sharpness of such a taxonomy."""
    rng = np.random.default_rng(5)
    edges = [(root, 8 + 5 * root + inner) for root in range(8) for inner in range(5)]
    edges += [(8 + inner, 48 + 4 * inner + leaf) for inner in range(40) for leaf in range(4)]
    large = Taxonomy(range(208), [f"c{node}" for node in range(208)], edges)
    paths = index_paths(large)
    vectors = unit(rng.normal(size=(208, 64)))
    head = LabelHead(vectors, np.zeros(64, np.float32), np.zeros(paths.n_paths, np.float32))
    documents = unit(vectors[48:] + 0.15 * rng.normal(size=(160, 64)))
    marginals = paths.marginals(LabelModel((head,), 0.4, "", "").posterior(documents, paths)).astype(float)
    multiplicity = decoder_of(large, 6.0).solve_multiplicity(marginals)
    q = 1 - (1 - np.clip(marginals, 0, 1)) ** multiplicity
    assert q.sum(axis=1).mean() == pytest.approx(6.0, rel=0.01)


def test_asking_for_more_labels_gives_more(many_labels):
    taxonomy, posterior = many_labels
    marginals, given_ = index_paths(taxonomy).marginals(posterior), []
    for asked in (2.0, 3.0, 4.0, 6.0):
        decoder = decoder_of(taxonomy, asked)
        decoded = decoder.decode(posterior, decoder.solve_multiplicity(marginals))
        given_.append(np.mean([len(labels) for labels in decoded]))
    assert given_ == sorted(given_)
    assert given_[-1] > given_[0] + 2


def test_the_multiplicity_of_a_corpus_is_that_of_all_its_documents(many_labels):
    taxonomy, posterior = many_labels
    decoder = decoder_of(taxonomy, 3.0)
    of_all = decoder.solve_multiplicity(index_paths(taxonomy).marginals(posterior))
    assert decoder.multiplicity(lambda rows: posterior[rows], len(posterior)) == pytest.approx(of_all)


def test_the_multiplicity_of_a_large_corpus_is_solved_on_a_sample_from_all_over_it(taxonomy):
    """The first 40,000 documents are sure, the other 40,000 even: a sample of the first rows would see one kind."""
    asked: list[np.ndarray] = []

    def posterior_of(rows: np.ndarray) -> np.ndarray:
        asked.append(rows)
        return np.where(rows[:, None] < 40_000, [[1.0, 0, 0, 0]], np.full((1, 4), 0.25))

    decoder = decoder_of(taxonomy, 3.0)
    first, again = (decoder.multiplicity(posterior_of, 80_000) for _ in range(2))
    assert first == again
    assert len(np.unique(asked[0])) == len(asked[0]) == SAMPLE
    assert (np.diff(asked[0]) > 0).all()
    assert (asked[0] < 40_000).mean() == pytest.approx(0.5, abs=0.02)


def test_without_a_number_of_labels_no_posterior_is_computed(taxonomy):
    def never(rows: np.ndarray) -> np.ndarray:
        raise AssertionError("asked for a posterior")

    assert decoder_of(taxonomy).multiplicity(never, 10) == 1


def test_one_path_a_document_is_a_multiplicity_of_one(taxonomy):
    """Paths of 2, 2, 3 and 3 classes, each a quarter: 2.5 labels are expected of one path."""
    marginals = index_paths(taxonomy).marginals(np.full((1, 4), 0.25))
    assert decoder_of(taxonomy, 2.5).solve_multiplicity(marginals) == pytest.approx(1, abs=0.001)


def test_the_set_of_several_paths_maximises_its_formula(many_labels):
    """Sum over S of 2 q / (|S| + 1 + Q − q): for a fixed size the largest terms, over every size."""
    taxonomy, posterior = many_labels
    decoder, multiplicity = decoder_of(taxonomy, 4.0), 2.0
    q = 1 - (1 - index_paths(taxonomy).marginals(posterior[:50]).astype(float)) ** multiplicity
    for row, labels in enumerate(decoder.decode(posterior[:50], multiplicity)):

        def value(some, row=row) -> float:
            return sum(2 * q[row, c] / (len(some) + 1 + q[row].sum() - q[row, c]) for c in some)

        ranked = np.argsort(-q[row], kind="stable")
        best = max(value(ranked[:size]) for size in range(1, 31))
        assert value(labels) == pytest.approx(best, abs=1e-5)


def test_two_equally_likely_paths_are_both_given_when_two_are_asked_for(taxonomy):
    """Fruit and ladders, half each. One path of two classes is expected by default; four labels are both paths."""
    posterior = posterior_over(taxonomy, {FRUIT_PATH: 0.5, LADDER_PATH: 0.5})
    decoder = decoder_of(taxonomy, 3.9)
    multiplicity = decoder.solve_multiplicity(index_paths(taxonomy).marginals(posterior))
    assert set(decoder.decode(posterior, multiplicity)[0]) == {FOOD, FRUIT, TOOLS, LADDERS}


@pytest.mark.parametrize("asked", [-1.0, float("nan"), float("inf")])
def test_a_number_of_labels_that_is_negative_or_not_finite_is_refused(asked):
    with pytest.raises(ValueError, match=r"decoding\.labels_per_document"):
        DecodingConfig(labels_per_document=asked)


# --- blocks of documents


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("concentration", [0.02, 0.1, 0.5])
def test_a_class_too_improbable_to_be_looked_at_would_not_have_been_chosen(monkeypatch, concentration, inner):
    """Four roots with chains and fans of one to four classes below: with the bound and, after, with every class."""
    edges = [(root, 4 + 5 * root + leaf) for root in range(4) for leaf in range(5)]
    edges += [(4, 24), (24, 25), (9, 26), (9, 27), (14, 28)]
    taxonomy = Taxonomy(range(29), [f"c{node}" for node in range(29)], edges)
    decoder = decoder_of(taxonomy, stop_at_inner=inner)
    posterior = np.random.default_rng(0).dirichlet(np.full(decoder.paths.n_paths, concentration), 500)
    marginals = decoder.paths.marginals(posterior)
    found, looked_at = list(decoder.decode(posterior)), (decoder._likely(marginals) < 29).sum()
    assert looked_at < (marginals > 0).sum() / 2
    monkeypatch.setattr(decoder, "_worth_a_label", 0.0)
    assert (decoder._likely(marginals) < 29).all()
    assert found == list(decoder.decode(posterior))
    assert len({len(labels) for labels in found}) > 2


def test_a_class_just_above_the_bound_is_looked_at_and_chosen():
    """A root and three leaves: with the root, worth 2/3 alone, a leaf of p is worth 2 (1 + p) / 4: more from 1/3 on."""
    fan = Taxonomy(range(4), ["root", "a", "b", "c"], [(0, 1), (0, 2), (0, 3)])
    posterior = np.array([[0.334, 0.333, 0.333]])
    decoder = decoder_of(fan)
    assert decoder._likely(decoder.paths.marginals(posterior)).tolist() == [[0, 1]]
    assert list(decoder.decode(posterior)) == [[0, 1]]


@pytest.mark.parametrize("labels_per_document", [0.0, 2.5])
def test_the_order_of_a_posterior_in_memory_does_not_matter(taxonomy, labels_per_document):
    decoder = decoder_of(taxonomy, labels_per_document)
    posterior = np.random.default_rng(1).dirichlet(np.full(decoder.paths.n_paths, 0.4), 200)
    found = list(decoder.decode(posterior))
    assert found == list(decoder.decode(np.asfortranarray(posterior)))
    assert len({len(labels) for labels in found}) > 1


def test_a_class_that_is_more_probable_than_each_of_its_parents_is_closed(taxonomy):
    """Bread knives by bread .5 and by knives .5, labels to spare for two alone: a parent and a root are added."""
    posterior = posterior_over(taxonomy, {BY_BREAD: 0.5, BY_KNIVES: 0.5})
    for labels in decoder_of(taxonomy, 1.0).decode(posterior):
        assert BREAD_KNIVES in labels
        assert taxonomy.is_closed(set(labels))
