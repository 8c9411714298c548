"""Soft EM on planted clusters, and its steps by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted import EVEN, flat_paths, plant
from scipy.special import logsumexp
from scipy.special import softmax as scipy_softmax

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.annotation import Annotations
from teleclass.labelling.em import CorpusSums, log_likelihood, pass_over, soft_em
from teleclass.labelling.label_model import LabelHead
from teleclass.labelling.paths import index_paths
from teleclass.labelling.similarity import BLOCK_ROWS, unit

pytestmark = pytest.mark.usefixtures("fp32_products")

TWO = LabelHead.from_texts(np.eye(2), 2)
"""Two classes at right angles, both paths equally likely."""


def copies(vector, n: int) -> np.ndarray:
    return np.tile(np.array([vector], dtype=np.float32), (n, 1))


# --- on planted clusters


@pytest.mark.parametrize("learn_prior", [True, False])
def test_class_vectors_move_towards_the_planted_clusters_and_accuracy_rises(learn_prior):
    planted = plant(EVEN)
    head = soft_em(planted.documents, planted.start, planted.paths, 5, 0.35, learn_prior)
    assert planted.nearness(head.class_vectors) > planted.nearness(planted.texts) + 0.1
    assert planted.accuracy(head) > planted.accuracy(planted.start) + 0.03
    np.testing.assert_allclose(np.linalg.norm(head.class_vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("learn_prior", [True, False])
def test_the_order_of_documents_does_not_matter(learn_prior):
    """4,500 documents are two blocks, so that blocks hold other documents in the other order."""
    planted = plant(EVEN)
    assert len(planted.documents) > BLOCK_ROWS
    order = np.random.default_rng(1).permutation(len(planted.documents))
    known = {row: [int(planted.truth[row])] for row in range(0, 4500, 9)}
    place = np.argsort(order)
    fits = []
    for documents, core in (
        (planted.documents, known),
        (planted.documents[order], {int(place[row]): nodes for row, nodes in known.items()}),
    ):
        annotations = Annotations.of(core, len(documents), planted.paths, 20.0)
        head = soft_em(documents, planted.start, planted.paths, 5, 0.35, learn_prior, 0.2, annotations)
        fits.append((head, pass_over(documents, head, planted.paths, annotations)))
    (one, sums), (other, other_sums) = fits
    np.testing.assert_allclose(one.class_vectors, other.class_vectors, atol=1e-4)
    np.testing.assert_allclose(one.log_prior, other.log_prior, atol=1e-3)
    np.testing.assert_allclose(sums.path_mass, other_sums.path_mass, rtol=1e-3)


def test_the_learnt_prior_finds_how_common_each_path_is():
    planted = plant([0.6, 0.2, 0.1, 0.05, 0.05])
    head = soft_em(planted.documents, planted.start, planted.paths, 5, 0.35, learn_prior=True)
    sums = pass_over(planted.documents, head, planted.paths)
    prior = np.exp(head.log_prior)
    assert prior.sum() == pytest.approx(1, abs=1e-4)
    found = np.bincount(planted.paths.roots, weights=prior, minlength=5)[:5]
    true = np.bincount((planted.truth - 5) // 4, minlength=5) / len(planted.truth)
    np.testing.assert_allclose(found, true, atol=0.05)
    assert sums.path_mass.sum() == pytest.approx(len(planted.documents), rel=1e-4)


def test_class_vectors_are_drawn_from_the_text_in_every_round_and_cannot_drift_away():
    """The text keeps its share of .65, so a vector never comes nearer to the centroid than one round allows."""
    planted = plant(EVEN)
    few, many = (soft_em(planted.documents, planted.start, planted.paths, n, 0.35, False) for n in (5, 40))
    kept = (many.class_vectors * planted.texts).sum(axis=1)
    assert kept.min() > 0.65
    assert (few.class_vectors * many.class_vectors).sum(axis=1).mean() > 0.99


def test_a_larger_corpus_weight_draws_further_from_the_texts():
    planted = plant(EVEN, n=1200)
    kept = [
        (soft_em(planted.documents, planted.start, planted.paths, 5, weight, False).class_vectors * planted.texts)
        .sum(axis=1)
        .mean()
        for weight in (0.1, 0.35, 0.8)
    ]
    assert kept[0] > kept[1] > kept[2]


@pytest.mark.parametrize(("iterations", "corpus_weight"), [(0, 0.35), (5, 0.0)])
def test_without_rounds_or_without_corpus_weight_the_texts_stay(iterations, corpus_weight):
    planted = plant(EVEN, n=200)
    head = soft_em(planted.documents, planted.start, planted.paths, iterations, corpus_weight, learn_prior=True)
    np.testing.assert_allclose(head.class_vectors, planted.texts, atol=1e-6)
    assert bool(head.log_prior.any()) == (iterations > 0)


def test_the_head_s_shift_and_temperature_are_kept():
    planted = plant(EVEN, n=200)
    start = replace(planted.start, temperature=0.05, document_shift=planted.documents.mean(axis=0))
    head = soft_em(planted.documents, start, planted.paths, 2, 0.35, learn_prior=True)
    assert head.temperature == 0.05
    np.testing.assert_array_equal(head.document_shift, start.document_shift)


def test_the_tick_is_told_every_document_of_every_pass():
    planted = plant(EVEN)
    told: list[int] = []
    soft_em(planted.documents, planted.start, planted.paths, 2, 0.35, True, tick=told.append)
    assert told == 2 * [min(BLOCK_ROWS, 4500 - start) for start in range(0, 4500, BLOCK_ROWS)]


# --- one round by hand


@pytest.mark.parametrize("temperature", [0.02, 0.04])
def test_a_pass_sums_posteriors_and_documents_as_the_head_sees_them(temperature):
    """Against the dense formula, over two blocks, with a shift, a prior and paths of two classes."""
    planted = plant([0.6, 0.3, 0.1])
    rng = np.random.default_rng(3)
    head = LabelHead(
        planted.texts,
        (0.2 * rng.normal(size=24)).astype(np.float32),
        np.log(rng.dirichlet(np.ones(planted.paths.n_paths))).astype(np.float32),
        temperature,
    )
    documents = unit(planted.documents - head.document_shift)
    scores = documents @ planted.texts.T @ planted.paths.weights.toarray().T
    posterior = scipy_softmax(scores / temperature + head.log_prior, axis=1)
    on_class = posterior @ planted.paths.membership.toarray()
    sums = pass_over(planted.documents, head, planted.paths)
    np.testing.assert_allclose(sums.path_mass, posterior.sum(axis=0), rtol=1e-3)
    np.testing.assert_allclose(sums.class_mass, on_class.sum(axis=0), rtol=1e-3)
    np.testing.assert_allclose(sums.class_sums, on_class.T @ documents, atol=0.05)


def test_a_document_halfway_between_two_classes_is_shared_out_by_the_prior():
    """Equal scores and the prior (.9, .1): of ten documents 9 and 1. The sums are those shares of their vectors."""
    head = replace(TWO, log_prior=np.log([0.9, 0.1]).astype(np.float32))
    sums = pass_over(copies(np.ones(2) / np.sqrt(2), 10), head, flat_paths(2))
    np.testing.assert_allclose(sums.path_mass, [9, 1], atol=1e-4)
    np.testing.assert_allclose(sums.class_mass, [9, 1], atol=1e-4)
    np.testing.assert_allclose(sums.class_sums, np.array([[9, 9], [1, 1]]) / np.sqrt(2), atol=1e-4)


def test_the_prior_is_smoothed_by_one_and_stays_as_it_is_when_it_is_not_learnt():
    """Two classes; 3 documents lie on the first: masses 3 and 0, so (3 + 1) / 5 and (0 + 1) / 5."""
    documents = copies([1, 0], 3)
    learnt = soft_em(documents, TWO, flat_paths(2), 1, 0.35, learn_prior=True)
    np.testing.assert_allclose(np.exp(learnt.log_prior), [4 / 5, 1 / 5], atol=1e-5)
    kept = soft_em(documents, TWO, flat_paths(2), 1, 0.35, learn_prior=False)
    assert kept.log_prior.tolist() == [0, 0]


def test_one_round_moves_a_class_by_the_corpus_weight_and_one_without_documents_keeps_its_text():
    """Class a (1, 0), class b (0, −1). Ten documents at (.8, .6) are a's: centroid (.8, .6), share .35 · min(1, 10).

    a becomes .65 (1, 0) + .35 (.8, .6) = (.93, .21), scaled; b has no mass and stays.
    """
    start = LabelHead.from_texts(np.array([[1, 0], [0, -1]]), 2)
    head = soft_em(copies([0.8, 0.6], 10), start, flat_paths(2), 1, 0.35, learn_prior=False)
    np.testing.assert_allclose(head.class_vectors[0], np.array([0.93, 0.21]) / np.hypot(0.93, 0.21), atol=1e-5)
    np.testing.assert_allclose(head.class_vectors[1], [0, -1], atol=1e-6)


def test_a_class_with_less_than_one_document_moves_by_that_share_of_the_corpus_weight():
    """One document halfway: half of it is a's, so the share is .4 · .5; the centroid is the document, length one."""
    halfway = np.ones(2) / np.sqrt(2)
    head = soft_em(copies(halfway, 1), TWO, flat_paths(2), 1, 0.4, learn_prior=False)
    expected = unit(0.8 * np.eye(2) + 0.2 * halfway)
    np.testing.assert_allclose(head.class_vectors, expected, atol=1e-5)


