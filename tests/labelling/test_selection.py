"""Which form of soft EM a corpus gets, on planted clusters."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
from planted import EVEN, contradicting, even, fit, flat_paths, in_between, one_document_a_class, plant, skewed

from teleclass.labelling import selection
from teleclass.labelling.annotation import Annotations
from teleclass.labelling.em import soft_em
from teleclass.labelling.label_model import TEMPERATURE, LabelHead
from teleclass.labelling.selection import LabellingConfig, fit_label_model
from teleclass.labelling.similarity import unit

# --- the choice


@pytest.mark.parametrize("n_roots", [1, 2, 4, 6])
def test_an_even_corpus_gets_the_uniform_prior_with_the_means_removed(n_roots):
    """However few its roots are: one of two holds half of the documents at least."""
    planted = plant([1 / n_roots] * n_roots, n=1200, text_noise=0.1)
    model, evidence = fit(planted)
    assert model.choice == "uniform prior"
    assert f"worth {evidence.prior_gain:.2f} nats" in model.reason
    assert f"agree on {evidence.texts_and_uniform:.0%}" in model.reason
    assert abs(evidence.prior_gain) < 0.05
    (head,) = model.heads
    assert not head.log_prior.any()
    np.testing.assert_allclose(head.document_shift, planted.balanced_mean, atol=0.03)
    assert head.temperature == TEMPERATURE


def test_a_skewed_corpus_gets_the_corpus_prior():
    planted = skewed()
    model, evidence = fit(planted)
    assert model.choice == "corpus prior"
    assert "a skewed corpus" in model.reason
    assert evidence.prior_gain > 0.4
    (head,) = model.heads
    assert not head.document_shift.any()
    assert head.temperature == TEMPERATURE
    under_the_large_root = np.exp(head.log_prior[planted.paths.roots == 0]).sum()
    assert under_the_large_root == pytest.approx(0.6, abs=0.05)


def test_a_corpus_in_between_gets_both_forms():
    model, evidence = fit(in_between())
    assert model.choice == "both"
    assert model.reason.endswith("neither skewed nor even")
    assert 0.17 < evidence.prior_gain < 0.28
    with_prior, without = model.heads
    assert with_prior.log_prior.any()
    assert not with_prior.document_shift.any()
    assert without.document_shift.any()
    assert not without.log_prior.any()


def test_class_texts_that_contradict_the_corpus_get_the_corpus_prior_and_a_warmer_temperature():
    """By a fifth of a share below .78 the temperature is doubled; here it lies between."""
    planted = contradicting()
    model, evidence = fit(planted)
    assert evidence.prior_gain < 0.15  # an even corpus, but for the texts
    assert 0.6 < evidence.texts_and_uniform < 0.7
    assert model.choice == "corpus prior"
    assert f"agree on {evidence.texts_and_uniform:.0%}" in model.reason
    (head,) = model.heads
    assert head.temperature == pytest.approx(TEMPERATURE * (1 + (0.78 - evidence.texts_and_uniform) / 0.2))
    warm = replace(planted.start, temperature=head.temperature)
    shrinkage = selection.SHRINKAGE * evidence.prior_gain
    expected = soft_em(planted.documents, warm, planted.paths, 5, 0.35, True, shrinkage)
    np.testing.assert_array_equal(head.class_vectors, expected.class_vectors)
    np.testing.assert_array_equal(head.log_prior, expected.log_prior)


def test_the_temperature_is_doubled_at_most():
    model, evidence = fit(plant(EVEN, n=1200, text_noise=3.0))
    assert evidence.texts_and_uniform < 0.58
    assert model.heads[0].temperature == 2 * TEMPERATURE


def test_class_texts_stay_where_soft_em_learns_nothing_that_holds():
    planted = one_document_a_class()
    model, evidence = fit(planted)
    assert evidence.corpus_gain < -0.1
    assert evidence.texts_and_uniform > 0.9  # nothing else speaks against the uniform form
    assert model.choice == "class texts"
    assert f"does not raise the held-out likelihood ({evidence.corpus_gain:.2f} nats" in model.reason
    (head,) = model.heads
    np.testing.assert_allclose(head.class_vectors, planted.texts, atol=1e-6)
    assert not head.log_prior.any()
    assert not head.document_shift.any()


@pytest.mark.parametrize(("gain", "choice"), [(-0.01, "class texts"), (0.0, "class texts"), (0.01, "uniform prior")])
def test_any_gain_of_soft_em_is_enough(monkeypatch, gain, choice):
    monkeypatch.setattr(selection, "_held_out_gains", lambda *_: (0.0, gain))
    assert fit(even(300))[0].choice == choice


@pytest.mark.parametrize(
    ("above", "threshold", "choice"),
    [
        (False, "SKEWED_GAIN", "corpus prior"),
        (True, "SKEWED_GAIN", "both"),
        (False, "EVEN_GAIN", "both"),
        (True, "EVEN_GAIN", "uniform prior"),
    ],
)
def test_the_gain_of_a_prior_is_held_against_two_thresholds(monkeypatch, above, threshold, choice):
    planted = in_between()
    gain = fit(planted)[1].prior_gain
    monkeypatch.setattr(selection, threshold, gain + (1e-6 if above else -1e-6))
    assert fit(planted)[0].choice == choice


@pytest.mark.parametrize(("above", "choice"), [(True, "corpus prior"), (False, "uniform prior")])
def test_the_agreement_is_held_against_a_threshold_before_the_gain(monkeypatch, above, choice):
    planted = even()
    agreement = fit(planted)[1].texts_and_uniform
    monkeypatch.setattr(selection, "WEAK_AGREEMENT", agreement + (1e-6 if above else -1e-6))
    assert fit(planted)[0].choice == choice


@pytest.mark.parametrize(
    ("prior", "choice", "n_heads"),
    [("corpus", "corpus prior", 1), ("uniform", "uniform prior", 1), ("both", "both", 2), ("texts", "class texts", 1)],
)
@pytest.mark.parametrize("corpus", [even, skewed, contradicting, one_document_a_class])
def test_the_form_asked_for_is_used_whatever_the_corpus(prior, choice, n_heads, corpus):
    planted = corpus()
    model, evidence = fit(planted, prior=prior)
    assert (model.choice, len(model.heads)) == (choice, n_heads)
    assert model.reason == "asked for by labelling.prior"
    assert evidence == fit(planted)[1]
    warmer = prior == "corpus" and evidence.texts_and_uniform < selection.WEAK_AGREEMENT
    assert [head.temperature > TEMPERATURE for head in model.heads] == [warmer] * n_heads


# --- the forms


@pytest.mark.parametrize("prior", ["corpus", "uniform", "both"])
def test_every_form_of_the_fitted_model_beats_the_class_texts(prior):
    planted = plant(EVEN)
    model, _ = fit(planted, prior=prior)
    assert planted.model_accuracy(model) > planted.accuracy(planted.start) + 0.03


def test_the_corpus_form_shrinks_rare_classes_by_what_the_prior_is_worth():
    planted = skewed()
    model, evidence = fit(planted)
    shrinkage = selection.SHRINKAGE * evidence.prior_gain
    expected = soft_em(planted.documents, planted.start, planted.paths, 5, 0.35, True, shrinkage)
    np.testing.assert_array_equal(model.heads[0].class_vectors, expected.class_vectors)
    unshrunk = soft_em(planted.documents, planted.start, planted.paths, 5, 0.35, True)
    assert np.abs(model.heads[0].class_vectors - unshrunk.class_vectors).max() > 0.01


def test_a_prior_worth_less_than_nothing_shrinks_nothing():
    """A negative shrinkage would move classes by more than the corpus weight."""
    planted = even()
    model, evidence = fit(planted, prior="corpus")
    assert evidence.prior_gain < 0
    expected = soft_em(planted.documents, planted.start, planted.paths, 5, 0.35, True)
    np.testing.assert_array_equal(model.heads[0].class_vectors, expected.class_vectors)


def test_the_uniform_form_starts_from_centred_class_texts():
    planted = even()
    (head,) = fit(planted, prior="uniform")[0].heads
    centred = unit(planted.texts - planted.texts.mean(axis=0))
    start = LabelHead(centred, head.document_shift, np.zeros(planted.paths.n_paths, np.float32))
    expected = soft_em(planted.documents, start, planted.paths, 5, 0.35, False)
    np.testing.assert_allclose(head.class_vectors, expected.class_vectors, atol=1e-6)


def test_the_shift_is_the_mean_of_classes_and_not_of_documents():
    """Most documents lie under one root: their plain mean is that root's, the mean of leaf centroids is not."""
    planted = plant([0.75, 0.05, 0.05, 0.05, 0.05, 0.05])
    (head,) = fit(planted, prior="uniform")[0].heads
    plain = np.linalg.norm(planted.documents.mean(axis=0) - planted.balanced_mean)
    assert np.linalg.norm(head.document_shift - planted.balanced_mean) < 0.25 * plain


