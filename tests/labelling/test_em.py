"""Soft EM on planted clusters: the truth is known and never shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.em import LabellingConfig, fit_label_model, largest_root_share, soft_em
from teleclass.labelling.label_model import LabelHead, LabelModel
from teleclass.labelling.paths import PathIndex, index_paths
from teleclass.labelling.similarity import unit

DIMENSIONS = 24


@dataclass
class Planted:
    """Roots with leaves; documents lie around leaf centres, class texts point only roughly there."""

    paths: PathIndex
    centres: np.ndarray
    texts: np.ndarray
    documents: np.ndarray
    truth: np.ndarray

    @property
    def start(self) -> LabelHead:
        return LabelHead(self.texts, np.zeros(DIMENSIONS, np.float32), np.zeros(self.paths.n_paths, np.float32))

    def accuracy(self, head: LabelHead) -> float:
        best = self.paths.path_scores(head.class_scores(self.documents)).argmax(axis=1)
        return float((self.paths.ends[best] == self.truth).mean())

    def model_accuracy(self, model: LabelModel) -> float:
        best = model.posterior(self.documents, self.paths).argmax(axis=1)
        return float((self.paths.ends[best] == self.truth).mean())

    def nearness(self, vectors: np.ndarray) -> float:
        """Mean cosine of leaf vectors and planted centres."""
        leaves = self.paths.ends
        return float((unit(vectors[leaves]) * self.centres[leaves]).sum(axis=1).mean())


def plant(
    root_shares: list[float], leaves_a_root: int = 4, n: int = 4500, text_noise: float = 0.25, seed: int = 0
) -> Planted:
    """Root r holds ``root_shares[r]`` of the documents, spread evenly over its leaves."""
    rng = np.random.default_rng(seed)
    n_roots = len(root_shares)
    n_classes = n_roots * (1 + leaves_a_root)
    edges = [(root, n_roots + root * leaves_a_root + leaf) for root in range(n_roots) for leaf in range(leaves_a_root)]
    taxonomy = Taxonomy(range(n_classes), [f"c{number}" for number in range(n_classes)], edges)
    centres = unit(rng.normal(size=(n_classes, DIMENSIONS)))
    for root in range(n_roots):
        children = taxonomy.children(root)
        centres[children] = unit(centres[children] + 0.8 * centres[root])
        centres[root] = unit(centres[children].mean(axis=0, keepdims=True))[0]
    texts = unit(centres + text_noise * rng.normal(size=centres.shape))
    roots = rng.choice(n_roots, size=n, p=root_shares)
    truth = n_roots + roots * leaves_a_root + rng.integers(leaves_a_root, size=n)
    documents = unit(centres[truth] + 0.17 * rng.normal(size=(n, DIMENSIONS)))
    return Planted(index_paths(taxonomy), centres, texts, documents, truth)


BALANCED = [1 / 6] * 6


@pytest.mark.parametrize("learn_prior", [True, False])
def test_class_vectors_move_towards_the_planted_clusters_and_accuracy_rises(learn_prior):
    planted = plant(BALANCED)
    head, _ = soft_em(planted.documents, planted.start, planted.paths, LabellingConfig(), learn_prior)
    assert planted.nearness(head.class_vectors) > planted.nearness(planted.texts) + 0.1
    assert planted.accuracy(head) > planted.accuracy(planted.start) + 0.03
    np.testing.assert_allclose(np.linalg.norm(head.class_vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("prior", ["corpus", "uniform", "both"])
def test_every_form_of_the_fitted_model_beats_zero_shot(prior):
    planted = plant(BALANCED)
    model = fit_label_model(planted.documents, planted.texts, planted.paths, LabellingConfig(prior=prior))
    assert planted.model_accuracy(model) > planted.accuracy(planted.start) + 0.03


def test_the_order_of_documents_does_not_matter():
    """4,500 documents are two blocks, so that blocks hold other documents in the other order."""
    planted = plant(BALANCED)
    shuffled = planted.documents[np.random.default_rng(1).permutation(len(planted.documents))]
    for prior in ("corpus", "uniform"):
        config = LabellingConfig(prior=prior)
        one, other = (
            fit_label_model(documents, planted.texts, planted.paths, config).heads[0]
            for documents in (planted.documents, shuffled)
        )
        np.testing.assert_allclose(one.class_vectors, other.class_vectors, atol=1e-4)
        np.testing.assert_allclose(one.document_shift, other.document_shift, atol=1e-4)
        np.testing.assert_allclose(one.log_prior, other.log_prior, atol=1e-3)


def test_the_learnt_prior_finds_how_common_each_path_is():
    planted = plant([0.6, 0.2, 0.1, 0.05, 0.05])
    head, counts = soft_em(planted.documents, planted.start, planted.paths, LabellingConfig(), learn_prior=True)
    prior = np.exp(head.log_prior)
    assert prior.sum() == pytest.approx(1, abs=1e-4)
    found = np.bincount(planted.paths.roots, weights=prior, minlength=5)[:5]
    true = np.bincount((planted.truth - 5) // 4, minlength=5) / len(planted.truth)
    np.testing.assert_allclose(found, true, atol=0.05)
    assert counts.path_mass.sum() == pytest.approx(len(planted.documents), rel=1e-4)


def test_the_prior_is_smoothed_by_one_and_stays_uniform_when_it_is_not_learnt():
    """Two classes; 3 documents lie on the first: masses 3 and 0, so (3 + 1) / 5 and (0 + 1) / 5."""
    paths = index_paths(Taxonomy([0, 1], ["a", "b"], []))
    start = LabelHead(np.eye(2, dtype=np.float32), np.zeros(2, np.float32), np.zeros(2, np.float32))
    documents = np.tile(np.array([[1, 0]], np.float32), (3, 1))
    learnt, _ = soft_em(documents, start, paths, LabellingConfig(iterations=1), learn_prior=True)
    np.testing.assert_allclose(np.exp(learnt.log_prior), [4 / 5, 1 / 5], atol=1e-5)
    kept, _ = soft_em(documents, start, paths, LabellingConfig(iterations=1), learn_prior=False)
    assert kept.log_prior.tolist() == [0, 0]


def test_a_document_halfway_between_two_classes_is_shared_out_by_the_prior():
    """Equal scores and the prior (.9, .1): of ten documents 9 and 1. The sums are those shares of their vectors."""
    paths = index_paths(Taxonomy([0, 1], ["a", "b"], []))
    head = LabelHead(np.eye(2, dtype=np.float32), np.zeros(2, np.float32), np.log([0.9, 0.1]).astype(np.float32))
    documents = np.tile(unit(np.ones((1, 2))), (10, 1))
    _, counts = soft_em(documents, head, paths, LabellingConfig(iterations=0), learn_prior=True)
    np.testing.assert_allclose(counts.path_mass, [9, 1], atol=1e-4)
    np.testing.assert_allclose(counts.class_mass, [9, 1], atol=1e-4)
    np.testing.assert_allclose(counts.class_sums, np.array([[9, 9], [1, 1]]) / np.sqrt(2), atol=1e-4)


def test_one_round_by_hand_and_a_class_without_documents_keeps_its_text():
    """Class a (1, 0), class b (0, −1). Ten documents at (.8, .6) are a's: centroid (.8, .6), share .35 · min(1, 10).

    a becomes .65 (1, 0) + .35 (.8, .6) = (.93, .21), scaled; b has no mass and stays.
    """
    paths = index_paths(Taxonomy([0, 1], ["a", "b"], []))
    texts = np.array([[1, 0], [0, -1]], np.float32)
    start = LabelHead(texts, np.zeros(2, np.float32), np.zeros(2, np.float32))
    documents = np.tile(np.array([[0.8, 0.6]], np.float32), (10, 1))
    head, _ = soft_em(documents, start, paths, LabellingConfig(iterations=1), learn_prior=False)
    np.testing.assert_allclose(head.class_vectors[0], np.array([0.93, 0.21]) / np.hypot(0.93, 0.21), atol=1e-5)
    np.testing.assert_allclose(head.class_vectors[1], [0, -1], atol=1e-6)


def test_class_vectors_are_drawn_from_the_text_in_every_round_and_cannot_drift_away():
    """The text keeps its share of .65, so a vector never comes nearer to the centroid than one round allows."""
    planted = plant(BALANCED)
    few, many = (
        soft_em(planted.documents, planted.start, planted.paths, LabellingConfig(iterations=n), learn_prior=False)[0]
        for n in (5, 40)
    )
    kept = (many.class_vectors * planted.texts).sum(axis=1)
    assert kept.min() > 0.65
    assert (few.class_vectors * many.class_vectors).sum(axis=1).mean() > 0.99


@pytest.mark.parametrize("config", [LabellingConfig(iterations=0), LabellingConfig(corpus_weight=0)])
def test_without_rounds_or_without_corpus_weight_the_texts_stay(config):
    planted = plant(BALANCED, n=200)
    head, _ = soft_em(planted.documents, planted.start, planted.paths, config, learn_prior=False)
    np.testing.assert_allclose(head.class_vectors, planted.texts, atol=1e-6)


def test_the_tick_is_told_every_document_of_every_pass():
    planted = plant(BALANCED)
    told: list[int] = []
    soft_em(planted.documents, planted.start, planted.paths, LabellingConfig(iterations=2), True, told.append)
    assert sum(told) == 3 * len(planted.documents)
    assert len(told) == 3 * 2


# --- which form is chosen


def test_the_largest_root_share_counts_best_paths():
    """Best paths: food 3 of 4 documents, whatever leaf they end at."""
    paths = index_paths(Taxonomy(range(5), ["food", "tools", "fruit", "bread", "knives"], [(0, 2), (0, 3), (1, 4)]))
    head = LabelHead(np.eye(5, dtype=np.float32), np.zeros(5, np.float32), np.zeros(3, np.float32))
    assert largest_root_share(np.eye(5)[[2, 2, 3, 4]], head, paths) == 0.75


def test_a_skewed_corpus_gets_the_corpus_prior():
    planted = plant([0.6, 0.1, 0.1, 0.1, 0.05, 0.05])
    model = fit_label_model(planted.documents, planted.texts, planted.paths, LabellingConfig())
    assert model.choice == "corpus prior"
    assert "more than 32%" in model.reason
    assert "skewed" in model.reason
    (head,) = model.heads
    assert not head.document_shift.any()
    assert head.log_prior.std() > 0.1


def test_a_balanced_corpus_gets_the_uniform_prior_with_the_means_removed():
    planted = plant(BALANCED)
    model = fit_label_model(planted.documents, planted.texts, planted.paths, LabellingConfig())
    assert model.choice == "uniform prior"
    assert "not more than 32%" in model.reason
    (head,) = model.heads
    assert not head.log_prior.any()
    balanced = np.stack([planted.documents[planted.truth == leaf].mean(axis=0) for leaf in planted.paths.ends])
    np.testing.assert_allclose(head.document_shift, balanced.mean(axis=0), atol=0.03)


def test_the_shift_is_the_mean_of_classes_and_not_of_documents():
    """Most documents lie under one root: their plain mean is that root's, the mean of leaf centroids is not."""
    planted = plant([0.75, 0.05, 0.05, 0.05, 0.05, 0.05])
    model = fit_label_model(planted.documents, planted.texts, planted.paths, LabellingConfig(prior="uniform"))
    shift, plain = model.heads[0].document_shift, planted.documents.mean(axis=0)
    balanced = np.stack([planted.documents[planted.truth == leaf].mean(axis=0) for leaf in planted.paths.ends])
    assert np.linalg.norm(shift - balanced.mean(axis=0)) < 0.25 * np.linalg.norm(plain - balanced.mean(axis=0))


