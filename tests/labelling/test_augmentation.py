"""Starved classes and what they are lent."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.augmentation import AugmentationConfig, NearestDocument, nearest_documents, starved_classes
from teleclass.labelling.label_model import LabelHead, LabelModel
from teleclass.labelling.paths import PathIndex, index_paths
from teleclass.labelling.similarity import BLOCK_ROWS, unit

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)


def model_of(paths: PathIndex, vectors: np.ndarray) -> LabelModel:
    shift = np.zeros(vectors.shape[1], np.float32)
    return LabelModel((LabelHead(vectors, shift, np.zeros(paths.n_paths, np.float32)),), 0.6, "", "")


@pytest.fixture
def corpus(taxonomy):
    """Paths, a model and 60 documents of the seven classes, with their marginals."""
    rng = np.random.default_rng(5)
    paths = index_paths(taxonomy)
    model = model_of(paths, unit(rng.normal(size=(7, 6))))
    documents = unit(rng.normal(size=(60, 6)))
    return paths, model, documents, paths.marginals(model.posterior(documents, paths))


def none(documents: np.ndarray, n_classes: int = 7) -> sparse.csr_matrix:
    """No document has a class yet."""
    return sparse.csr_matrix((len(documents), n_classes), dtype=bool)


def test_starved_classes_are_counted_and_the_fed_ones_left_out():
    """Counts 3, 2, 0, 1 of the four classes."""
    labels = np.array([0, 1, 0, 3, 1, 0])
    assert starved_classes(labels, 4, starved_below=3) == {1: 2, 2: 0, 3: 1}
    assert starved_classes(labels, 4, starved_below=1) == {2: 0}
    assert starved_classes(labels, 4, starved_below=0) == {}


def test_without_any_pseudo_label_every_class_is_starved():
    assert starved_classes(np.array([], dtype=np.int64), 3, 5) == {0: 0, 1: 0, 2: 0}


def test_a_class_is_lent_its_most_probable_documents_best_first_up_to_the_limit(corpus):
    paths, model, documents, marginals = corpus
    config = AugmentationConfig(starved_below=5, nearest_confidence=0.01)
    lent = nearest_documents(documents, model, paths, {KNIVES: 2, LADDERS: 0}, none(documents), config)
    for node, missing in ((KNIVES, 3), (LADDERS, 5)):
        best = np.argsort(-marginals[:, node], kind="stable")[:missing]
        mine = [one for one in lent if one.node == node]
        assert [one.row for one in mine] == best.tolist()
        assert [one.confidence for one in mine] == pytest.approx(marginals[best, node].tolist(), abs=1e-6)


def test_a_pair_that_is_labelled_already_is_never_lent_and_the_next_document_takes_its_place(corpus):
    paths, model, documents, marginals = corpus
    order = np.argsort(-marginals[:, LADDERS], kind="stable")
    rows, nodes = order[[0, 2, 1]], [LADDERS, LADDERS, KNIVES]
    labelled = sparse.csr_matrix((np.ones(3, dtype=bool), (rows, nodes)), shape=(len(documents), 7))
    config = AugmentationConfig(starved_below=3, nearest_confidence=0.01)
    lent = nearest_documents(documents, model, paths, {LADDERS: 0}, labelled, config)
    assert [one.row for one in lent] == order[[1, 3, 4]].tolist()


def test_no_document_below_the_confidence_is_lent(corpus):
    paths, model, documents, marginals = corpus
    sure = np.flatnonzero(marginals[:, LADDERS] >= 0.6)
    assert 0 < len(sure) < len(documents)
    config = AugmentationConfig(starved_below=60, nearest_confidence=0.6)
    lent = nearest_documents(documents, model, paths, {LADDERS: 0}, none(documents), config)
    assert {one.row for one in lent} == set(sure.tolist())


@pytest.mark.parametrize("stop_at_inner", [False, True])
def test_the_route_is_the_document_s_likeliest_path_from_a_root_to_the_class(taxonomy, corpus, stop_at_inner):
    paths = index_paths(taxonomy, stop_at_inner)
    model, documents = model_of(paths, corpus[1].heads[0].class_vectors), corpus[2]
    config = AugmentationConfig(starved_below=60, nearest_confidence=0.01)
    lent = nearest_documents(documents, model, paths, dict.fromkeys(range(7), 0), none(documents), config)
    assert {one.node for one in lent} == set(range(7))
    assert {one.path for one in lent} == set(taxonomy.paths(stop_at_inner=True))
    posterior = model.posterior(documents, paths)
    for one in lent:
        likeliest = max(
            (row for row, path in enumerate(taxonomy.paths(stop_at_inner)) if one.node in path),
            key=lambda row: posterior[one.row, row],
        )
        path = taxonomy.paths(stop_at_inner)[likeliest]
        assert one.path == path[: path.index(one.node) + 1]


def test_the_route_runs_from_the_root_where_children_stand_before_their_parents_in_the_file():
    """Leaf 0, inner 1, root 2: sorted by position the route would be upside down."""
    chain = Taxonomy(range(3), ["leaf", "inner", "root"], [(2, 1), (1, 0)])
    paths = index_paths(chain)
    model = model_of(paths, np.eye(3, dtype=np.float32))
    first, config = np.eye(3)[:1], AugmentationConfig(starved_below=1)
    lent = nearest_documents(first, model, paths, {0: 0, 1: 0}, none(first, 3), config)
    assert lent == [NearestDocument(0, 0, (2, 1, 0), 1.0), NearestDocument(0, 1, (2, 1), 1.0)]


def test_rows_beyond_the_first_block_keep_their_number(taxonomy):
    """The only ladder document is the last of two blocks."""
    paths = index_paths(taxonomy)
    documents = np.tile(np.eye(7)[FRUIT], (BLOCK_ROWS + 3, 1))
    documents[-1] = np.eye(7)[LADDERS]
    model, config = model_of(paths, np.eye(7, dtype=np.float32)), AugmentationConfig(1, nearest_confidence=0.5)
    (lent,) = nearest_documents(documents, model, paths, {LADDERS: 0}, none(documents), config)
    assert (lent.row, lent.path) == (BLOCK_ROWS + 2, (TOOLS, LADDERS))


def test_nothing_is_lent_where_nothing_is_starved(corpus):
    paths, model, documents, _ = corpus
    assert nearest_documents(documents, model, paths, {}, none(documents), AugmentationConfig()) == []


@pytest.mark.parametrize(
    "setting", [{"starved_below": -1}, {"nearest_confidence": 0}, {"nearest_confidence": 1.01}], ids=str
)
def test_a_setting_out_of_range_is_refused_by_its_name(setting):
    with pytest.raises(ValueError, match=f"augmentation.{next(iter(setting))}"):
        AugmentationConfig(**setting)
