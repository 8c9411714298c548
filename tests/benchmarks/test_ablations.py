"""The label model with a part exchanged."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.ablations import best_path, fit_with_prior, flat_decoding, names_only
from teleclass.labelling.class_text import class_views
from teleclass.labelling.label_model import LabelHead, LabelModel
from teleclass.labelling.paths import index_paths
from teleclass.labelling.selection import LabellingConfig
from teleclass.labelling.similarity import softmax, unit

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)


@pytest.fixture
def fitted(taxonomy):
    """Paths, a label model of the seven unit vectors, and random documents."""
    paths = index_paths(taxonomy)
    head = LabelHead(np.eye(7, dtype=np.float32), np.zeros(7, np.float32), np.zeros(paths.n_paths, np.float32))
    return paths, LabelModel((head,), 0.4, "", ""), unit(np.random.default_rng(2).normal(size=(30, 7)))


def test_flat_decoding_takes_the_three_best_classes_and_no_ancestor(fitted):
    _, model, documents = fitted
    filed = flat_decoding(model, documents)
    assert filed.labels == [set(np.argsort(-row)[:3].tolist()) for row in documents]
    assert filed.scores == pytest.approx(softmax(documents / (0.4 * documents.std(axis=1, keepdims=True))), abs=1e-5)


def test_the_best_path_is_the_path_of_the_largest_posterior(taxonomy, fitted):
    paths, model, documents = fitted
    filed = best_path(model, documents, paths)
    every = taxonomy.paths()
    posterior = model.posterior(documents, paths)
    assert filed.labels == [set(every[best]) for best in posterior.argmax(axis=1)]
    assert filed.scores == pytest.approx(paths.marginals(posterior), abs=1e-6)


@pytest.mark.parametrize(
    ("prior", "choice"), [("texts", "class texts"), ("corpus", "corpus prior"), ("uniform", "uniform prior")]
)
def test_the_form_that_is_given_is_the_one_used(fitted, prior, choice):
    paths, _, documents = fitted
    model = fit_with_prior(prior, documents, np.eye(7, dtype=np.float32), paths, LabellingConfig(iterations=1))
    assert model.choice == choice


def test_names_only_drops_keywords_and_descriptions_and_keeps_the_rest(taxonomy):
    taxonomy.descriptions[FRUIT] = "what grows on trees"
    alone = names_only(taxonomy)
    assert (alone.keywords, alone.descriptions) == ({}, {})
    assert (alone.ids, alone.names, alone.paths()) == (taxonomy.ids, taxonomy.names, taxonomy.paths())
    assert class_views(alone)[FRUIT][0] == "fruit"