def test_four_even_roots_are_few_and_both_forms_are_averaged():
    planted = plant([0.25] * 4)
    model = fit_label_model(planted.documents, planted.texts, planted.paths, LabellingConfig())
    assert model.choice == "both"
    assert "4 roots, fewer than 5" in model.reason
    with_prior, without = model.heads
    assert with_prior.log_prior.any()
    assert not with_prior.document_shift.any()
    assert without.document_shift.any()
    assert not without.log_prior.any()


@pytest.mark.parametrize("n_roots", [1, 2, 3])
def test_an_even_corpus_under_three_roots_or_fewer_is_not_called_skewed(n_roots):
    """One of three roots holds a third of the documents at the very least, which is above the threshold of .32."""
    planted = plant([1 / n_roots] * n_roots, n=1200)
    model = fit_label_model(planted.documents, planted.texts, planted.paths, LabellingConfig())
    assert model.choice == "both"
    assert f"{n_roots} roots, fewer than 5" in model.reason


@pytest.mark.parametrize(
    ("prior", "choice", "n_heads"),
    [("corpus", "corpus prior", 1), ("uniform", "uniform prior", 1), ("both", "both", 2)],
)
@pytest.mark.parametrize("shares", [BALANCED, [0.9, 0.1]])
def test_the_form_asked_for_is_used_whatever_the_corpus(prior, choice, n_heads, shares):
    planted = plant(shares, n=600)
    model = fit_label_model(planted.documents, planted.texts, planted.paths, LabellingConfig(prior=prior))
    assert (model.choice, len(model.heads)) == (choice, n_heads)
    assert model.reason == "asked for by labelling.prior"


