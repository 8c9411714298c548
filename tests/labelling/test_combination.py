"""Classifier and label model in one posterior."""

from __future__ import annotations

import numpy as np
import pytest

from teleclass.labelling.combination import classifier_log_posterior, combine
from teleclass.labelling.paths import index_paths
from teleclass.labelling.similarity import softmax

N = 25


@pytest.fixture
def logits() -> np.ndarray:
    return (3 * np.random.default_rng(0).normal(size=(N, 7))).astype(np.float32)


@pytest.fixture
def posterior() -> np.ndarray:
    return np.random.default_rng(1).dirichlet(np.ones(4), size=N).astype(np.float32)


@pytest.mark.parametrize("inner", [False, True])
def test_the_classifier_alone_is_the_product_of_sigmoids_on_the_path_and_their_complements_off_it(
    taxonomy, logits, inner
):
    """Two further documents by hand beside the random ones; the products are written out class by class."""
    logits = np.vstack([logits, np.zeros(7), [2, 1, -1, -2, 0, 0.5, -0.5]]).astype(np.float32)
    sigma = 1 / (1 + np.exp(-logits.astype(float)))
    listed = taxonomy.paths(inner)
    products = np.ones((len(logits), len(listed)))
    for column, path in enumerate(listed):
        for node in range(7):
            products[:, column] *= sigma[:, node] if node in path else 1 - sigma[:, node]
    explicit = products / products.sum(axis=1, keepdims=True)
    some = np.full(products.shape, 1 / len(listed))
    paths = index_paths(taxonomy, inner)
    np.testing.assert_allclose(np.exp(classifier_log_posterior(logits, paths)), explicit, atol=1e-5)
    np.testing.assert_allclose(combine(some, logits, paths, classifier_weight=1.0), explicit, atol=1e-5)


def test_the_classifier_alone_is_the_softmax_of_summed_logits(taxonomy, logits, posterior):
    summed = np.stack([logits[:, list(path)].sum(axis=1) for path in taxonomy.paths()], axis=1)
    combined = combine(posterior, logits, index_paths(taxonomy), 1.0)
    np.testing.assert_allclose(combined, softmax(summed), atol=1e-5)


def test_weight_zero_is_the_label_model_alone(taxonomy, logits, posterior):
    np.testing.assert_allclose(combine(posterior, logits, index_paths(taxonomy), 0.0), posterior, atol=1e-6)


@pytest.mark.parametrize("weight", [0.25, 0.5])
def test_in_between_is_the_weighted_geometric_mean(taxonomy, logits, posterior, weight):
    paths = index_paths(taxonomy)
    classifier = combine(posterior, logits, paths, 1.0).astype(float)
    mean = posterior ** (1 - weight) * classifier**weight
    combined = combine(posterior, logits, paths, weight)
    np.testing.assert_allclose(combined, mean / mean.sum(axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(combined.sum(axis=1), 1, atol=1e-5)


def test_a_path_without_any_probability_gives_no_nan_and_can_be_outvoted(taxonomy):
    """The label model is sure of the first path, the classifier very sure of the second."""
    paths = index_paths(taxonomy)
    first, second = taxonomy.paths()[:2]
    logits = np.full((1, 7), -20, np.float32)
    logits[0, list(second)] = 60
    combined = combine(np.array([[1, 0, 0, 0]], np.float32), logits, paths, 0.5)
    assert np.isfinite(combined).all()
    assert combined[0].argmax() == 1
    assert first != second


def test_huge_logits_do_not_overflow(taxonomy):
    logits = np.full((1, 7), 1e4, np.float32)
    logits[0, taxonomy.paths()[0][-1]] = -1e4
    combined = combine(np.full((1, 4), 0.25, np.float32), logits, index_paths(taxonomy), 0.5)
    assert np.isfinite(combined).all()
    assert combined.sum() == pytest.approx(1, abs=1e-5)


def test_a_document_with_huge_logits_leaves_the_others_alone(taxonomy, logits, posterior):
    paths = index_paths(taxonomy)
    logits[0] = 1e4
    together = combine(posterior, logits, paths, 0.5)
    alone = [combine(posterior[[row]], logits[[row]], paths, 0.5)[0] for row in range(N)]
    np.testing.assert_allclose(together, alone, atol=1e-6)