@pytest.mark.parametrize(("shrinkage", "share"), [(0.0, 0.35), (0.5, 0.35 * 0.8), (2.0, 0.35 / 2), (1e9, 0.0)])
def test_shrinkage_is_the_mass_in_mean_paths_at_which_a_class_takes_half(shrinkage, share):
    """Ten documents, all a's; the mean of two paths is 5: 10 / (10 + 5 · .5) = .8, and one half at 2."""
    start = LabelHead.from_texts(np.array([[1, 0], [0, -1]]), 2)
    head = soft_em(copies([0.8, 0.6], 10), start, flat_paths(2), 1, 0.35, False, shrinkage)
    expected = unit((1 - share) * np.array([[1, 0]]) + share * np.array([[0.8, 0.6]]))
    np.testing.assert_allclose(head.class_vectors[:1], expected, atol=1e-5)


def test_shrinkage_holds_rare_classes_to_their_texts_and_hardly_touches_common_ones():
    planted = plant([0.9, 0.1])
    common, rare = planted.paths.ends[:4], planted.paths.ends[4:]
    free, held = (
        1 - (soft_em(planted.documents, planted.start, planted.paths, 5, 0.35, True, s).class_vectors
             * planted.texts).sum(axis=1)
        for s in (0.0, 0.5)
    )  # fmt: skip
    assert (held[rare] < 0.4 * free[rare]).all()
    assert (held[common] > 0.5 * free[common]).all()