@pytest.mark.parametrize("corpus", [even, contradicting])
def test_annotations_reach_every_fit_and_leave_the_gains_as_they_were(corpus):
    """Core classes of a third of the documents are known: of contradicting texts, accuracy on the others rises."""
    planted = corpus()
    known = {row: [int(planted.truth[row])] for row in range(0, len(planted.documents), 3)}
    annotations = Annotations.of(known, len(planted.documents), planted.paths, 20.0)
    for prior in ("corpus", "uniform"):
        without, before = fit(planted, prior=prior)
        with_them, after = fit(planted, annotations, prior=prior)
        assert astuple(after)[:2] == astuple(before)[:2]
        moved = np.abs(with_them.heads[0].class_vectors - without.heads[0].class_vectors).max()
        assert moved > (0.05 if corpus is contradicting else 1e-4)
        gained = planted.model_accuracy(with_them) - planted.model_accuracy(without)
        assert gained > (0.05 if corpus is contradicting else -0.01)


@pytest.mark.parametrize("corpus", [even, in_between, contradicting])
def test_the_same_corpus_gives_the_same_model(corpus):
    (one, evidence), (other, again) = fit(corpus()), fit(corpus())
    assert evidence == again
    assert (one.choice, one.reason, one.sharpness) == (other.choice, other.reason, other.sharpness)
    for head, copy in zip(one.heads, other.heads, strict=True):
        for field in ("class_vectors", "document_shift", "log_prior", "temperature"):
            np.testing.assert_array_equal(getattr(head, field), getattr(copy, field))