def test_the_thresholds_are_the_users():
    planted = plant(BALANCED, n=1200)

    def choice(**settings) -> str:
        return fit_label_model(planted.documents, planted.texts, planted.paths, LabellingConfig(**settings)).choice

    assert choice(skew_threshold=0.1) == "corpus prior"
    assert choice(few_roots=7) == "both"


@pytest.mark.parametrize(
    ("n_classes", "asked", "used"), [(300, 0.0, 0.4), (301, 0.0, 0.3), (300, 0.7, 0.7), (301, 0.7, 0.7)]
)
def test_sharpness_follows_the_number_of_classes_unless_it_is_given(n_classes, asked, used):
    taxonomy = Taxonomy(range(n_classes), [f"c{number}" for number in range(n_classes)], [])
    vectors = unit(np.random.default_rng(0).normal(size=(n_classes, 8)))
    config = LabellingConfig(iterations=1, sharpness=asked)
    assert fit_label_model(vectors, vectors, index_paths(taxonomy), config).sharpness == used


@pytest.mark.parametrize(
    "setting",
    [{"iterations": -1}, {"corpus_weight": -0.1}, {"corpus_weight": 1.1}, {"prior": "skewed"}, {"sharpness": -1}],
)
def test_a_setting_out_of_range_is_refused_by_its_name(setting):
    with pytest.raises(ValueError, match=f"labelling.{next(iter(setting))}"):
        LabellingConfig(**setting)