# --- sums of a pass


def test_centroids_have_length_one_and_a_class_without_mass_has_none():
    sums = CorpusSums(np.zeros(1), np.array([10.0, 0.5, 0.0]), np.array([[3.0, 4.0], [0.0, 0.1], [0.0, 0.0]]))
    np.testing.assert_allclose(sums.centroids(), [[0.6, 0.8], [0, 1], [0, 0]], atol=1e-6)


def test_the_balanced_mean_is_over_leaves_with_more_than_two_documents_each_counted_once(taxonomy):
    """Leaves fruit, ladders and bread_knives, whose two paths are one class; ladders weigh 2, inner classes nothing."""
    mass, sums = np.full(7, 100.0), np.full((7, 2), 777.0)
    mass[[1, 5, 6]] = 90, 2, 3
    sums[[1, 5, 6]] = [[90, 0], [9, 9], [0, 1.5]]
    paths = index_paths(taxonomy)
    assert paths.ends.tolist().count(6) == 2
    balanced = CorpusSums(np.zeros(paths.n_paths), mass, sums).balanced_mean(paths)
    np.testing.assert_allclose(balanced, [(1 + 0) / 2, (0 + 0.5) / 2], atol=1e-6)
    assert balanced.dtype == np.float32


def test_the_balanced_mean_is_over_all_leaves_where_none_is_heavy():
    sums = CorpusSums(np.zeros(2), np.array([2.0, 1.0]), np.array([[2.0, 0.0], [0.0, 0.5]]))
    np.testing.assert_allclose(sums.balanced_mean(flat_paths(2)), [0.5, 0.25], atol=1e-6)


# --- the likelihood


