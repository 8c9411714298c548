"""The fitted model: its posterior by hand, and on disk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.label_model import TEMPERATURE, LabelHead, LabelModel
from teleclass.labelling.paths import index_paths
from teleclass.labelling.similarity import unit


def flat(n_classes: int) -> Taxonomy:
    return Taxonomy(range(n_classes), [f"c{number}" for number in range(n_classes)], [])


def random_head(
    seed: int, n_classes: int, n_paths: int, dimensions: int = 5, shifted: bool = True, temperature: float = TEMPERATURE
) -> LabelHead:
    rng = np.random.default_rng(seed)
    return LabelHead(
        unit(rng.normal(size=(n_classes, dimensions))),
        (rng.normal(size=dimensions) * 0.3 * shifted).astype(np.float32),
        np.log(rng.dirichlet(np.ones(n_paths))).astype(np.float32),
        temperature,
    )


def random_documents(n: int, dimensions: int = 5) -> np.ndarray:
    return unit(np.random.default_rng(99).normal(size=(n, dimensions)))


@pytest.mark.parametrize("temperature", [0.02, 0.035])
def test_the_posterior_by_hand(temperature):
    """Two classes at right angles. The document (.8, .6) scores .8 and .6: mean .7, standard deviation .1.

    Evidence with the prior (1/4, 3/4): .8 + T ln(1/4) and .6 + T ln(3/4); their gap over .5 · .1 is the log odds.
    """
    log_prior = np.log([0.25, 0.75]).astype(np.float32)
    head = LabelHead(np.eye(2, dtype=np.float32), np.zeros(2, np.float32), log_prior, temperature)
    log_odds = (0.8 - 0.6 + temperature * (np.log(0.25) - np.log(0.75))) / (0.5 * 0.1)
    posterior = LabelModel((head,), 0.5, "", "").posterior(np.array([[0.8, 0.6]]), index_paths(flat(2)))
    assert posterior[0, 0] == pytest.approx(1 / (1 + np.exp(-log_odds)), abs=1e-5)


def test_path_evidence_is_the_path_score_with_the_prior_in_cosine():
    """Path a > b of weights 1 and .25 from the leaf up: (.25 · .8 + .6) / 1.25 = .64; c scores 0."""
    paths = index_paths(Taxonomy(range(3), ["a", "b", "c"], [(0, 1)]))
    assert paths.ends.tolist() == [1, 2]
    log_prior = np.log([0.25, 0.75]).astype(np.float32)
    head = LabelHead(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), log_prior, 0.05)
    evidence = head.path_evidence(np.array([[0.8, 0.6, 0]]), paths)
    np.testing.assert_allclose(evidence, [[0.64 + 0.05 * np.log(0.25), 0.05 * np.log(0.75)]], atol=1e-6)


def test_path_evidence_orders_paths_as_the_posterior_does(taxonomy):
    paths, documents = index_paths(taxonomy), random_documents(200)
    head = random_head(3, 7, paths.n_paths, temperature=0.3)
    evidence, posterior = (
        head.path_evidence(documents, paths),
        LabelModel((head,), 0.4, "", "").posterior(documents, paths),
    )
    np.testing.assert_array_equal(evidence.argmax(axis=1), posterior.argmax(axis=1))
    without_prior = paths.path_scores(head.class_scores(documents)).argmax(axis=1)
    assert (without_prior != evidence.argmax(axis=1)).any()


def test_class_texts_alone_are_scaled_and_hold_no_shift_and_no_prior():
    """Lengths 5 and 0: an empty class text has no direction and stays zero."""
    head = LabelHead.from_texts(np.array([[3.0, 4.0], [0.0, 0.0]]), n_paths=3)
    np.testing.assert_allclose(head.class_vectors, [[0.6, 0.8], [0, 0]], atol=1e-7)
    assert head.document_shift.tolist() == [0, 0]
    assert head.log_prior.tolist() == [0, 0, 0]
    assert head.temperature == TEMPERATURE == 0.02
    assert LabelHead.from_texts(np.eye(2), 2, temperature=0.04).temperature == 0.04
    documents = random_documents(4, 2)
    np.testing.assert_array_equal(head.documents(documents), documents)


def test_the_shift_is_taken_off_before_documents_are_scaled():
    """(3, 4) − (0, 4) = (3, 0), length one: (1, 0)."""
    head = LabelHead(np.eye(2, dtype=np.float32), np.array([0, 4], np.float32), np.zeros(2, np.float32))
    np.testing.assert_allclose(head.class_scores(np.array([[3.0, 4.0]])), [[1, 0]], atol=1e-7)


@pytest.mark.parametrize("stop_at_inner", [False, True])
def test_posterior_rows_sum_to_one(taxonomy, stop_at_inner):
    paths = index_paths(taxonomy, stop_at_inner)
    heads = tuple(random_head(seed, 7, paths.n_paths) for seed in range(2))
    documents = np.vstack([random_documents(50), np.zeros((1, 5))])  # an empty document has no direction
    posterior = LabelModel(heads, 0.4, "", "").posterior(documents, paths)
    assert posterior.shape == (51, paths.n_paths)
    assert (posterior >= 0).all()
    np.testing.assert_allclose(posterior.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("even", [False, True])
@pytest.mark.parametrize("shifted", [False, True])
def test_the_posterior_is_that_of_unit_documents_without_the_shift(taxonomy, even, shifted):
    """Scores, their spread over the paths and the prior as they are defined, one head, documents of any length."""
    paths = index_paths(taxonomy)
    head = random_head(3, 7, paths.n_paths, shifted=shifted)
    head = replace(head, log_prior=np.full_like(head.log_prior, -1.4)) if even else head
    documents = random_documents(40) * np.linspace(0.5, 1, 40)[:, None]
    seen = unit(documents - head.document_shift) if shifted else documents
    scores = seen @ head.class_vectors.T @ paths.weights.toarray().T
    evidence = scores + head.temperature * head.log_prior
    odds = np.exp(evidence / (0.4 * scores.std(axis=1, keepdims=True)))
    posterior = LabelModel((head,), 0.4, "", "").posterior(documents, paths)
    np.testing.assert_allclose(posterior, odds / odds.sum(axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("even", [False, True])
@pytest.mark.parametrize("sharpness", [1e-3, 0.05, 0.3])
def test_one_class_that_has_all_of_the_variance_is_certain_and_everything_finite(even, sharpness):
    """The furthest that a score can lie from the others: one class of 400, whatever the prior says of it."""
    n_classes = 400
    vectors = np.zeros((n_classes, 2), dtype=np.float32)
    vectors[0] = [1, 0]
    log_prior = np.full(n_classes, -3.0 if even else -9.0, dtype=np.float32)
    log_prior[1] = -3.0
    model = LabelModel((LabelHead(vectors, np.zeros(2, np.float32), log_prior),), sharpness, "", "")
    documents = np.array([[1, 0], [1e-8, 0], [0, 1]], dtype=np.float32)  # the second and third have no spread
    posterior = model.posterior(documents, index_paths(flat(n_classes)))
    assert posterior[0, 0] == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(posterior.sum(axis=1), 1, atol=1e-4)
    assert (posterior[2, 2:].max() < 1e-6) is not even


def test_a_model_serves_several_sets_of_paths_in_turn(taxonomy):
    """What is kept of the last paths must not answer for others, nor for another model."""
    documents, to_leaves, to_any = random_documents(20), index_paths(taxonomy), index_paths(taxonomy, True)
    heads = [random_head(seed, 7, to_leaves.n_paths, shifted=False) for seed in range(2)]
    wide = [replace(head, log_prior=np.zeros(to_any.n_paths, np.float32)) for head in heads]
    asked = [(LabelModel((head,), 0.4, "", ""), to_leaves) for head in heads]
    asked += [(LabelModel((head,), 0.4, "", ""), to_any) for head in wide]
    alone = [model.posterior(documents, paths) for model, paths in asked]
    for (model, paths), expected in zip(reversed(asked), reversed(alone), strict=True):
        np.testing.assert_array_equal(model.posterior(documents, paths), expected)
    both = LabelModel((wide[0],), 0.4, "", "")
    shapes = [both.posterior(documents, paths).shape[1] for paths in (to_any, to_leaves, to_any)]
    assert shapes == [to_any.n_paths, to_leaves.n_paths, to_any.n_paths]


def test_two_heads_are_averaged(taxonomy):
    paths, documents = index_paths(taxonomy), random_documents(20)
    heads = tuple(random_head(seed, 7, paths.n_paths) for seed in range(2))
    alone = [LabelModel((head,), 0.4, "", "").posterior(documents, paths) for head in heads]
    assert np.abs(alone[0] - alone[1]).max() > 0.1
    both = LabelModel(heads, 0.4, "", "").posterior(documents, paths)
    np.testing.assert_allclose(both, (alone[0] + alone[1]) / 2, atol=1e-6)


def test_a_smaller_sharpness_concentrates_the_posterior(taxonomy):
    paths, head = index_paths(taxonomy), random_head(0, 7, 4)
    wide, narrow = (LabelModel((head,), c, "", "").posterior(random_documents(30), paths) for c in (1.0, 0.2))
    assert (narrow.max(axis=1) > wide.max(axis=1)).all()
    np.testing.assert_array_equal(narrow.argmax(axis=1), wide.argmax(axis=1))


@pytest.mark.parametrize("n_heads", [1, 2])
def test_a_saved_model_gives_the_same_posterior(taxonomy, tmp_path, n_heads):
    paths, documents = index_paths(taxonomy), random_documents(40)
    heads = tuple(
        random_head(seed, 7, paths.n_paths, shifted=seed == 0, temperature=0.037 + seed / 100)
        for seed in range(n_heads)
    )
    model = LabelModel(heads, 0.3, "both", "4 roots: über-skewed, 31% ‘or so’")
    model.save(tmp_path / "model.npz")
    loaded = LabelModel.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.posterior(documents, paths), model.posterior(documents, paths))
    assert (loaded.choice, loaded.reason) == (model.choice, model.reason)
    assert loaded.sharpness == pytest.approx(model.sharpness)
    for kept, head in zip(loaded.heads, heads, strict=True):
        np.testing.assert_array_equal(kept.class_vectors, head.class_vectors)
        np.testing.assert_array_equal(kept.document_shift, head.document_shift)
        np.testing.assert_array_equal(kept.log_prior, head.log_prior)
        assert kept.temperature == head.temperature
        assert isinstance(kept.temperature, float)


def test_a_model_is_written_where_it_is_told_and_holds_no_pickle(tmp_path):
    """numpy would append .npz to a name without it; the caller renames the file afterwards."""
    LabelModel((random_head(0, 3, 3),), 0.4, "both", "").save(tmp_path / "label_model.partial")
    assert [file.name for file in tmp_path.iterdir()] == ["label_model.partial"]
    with np.load(tmp_path / "label_model.partial", allow_pickle=False) as stored:
        assert all(stored[name].dtype != object for name in stored.files)
