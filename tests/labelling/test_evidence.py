"""The evidence that decides between the forms of soft EM, against a plain computation."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from planted import EVEN, IN_BETWEEN, SKEWED, Planted, contradicting, even, fit, flat_paths, plant, skewed
from scipy.special import logsumexp
from scipy.special import softmax as scipy_softmax

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling import selection
from teleclass.labelling.em import log_likelihood, soft_em
from teleclass.labelling.label_model import TEMPERATURE, LabelHead
from teleclass.labelling.paths import index_paths
from teleclass.labelling.selection import Evidence, LabellingConfig, fit_label_model
from teleclass.labelling.similarity import unit

pytestmark = pytest.mark.usefixtures("fp32_products")


def plain_em(documents, texts, weights, membership, iterations, corpus_weight):
    """Soft EM with a learnt prior, whole matrices at a time: class vectors and log prior."""
    vectors, log_prior = texts, np.zeros(len(weights))
    for _ in range(iterations):
        posterior = scipy_softmax(documents @ vectors.T @ weights.T / TEMPERATURE + log_prior, axis=1)
        on_class = posterior @ membership
        mass = on_class.sum(axis=0)[:, None]
        share = corpus_weight * np.minimum(1, mass)
        log_prior = np.log((posterior.sum(axis=0) + 1) / (len(documents) + len(weights)))
        vectors = unit((1 - share) * texts + share * unit(on_class.T @ documents))
    return vectors, log_prior


def plain_gains(planted: Planted, iterations: int = 5, n_held_out: int = 8_000) -> tuple[float, float]:
    """Held-out gains of a learnt prior and of soft EM: either half of the documents tells of the other."""
    weights, membership = planted.paths.weights.toarray(), planted.paths.membership.toarray()

    def likelihood(documents, vectors, log_prior):
        scores = documents @ vectors.T @ weights.T / TEMPERATURE
        return logsumexp(scores + log_prior - logsumexp(log_prior), axis=1).mean()

    order = np.random.default_rng(0).permutation(len(planted.documents))[:n_held_out]
    halves = planted.documents[order[::2]], planted.documents[order[1::2]]
    gains = []
    for corpus_weight in (0.0, 0.35):
        gain = 0.0
        for fitted, others in (halves, halves[::-1]):
            head = plain_em(fitted, planted.texts, weights, membership, iterations, corpus_weight)
            gain += likelihood(others, *head) - likelihood(others, planted.texts, np.zeros(len(weights)))
        gains.append(gain / 2)
    return gains[0], gains[1]


@pytest.mark.parametrize("shares", [EVEN, IN_BETWEEN, SKEWED])
@pytest.mark.parametrize("iterations", [1, 5])
def test_the_gains_are_those_of_a_plain_computation(shares, iterations):
    planted = plant(shares, n=601)
    _, evidence = fit(planted, iterations=iterations)
    np.testing.assert_allclose(astuple(evidence)[:2], plain_gains(planted, iterations), rtol=1e-3, atol=2e-4)


def test_without_rounds_the_gains_are_those_of_one():
    planted = even(400)
    assert astuple(fit(planted, iterations=0)[1])[:2] == astuple(fit(planted, iterations=1)[1])[:2]


def test_the_gains_are_taken_of_a_part_of_a_large_corpus(monkeypatch):
    planted = plant(SKEWED, n=900)
    whole = fit(planted)[1]
    monkeypatch.setattr(selection, "HELD_OUT_DOCUMENTS", 200)
    part = fit(planted)[1]
    np.testing.assert_allclose(astuple(part)[:2], plain_gains(planted, n_held_out=200), rtol=1e-3, atol=2e-4)
    assert part.prior_gain != whole.prior_gain
    assert part.largest_root_share == whole.largest_root_share  # this one is of all documents


def test_the_gains_are_held_out():
    """Noise without any cluster: on its own documents soft EM seems to gain 5 nats, on others next to nothing."""
    n_classes = 60
    rng = np.random.default_rng(1)
    noise = unit(rng.normal(size=(400, 64)))
    texts, paths = unit(rng.normal(size=(n_classes, 64))), flat_paths(n_classes)
    _, evidence = fit_label_model(noise, texts, paths, LabellingConfig())
    start = LabelHead.from_texts(texts, n_classes)
    fitted = soft_em(noise, start, paths, 5, 0.35, learn_prior=True)
    assert log_likelihood(noise, fitted, paths) - log_likelihood(noise, start, paths) > 4
    assert abs(evidence.prior_gain) < 0.15
    assert abs(evidence.corpus_gain) < 0.15


@pytest.mark.parametrize("corpus", [skewed, contradicting])
def test_the_agreements_are_shares_of_documents_with_the_same_best_path(corpus):
    """4,500 documents are two blocks. The heads of either form are as fitted before any change of temperature."""
    planted = corpus(4500)
    _, evidence = fit(planted)
    shrinkage = selection.SHRINKAGE * max(0, evidence.prior_gain)
    corpus_head = soft_em(planted.documents, planted.start, planted.paths, 5, 0.35, True, shrinkage)
    (uniform_head,) = fit(planted, prior="uniform")[0].heads
    texts, learnt, uniform = (
        head.path_evidence(planted.documents, planted.paths).argmax(axis=1)
        for head in (planted.start, corpus_head, uniform_head)
    )
    expected = [(texts == uniform).mean(), (texts == learnt).mean(), (learnt == uniform).mean()]
    assert len(set(expected)) == 3
    by_root = np.bincount(planted.paths.roots[texts])
    assert astuple(evidence)[2:] == pytest.approx((*expected, by_root.max() / len(planted.documents)))


def test_the_agreements_of_a_large_corpus_are_taken_on_a_sample_from_all_over_it(monkeypatch):
    planted = skewed(4500)
    _, whole = fit(planted)
    monkeypatch.setattr(selection, "COMPARED_DOCUMENTS", 1500)
    _, part = fit(planted)
    assert astuple(part)[2:] != astuple(whole)[2:]
    assert astuple(part)[2:] == pytest.approx(astuple(whole)[2:], abs=0.03)
    assert part.largest_root_share * 1500 == pytest.approx(round(part.largest_root_share * 1500))


def test_the_largest_root_share_counts_best_paths():
    """Best paths: food 3 of 4 documents, whatever leaf they end at."""
    paths = index_paths(Taxonomy(range(5), ["food", "tools", "fruit", "bread", "knives"], [(0, 2), (0, 3), (1, 4)]))
    documents = np.eye(5, dtype=np.float32)[[2, 2, 3, 4]]
    assert fit_label_model(documents, np.eye(5), paths, LabellingConfig())[1].largest_root_share == 0.75


def test_every_value_of_the_evidence_is_a_metric_of_its_own():
    evidence = Evidence(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    assert evidence.metrics() == {
        "label/prior_gain": 0.1,
        "label/held_out_gain": 0.2,
        "label/agreement_texts_uniform": 0.3,
        "label/agreement_texts_corpus": 0.4,
        "label/agreement_corpus_uniform": 0.5,
        "label/largest_root_share": 0.6,
    }


def test_two_documents_by_hand():
    """Two classes at right angles and two documents of the first; each tells of the other.

    Masses 1 and 0 give the prior (2/3, 1/3): with the class vectors at rest ln(2/3) − ln(1/2), as the other class is
    e^-50 times as likely. The documents lie on the class vector, so that soft EM moves nothing.
    """
    _, evidence = fit_label_model(np.eye(2)[[0, 0]], np.eye(2), flat_paths(2), LabellingConfig())
    assert evidence.prior_gain == pytest.approx(np.log(4 / 3), abs=1e-5)
    assert evidence.corpus_gain == pytest.approx(np.log(4 / 3), abs=1e-5)