def test_the_log_likelihood_by_hand():
    """Scores 1 and 0 at temperature .5, prior (1/4, 3/4): ln(e² / 4 + 3 / 4)."""
    head = replace(TWO, log_prior=np.log([0.25, 0.75]).astype(np.float32), temperature=0.5)
    found = log_likelihood(copies([1, 0], 3), head, flat_paths(2))
    assert found == pytest.approx(np.log(np.exp(2) / 4 + 3 / 4), abs=1e-6)


def test_the_log_likelihood_is_the_mean_over_blocks_with_the_prior_normalised():
    """Against the dense formula; a uniform prior, stored as zeros, counts as 1 / P."""
    planted = plant([0.6, 0.3, 0.1])
    n_paths = planted.paths.n_paths
    prior = np.random.default_rng(0).dirichlet(np.ones(n_paths))
    scores = planted.documents @ planted.texts.T @ planted.paths.weights.toarray().T / 0.02
    for stored, meant in ((np.log(prior), prior), (np.log(prior) + 3, prior), (np.zeros(n_paths), 1 / n_paths)):
        head = replace(planted.start, log_prior=stored.astype(np.float32))
        expected = logsumexp(scores + np.log(meant), axis=1).mean()
        assert log_likelihood(planted.documents, head, planted.paths) == pytest.approx(expected, rel=1e-5)


def test_the_log_likelihood_sees_documents_without_the_shift():
    head = replace(TWO, document_shift=np.array([0, 4], np.float32))
    shifted = log_likelihood(np.array([[3.0, 4.0]]), head, flat_paths(2))
    assert shifted == pytest.approx(log_likelihood(np.array([[1.0, 0.0]]), TWO, flat_paths(2)), abs=1e-4)


def test_the_log_likelihood_neither_overflows_nor_divides_by_no_documents():
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        assert log_likelihood(np.eye(2), replace(TWO, temperature=1e-5), flat_paths(2)) == pytest.approx(1e5, rel=1e-4)
        assert log_likelihood(np.zeros((0, 2)), TWO, flat_paths(2)) == 0


def test_learning_the_prior_raises_the_likelihood_of_its_own_documents_in_every_round():
    """With the class vectors held this is EM for mixture weights, which never lowers the likelihood."""
    planted = plant([0.7, 0.1, 0.1, 0.1])
    likelihoods = []
    for iterations in range(6):
        head = soft_em(planted.documents, planted.start, planted.paths, iterations, 0.0, learn_prior=True)
        likelihoods.append(log_likelihood(planted.documents, head, planted.paths))
    assert likelihoods[1] > likelihoods[0] + 0.3
    assert (np.diff(likelihoods) > -1e-3).all()


# --- annotations


@pytest.mark.parametrize(("odds", "shares"), [(3.0, [3 / 4, 1 / 4]), (1.0, [1 / 2, 1 / 2]), (np.inf, [1, 0])])
def test_an_annotated_document_is_shared_out_by_the_odds(odds, shares):
    """Two documents halfway, the second known to be a's."""
    documents = copies(np.ones(2) / np.sqrt(2), 2)
    annotations = Annotations.of({1: [0]}, 2, flat_paths(2), odds)
    sums = pass_over(documents, TWO, flat_paths(2), annotations)
    np.testing.assert_allclose(sums.path_mass, np.array([0.5, 0.5]) + shares, atol=1e-6)
    np.testing.assert_allclose(sums.class_sums[0], sums.path_mass[0] * documents[0], atol=1e-6)


def test_annotations_count_from_the_first_round():
    """One document halfway, known to be a's: a moves by the whole share of .4, b has no mass and stays."""
    halfway = np.ones(2) / np.sqrt(2)
    annotations = Annotations.of({0: [0]}, 1, flat_paths(2), np.inf)
    head = soft_em(copies(halfway, 1), TWO, flat_paths(2), 1, 0.4, False, annotations=annotations)
    np.testing.assert_allclose(head.class_vectors, unit([0.6 * np.eye(2)[0] + 0.4 * halfway, [0, 1]]), atol=1e-5)


def test_annotations_of_the_second_block_reach_their_own_documents():
    """All documents are a's by their score; the last one of two blocks is known to be b's."""
    n_documents = BLOCK_ROWS + 3
    annotations = Annotations.of({n_documents - 1: [1]}, n_documents, flat_paths(2), np.inf)
    documents = copies([1, 0], n_documents)
    documents[-1] = np.array([0.8, 0.6])
    sums = pass_over(documents, TWO, flat_paths(2), annotations)
    np.testing.assert_allclose(sums.path_mass, [n_documents - 1, 1], atol=0.01)
    np.testing.assert_allclose(sums.class_sums[1], [0.8, 0.6], atol=0.01)