def test_another_order_of_the_documents_gives_about_the_same_evidence():
    planted = in_between()
    order = np.random.default_rng(5).permutation(len(planted.documents))
    shuffled = replace(planted, documents=planted.documents[order])
    np.testing.assert_allclose(astuple(fit(shuffled)[1]), astuple(fit(planted)[1]), atol=0.03)


def test_embeddings_may_lie_in_a_file(tmp_path):
    planted = even(300)
    np.save(tmp_path / "embeddings.npy", planted.documents)
    stored = replace(planted, documents=np.load(tmp_path / "embeddings.npy", mmap_mode="r"))
    assert astuple(fit(stored)[1]) == pytest.approx(astuple(fit(planted)[1]), abs=1e-6)


# --- corpora of hardly any document


@pytest.mark.parametrize("n", [0, 1, 2, 3])
@pytest.mark.parametrize("prior", ["auto", "corpus", "uniform", "both", "texts"])
def test_a_tiny_corpus_gives_a_model_that_works(n, prior):
    planted = plant([0.5, 0.5], n=n)
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        model, evidence = fit(planted, prior=prior)
        posterior = model.posterior(even(50).documents, planted.paths)
    assert np.isfinite(astuple(evidence)).all()
    np.testing.assert_allclose(posterior.sum(axis=1), 1, atol=1e-5)
    for head in model.heads:
        np.testing.assert_allclose(np.linalg.norm(head.class_vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("n", [0, 1])
def test_with_less_than_two_documents_nothing_can_be_held_out_and_class_texts_stay(n):
    model, evidence = fit(plant([0.5, 0.5], n=n))
    assert (evidence.prior_gain, evidence.corpus_gain) == (0, 0)
    assert model.choice == "class texts"
    assert model.reason == "soft EM does not raise the held-out likelihood (+0.00 nats a document)"


def test_documents_without_a_direction_are_borne():
    """Empty texts are zero rows."""
    planted = even(300)
    planted.documents[::2] = 0
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        model, evidence = fit(planted)
    assert np.isfinite(astuple(evidence)).all()
    assert np.isfinite(model.posterior(planted.documents, planted.paths)).all()


# --- the configuration


@pytest.mark.parametrize(
    ("n_classes", "asked", "used"), [(300, 0.0, 0.4), (301, 0.0, 0.3), (300, 0.7, 0.7), (301, 0.7, 0.7)]
)
def test_sharpness_follows_the_number_of_classes_unless_it_is_given(n_classes, asked, used):
    vectors = unit(np.random.default_rng(0).normal(size=(n_classes, 8)))
    config = LabellingConfig(iterations=1, sharpness=asked)
    assert fit_label_model(vectors, vectors, flat_paths(n_classes), config)[0].sharpness == used


@pytest.mark.parametrize(
    "setting",
    [
        {"iterations": -1},
        {"corpus_weight": -0.1},
        {"corpus_weight": 1.1},
        {"prior": "skewed"},
        {"sharpness": -1},
        {"fit_documents": -1},
    ],
)
def test_a_setting_out_of_range_is_refused_by_its_name(setting):
    with pytest.raises(ValueError, match=f"labelling.{next(iter(setting))}"):
        LabellingConfig(**setting)


@pytest.mark.parametrize("prior", ["auto", "corpus", "uniform", "both", "texts"])
def test_the_refusal_of_a_prior_names_those_there_are(prior):
    assert LabellingConfig(prior=prior).prior == prior
    with pytest.raises(ValueError, match=rf"\b{prior}\b"):
        LabellingConfig(prior="skewed")


def test_a_part_of_a_large_corpus_gives_nearly_the_model_of_the_whole(monkeypatch):
    monkeypatch.setattr(selection, "DOCUMENTS_PER_PATH", 1)
    planted = plant(EVEN)
    whole, part = (fit(planted, fit_documents=size)[0] for size in (0, 1500))
    assert part.choice == whole.choice
    vectors = part.heads[0].class_vectors, whole.heads[0].class_vectors
    assert 1e-4 < 1 - (vectors[0] * vectors[1]).sum(axis=1).min() < 0.02
    assert abs(planted.model_accuracy(part) - planted.model_accuracy(whole)) < 0.01


def test_a_corpus_that_is_no_larger_than_asked_for_is_taken_whole(monkeypatch):
    planted = plant(EVEN, n=600)
    whole = fit(planted, fit_documents=0)
    monkeypatch.setattr(selection, "DOCUMENTS_PER_PATH", 1)
    for again in (fit(planted, fit_documents=600), fit(planted)):
        np.testing.assert_array_equal(again[0].heads[0].class_vectors, whole[0].heads[0].class_vectors)
        assert again[1] == whole[1]


def test_rare_paths_are_not_lost_by_too_few_documents():
    """32 documents a path at least, and all that are annotated."""
    planted = plant(EVEN, n=4500)
    rows = selection._rows_to_fit(4500, planted.paths, LabellingConfig(fit_documents=10), None)
    assert len(rows) == 32 * planted.paths.n_paths < 4500
    missing = int(np.setdiff1d(np.arange(4500), rows)[7])
    annotations = Annotations.of({missing: [0]}, 4500, planted.paths, odds=20)
    more = selection._rows_to_fit(4500, planted.paths, LabellingConfig(fit_documents=10), annotations)
    assert sorted({*rows.tolist(), missing}) == more.tolist()
