"""The start of the label-matching head."""

import numpy as np
import pytest
import torch

from teleclass.model.classifier import LabelMatchingClassifier
from teleclass.model.head import start_head

WIDTH, DIMENSION, CLASSES = 32, 6, 7


@pytest.fixture
def classifier(tiny_model):
    torch.manual_seed(1)
    return LabelMatchingClassifier.from_backbone(tiny_model, n_classes=CLASSES, class_dimension=DIMENSION)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def planted():
    """Features, documents that are a linear map of them with an offset, class vectors, and their cosines."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(400, WIDTH)).astype(np.float32)
    documents = (features @ generator.normal(size=(WIDTH, DIMENSION)) + 2).astype(np.float32)
    classes = unit(generator.normal(size=(CLASSES, DIMENSION))).astype(np.float32)
    return features, documents, classes, unit(documents) @ classes.T


def first_logits(classifier, features):
    """The head's arithmetic, from the features on."""
    with torch.no_grad():
        projected = torch.nn.functional.normalize(classifier.projection(torch.from_numpy(features)), dim=1)
        classes = torch.nn.functional.normalize(classifier.class_vectors, dim=1)
        return (classifier.log_scale.exp() * (projected @ classes.T) + classifier.class_bias).numpy()


def test_first_logits_rank_every_pair_as_the_cosine_of_document_and_class_does(classifier, planted):
    features, documents, classes, cosines = planted
    start_head(classifier, features, documents, classes, (cosines > 0.6).astype(np.float32))
    logits = first_logits(classifier, features)
    # one scale and one bias for all classes, so logits are a rising line of the cosines, whole and in each document
    scale, bias = classifier.log_scale.exp().item(), classifier.class_bias[0].item()
    np.testing.assert_allclose((logits - bias) / scale, cosines, atol=0.02)
    gaps = cosines[:, :, None] - cosines[:, None, :]
    assert (logits[:, :, None] > logits[:, None, :])[gaps > 0.02].all()
    assert (gaps > 0.02).mean() > 0.4


def test_documents_that_were_not_seen_are_scored_alike(classifier, planted):
    features, documents, classes, cosines = planted
    targets = (cosines > 0.6).astype(np.float32)
    start_head(classifier, features[:300], documents[:300], classes, targets[:300])
    assert (first_logits(classifier, features)[300:].argmax(axis=1) == cosines[300:].argmax(axis=1)).mean() > 0.95


def test_scale_and_bias_are_fitted_to_the_pseudo_labels(classifier, planted):
    """Labels drawn with probability sigmoid(12 × cosine - 5) give back the 12 and the 5."""
    features, documents, classes, cosines = planted
    drawn = np.random.default_rng(1).random(cosines.shape) < 1 / (1 + np.exp(5 - 12 * cosines))
    start_head(classifier, features, documents, classes, drawn.astype(np.float32))
    assert classifier.log_scale.exp().item() == pytest.approx(12, rel=0.15)
    assert classifier.class_bias.tolist() == pytest.approx([-5] * CLASSES, rel=0.15)
    probabilities = 1 / (1 + np.exp(-first_logits(classifier, features)))
    assert probabilities.mean() == pytest.approx(drawn.mean(), abs=0.01)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_labels_of_one_kind_only_leave_the_usual_scale_and_the_planted_order(classifier, planted, value):
    features, documents, classes, cosines = planted
    start_head(classifier, features, documents, classes, np.full(cosines.shape, value, dtype=np.float32))
    assert classifier.log_scale.exp().item() == pytest.approx(20)
    assert (first_logits(classifier, features).argmax(axis=1) == cosines.argmax(axis=1)).mean() > 0.95


def test_labels_against_the_cosines_do_not_turn_the_order_round(classifier, planted):
    features, documents, classes, cosines = planted
    start_head(classifier, features, documents, classes, (cosines < 0).astype(np.float32))
    assert classifier.log_scale.exp().item() >= 1


def test_fewer_documents_than_features_give_finite_numbers(classifier, planted):
    features, documents, classes, cosines = (value[:5] if len(value) > CLASSES else value for value in planted)
    start_head(classifier, features, documents, classes, (cosines > 0.3).astype(np.float32))
    assert np.isfinite(first_logits(classifier, features)).all()
    assert all(torch.isfinite(value).all() for value in classifier.parameters())


def test_one_document_is_enough(classifier, planted):
    features, documents, classes, cosines = (value[:1] if len(value) > CLASSES else value for value in planted)
    start_head(classifier, features, documents, classes, (cosines == cosines.max()).astype(np.float32))
    logits = first_logits(classifier, features)
    assert np.isfinite(logits).all()
    assert logits.argmax() == cosines.argmax()


def test_the_backbone_is_left_alone_and_the_head_can_be_trained(classifier, planted):
    features, documents, classes, cosines = planted
    before = {name: value.clone() for name, value in classifier.backbone.state_dict().items()}
    start_head(classifier, features, documents, classes, (cosines > 0.6).astype(np.float32))
    assert all(torch.equal(value, before[name]) for name, value in classifier.backbone.state_dict().items())
    assert all(value.requires_grad for value in classifier.parameters())
    np.testing.assert_array_equal(classifier.class_vectors.detach().numpy(), classes)