def test_a_few_annotations_tell_classes_apart_whose_texts_are_the_same():
    """Two leaves of one text: soft EM alone cannot tell them apart, a tenth of their documents known is enough."""
    planted = plant(EVEN)
    twins = planted.paths.ends[:2]
    planted.texts[twins] = unit(planted.texts[twins].mean(axis=0))
    rows = np.flatnonzero(np.isin(planted.truth, twins))
    known = {int(row): [int(planted.truth[row])] for row in rows[::10]}
    others = np.setdiff1d(rows, rows[::10])
    accuracy = []
    for core in ({}, known):
        annotations = Annotations.of(core, len(planted.documents), planted.paths, 20.0)
        head = soft_em(planted.documents, planted.start, planted.paths, 5, 0.35, True, 0.0, annotations)
        best = head.path_evidence(planted.documents[others], planted.paths).argmax(axis=1)
        accuracy.append((planted.paths.ends[best] == planted.truth[others]).mean())
    assert accuracy[0] < 0.6
    assert accuracy[1] > 0.85


def test_annotations_without_a_document_change_nothing():
    planted = plant(EVEN, n=300)
    none = Annotations.of({}, 300, planted.paths, 20.0)
    without, with_none = (
        soft_em(planted.documents, planted.start, planted.paths, 3, 0.35, True, annotations=one) for one in (None, none)
    )
    np.testing.assert_array_equal(without.class_vectors, with_none.class_vectors)


def test_an_inner_core_class_leaves_the_paths_below_it_as_they_were():
    """Root 0 with leaves 2 and 3, root 1 with leaf 4; known to be under root 0."""
    paths = index_paths(Taxonomy(range(5), list("abcde"), [(0, 2), (0, 3), (1, 4)]))
    head = LabelHead.from_texts(np.eye(5), 3)
    documents = copies([0, 0, 0.01, 0, 0.04], 1)
    free = pass_over(documents, head, paths).path_mass
    known = pass_over(documents, head, paths, Annotations.of({0: [0]}, 1, paths, np.inf)).path_mass
    assert free.argmax() == 2
    assert known[2] == 0
    assert known[0] / known[1] == pytest.approx(free[0] / free[1], rel=1e-4)
    assert known[0] / known[1] > 1.2


def test_a_pass_on_a_device_is_the_pass_on_the_host():
    """As a GPU computes it; "cpu:0" takes that way on the CPU."""
    planted = plant(EVEN)
    head = replace(planted.start, document_shift=np.full(planted.documents.shape[1], 0.01, dtype=np.float32))
    certain = Annotations.of({3: [int(planted.truth[9])]}, len(planted.documents), planted.paths, odds=20)
    for known in (None, certain):
        host = pass_over(planted.documents, head, planted.paths, known)
        device = pass_over(planted.documents, head, planted.paths, known, device="cpu:0")
        np.testing.assert_allclose(device.path_mass, host.path_mass, rtol=1e-4)
        np.testing.assert_allclose(device.class_sums, host.class_sums, rtol=1e-3, atol=1e-3)


def test_a_pass_over_some_rows_is_the_pass_over_those_documents_with_their_own_annotations():
    planted = plant(EVEN, n=600)
    rows = np.arange(5, 600, 7)
    known = {int(rows[4]): [int(planted.truth[rows[4]])], 1: [int(planted.paths.ends[0])]}
    annotations = Annotations.of(known, 600, planted.paths, odds=np.inf)
    own = Annotations.of({4: known[int(rows[4])]}, len(rows), planted.paths, odds=np.inf)
    some = pass_over(planted.documents, planted.start, planted.paths, annotations, rows)
    alone = pass_over(planted.documents[rows], planted.start, planted.paths, own)
    np.testing.assert_allclose(some.path_mass, alone.path_mass, rtol=1e-5)
    np.testing.assert_allclose(some.class_sums, alone.class_sums, rtol=1e-5, atol=1e-6)
    assert some.path_mass.sum() == pytest.approx(len(rows), rel=1e-5)
