"""The head's start reproduces scores that are planted in the features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from teleclass.model.classifier import LabelMatchingClassifier
from teleclass.model.head import start_head

N_CLASSES, DIMENSION, WIDTH = 7, 5, 32


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def planted():
    """Documents near their planted class, and features of which they are a linear map with an offset.

    features = (documents - offset) @ back, so that documents = features @ pinv(back) + offset, exactly.
    """
    generator = np.random.default_rng(0)
    classes = unit(generator.normal(size=(N_CLASSES, DIMENSION)))
    planted = generator.integers(0, N_CLASSES, 300)
    documents = unit(classes[planted] + 0.05 * generator.normal(size=(300, DIMENSION)))
    assert ((documents @ classes.T).argmax(axis=1) == planted).all()
    features = ((documents - 0.7) @ generator.normal(size=(DIMENSION, WIDTH))).astype(np.float32)
    return classes, planted, documents, features, np.eye(N_CLASSES, dtype=np.float32)[planted]


@pytest.fixture
def classifier(tiny_model):
    torch.manual_seed(1)
    return LabelMatchingClassifier.from_backbone(tiny_model, n_classes=N_CLASSES, class_dimension=DIMENSION).eval()


@torch.no_grad()
def logits_of(classifier, features: np.ndarray) -> np.ndarray:
    """The classifier's own head on features in place of BERT's."""
    classifier.document_features = lambda *_: torch.from_numpy(features)
    return classifier(torch.zeros(len(features), 1, dtype=torch.int64)).numpy()


def test_the_first_logits_choose_the_planted_class(classifier, planted):
    classes, planted_class, documents, features, targets = planted
    assert (logits_of(classifier, features).argmax(axis=1) == planted_class).mean() < 0.5  # not so before
    start_head(classifier, features, documents, classes, targets)
    assert (logits_of(classifier, features).argmax(axis=1) == planted_class).all()


def test_the_logits_are_the_planted_scores_scaled_and_shifted(classifier, planted):
    classes, _, documents, features, targets = planted
    start_head(classifier, features, documents, classes, targets)
    scale, bias = classifier.log_scale.exp().item(), classifier.class_bias.detach().numpy()
    assert len(set(bias.tolist())) == 1
    np.testing.assert_allclose((logits_of(classifier, features) - bias) / scale, documents @ classes.T, atol=0.02)


def test_the_first_probabilities_are_those_of_the_pseudo_labels(classifier, planted):
    classes, _, documents, features, targets = planted
    start_head(classifier, features, documents, classes, targets)
    probability = 1 / (1 + np.exp(-logits_of(classifier, features).astype(np.float64)))
    assert probability.mean() == pytest.approx(1 / N_CLASSES, rel=0.02)  # a logistic regression meets the mean
    assert probability[targets == 1].min() > 0.5 > probability[targets == 0].max()


@pytest.mark.parametrize("value", [0, 1])
def test_pseudo_labels_of_one_kind_leave_a_scale_and_bias_that_rank(classifier, planted, value):
    """Nothing to fit a regression on: every label the same."""
    classes, planted_class, documents, features, targets = planted
    start_head(classifier, features, documents, classes, np.full_like(targets, value))
    logits = logits_of(classifier, features)
    assert np.isfinite(logits).all()
    assert (logits.argmax(axis=1) == planted_class).all()


def test_labels_against_the_scores_do_not_turn_the_order_round(classifier, planted):
    """The scale is an exponential and cannot be negative."""
    classes, planted_class, documents, features, targets = planted
    start_head(classifier, features, documents, classes, 1 - targets)
    assert (logits_of(classifier, features).argmax(axis=1) == planted_class).all()
    assert classifier.log_scale.item() == 0


def test_a_single_document_starts_at_its_own_vector(classifier, planted):
    classes, planted_class, documents, features, targets = planted
    start_head(classifier, features[:1], documents[:1], classes, targets[:1])
    logits = logits_of(classifier, features[:1])
    assert np.isfinite(logits).all()
    assert logits.argmax() == planted_class[0]


def test_only_the_head_is_touched_and_stays_trainable(classifier, planted):
    classes, _, documents, features, targets = planted
    before = {name: value.clone() for name, value in classifier.backbone.state_dict().items()}
    start_head(classifier, features, documents, classes, targets)
    for name, value in classifier.backbone.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.requires_grad and parameter.dtype == torch.float32 for parameter in classifier.parameters())
    np.testing.assert_array_equal(classifier.class_vectors.detach().numpy(), classes)
