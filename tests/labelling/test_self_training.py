"""New labels from the classifier and the label model together."""

from __future__ import annotations

import numpy as np
import pytest

from teleclass.labelling.combination import combine
from teleclass.labelling.decoding import Decoder, DecodingConfig
from teleclass.labelling.expansion import confidence_weight, ignored_classes
from teleclass.labelling.label_model import LabelHead, LabelModel
from teleclass.labelling.paths import index_paths, path_margins
from teleclass.labelling.self_training import NewLabels, relabel
from teleclass.labelling.similarity import BLOCK_ROWS, unit

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)
SURE = 30.0


@pytest.fixture
def model(taxonomy) -> LabelModel:
    """Seven class vectors at right angles: a document is a mixture of classes."""
    return LabelModel((LabelHead.from_texts(np.eye(7, dtype=np.float32), 4),), 0.3, "", "")


def decoder_of(taxonomy, **settings) -> Decoder:
    config = DecodingConfig(**settings)
    return Decoder(taxonomy, index_paths(taxonomy, config.stop_at_inner), config)


def on(*nodes: int, n: int = 1, value: float = 1.0) -> np.ndarray:
    rows = np.zeros((n, 7), np.float32)
    rows[:, list(nodes)] = value
    return rows


def logits_on(*nodes: int) -> np.ndarray:
    return on(*nodes, value=2 * SURE) - SURE


def labels_of(found: NewLabels) -> list[list[int]]:
    return [nodes.tolist() for nodes in found.positives]


@pytest.mark.parametrize(("classifier_weight", "labels"), [(1.0, [TOOLS, LADDERS]), (0.0, [FOOD, FRUIT])])
def test_each_view_alone_decides_with_all_the_weight(taxonomy, model, classifier_weight, labels):
    embeddings, logits = on(FOOD, FRUIT), logits_on(TOOLS, LADDERS)
    found = relabel(embeddings, logits, model, decoder_of(taxonomy), classifier_weight, 0.2)
    assert labels_of(found) == [labels]


def test_labels_weights_and_ignored_classes_are_those_of_the_combined_posterior(taxonomy, model):
    rng = np.random.default_rng(3)
    embeddings, logits = unit(rng.normal(size=(40, 7))).astype(np.float32), rng.normal(size=(40, 7)) * 2
    decoder = decoder_of(taxonomy, stop_at_inner=True)
    model = LabelModel((LabelHead.from_texts(np.eye(7, dtype=np.float32), decoder.paths.n_paths),), 0.3, "", "")
    found = relabel(embeddings, logits, model, decoder, 0.4, 0.25)
    posterior = combine(model.posterior(embeddings, decoder.paths), logits, decoder.paths, 0.4)
    assert labels_of(found) == [sorted(labels) for labels in decoder.decode(posterior)]
    np.testing.assert_allclose(found.weights, confidence_weight(path_margins(posterior), 0.25), atol=1e-6)
    for positives, ignored in zip(found.positives, found.ignored, strict=True):
        assert set(ignored.tolist()) == ignored_classes(positives.tolist(), taxonomy)
        assert taxonomy.is_closed(set(positives.tolist()))
    assert sum(len(ignored) > 0 for ignored in found.ignored) > 5
    assert {array.dtype.kind for array in found.positives + found.ignored} == {"i"}


def test_a_sure_document_weighs_one_and_a_torn_one_the_floor(taxonomy, model):
    logits = np.concatenate([logits_on(TOOLS, LADDERS), logits_on(FOOD, FRUIT, TOOLS, LADDERS)])
    found = relabel(on(FOOD, n=2), logits, model, decoder_of(taxonomy), 1.0, 0.25)
    np.testing.assert_allclose(found.weights, [1, 0.25], atol=1e-4)
    assert found.weights.dtype == np.float32


def test_documents_beyond_the_first_block_keep_their_row(taxonomy, model):
    n = BLOCK_ROWS + 3
    embeddings, logits = on(n=n), np.repeat(logits_on(FOOD, FRUIT), n, axis=0)
    logits[-1] = logits_on(TOOLS, LADDERS)[0]
    logits[-2] = logits_on(TOOLS, LADDERS, FOOD, FRUIT)[0]
    found = relabel(embeddings, logits, model, decoder_of(taxonomy), 1.0, 0.25)
    assert len(found.positives) == len(found.ignored) == len(found.weights) == n
    assert found.positives[-1].tolist() == [TOOLS, LADDERS]
    assert found.positives[-3].tolist() == [FOOD, FRUIT]
    np.testing.assert_allclose(found.weights[-3:], [1, 0.25, 1], atol=1e-4)


def test_documents_get_about_as_many_labels_as_the_user_expects(taxonomy, model):
    """The multiplicity is solved on the combined posterior."""
    rng = np.random.default_rng(7)
    embeddings, logits = unit(rng.normal(size=(200, 7))).astype(np.float32), rng.normal(size=(200, 7))
    mean = {}
    for number in (2.0, 4.0):
        decoder = decoder_of(taxonomy, labels_per_document=number)
        found = relabel(embeddings, logits, model, decoder, 0.5, 0.2)
        posterior = combine(model.posterior(embeddings, decoder.paths), logits, decoder.paths, 0.5)
        multiplicity = decoder.solve_multiplicity(decoder.paths.marginals(posterior))
        assert labels_of(found) == [sorted(labels) for labels in decoder.decode(posterior, multiplicity)]
        mean[number] = np.mean([len(nodes) for nodes in found.positives])
    assert mean[4.0] > mean[2.0] + 0.5


def test_no_documents_get_no_labels(taxonomy, model):
    found = relabel(np.zeros((0, 7), np.float32), np.zeros((0, 7)), model, decoder_of(taxonomy), 0.5, 0.2)
    assert (found.positives, found.ignored, len(found.weights)) == ([], [], 0)
