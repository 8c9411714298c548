"""Trust without gold."""

from __future__ import annotations

import numpy as np
import pytest
from planted import flat_paths

from teleclass.labelling.label_model import LabelHead, LabelModel
from teleclass.labelling.paths import index_paths
from teleclass.labelling.similarity import BLOCK_ROWS
from teleclass.labelling.trust import agreement_by_level, best_paths, entropy

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)


def model_of(n_classes: int, n_paths: int, sharpness: float = 0.01) -> LabelModel:
    """Classes at right angles."""
    return LabelModel((LabelHead.from_texts(np.eye(n_classes, dtype=np.float32), n_paths),), sharpness, "", "")


def agreement_of(*arguments) -> float:
    one, other = best_paths(*arguments)
    return float((one == other).mean())


def test_a_sure_model_has_no_entropy_and_one_that_knows_nothing_has_all():
    paths = flat_paths(5)
    assert entropy(model_of(5, 5), np.eye(5), paths) == pytest.approx(0, abs=1e-6)
    assert entropy(model_of(5, 5), np.zeros((3, 5)), paths) == pytest.approx(1, abs=1e-6)


def test_entropy_is_the_mean_over_documents_as_a_share_of_the_largest():
    """Torn between two of four paths: log 2 / log 4; beside a sure one, half of that."""
    torn, sure = np.array([[1, 1, 0, 0]]), np.eye(4)[:1]
    model, paths = model_of(4, 4), flat_paths(4)
    assert entropy(model, torn, paths) == pytest.approx(0.5, abs=1e-5)
    assert entropy(model, np.concatenate([torn, sure]), paths) == pytest.approx(0.25, abs=1e-5)


def test_entropy_of_many_blocks_is_that_of_one():
    """The last document, of a second block, is the only unsure one."""
    documents = np.repeat(np.eye(2)[:1], BLOCK_ROWS + 1, axis=0)
    documents[-1] = 1
    assert entropy(model_of(2, 2), documents, flat_paths(2)) == pytest.approx(1 / (BLOCK_ROWS + 1), rel=1e-3)


def test_one_path_or_no_document_leaves_nothing_to_be_unsure_of():
    assert entropy(model_of(1, 1), np.ones((2, 1)), flat_paths(1)) == 0
    assert entropy(model_of(3, 3), np.zeros((0, 3)), flat_paths(3)) == 0


def test_agreement_is_the_share_of_documents_with_the_same_best_path(taxonomy):
    """The classifier says fruit, ladders and bread knives; the label model fruit, ladders and fruit."""
    paths = index_paths(taxonomy)
    documents = np.eye(7)[[FRUIT, LADDERS, FRUIT]]
    logits = np.full((3, 7), -9.0)
    for row, nodes in enumerate([[FOOD, FRUIT], [TOOLS, LADDERS], [FOOD, BREAD, BREAD_KNIVES]]):
        logits[row, nodes] = 9
    model = model_of(7, paths.n_paths)
    assert agreement_of(model, documents, logits, paths) == pytest.approx(2 / 3)
    assert agreement_of(model, documents, logits[[2, 2, 2]], paths) == 0
    assert agreement_of(model, documents, logits[[0, 1, 0]], paths) == 1


def test_agreement_counts_every_block():
    documents = np.repeat(np.eye(2)[:1], BLOCK_ROWS + 2, axis=0)
    logits = np.array(documents) * 9
    logits[-2:] = [0, 9]
    agreement = agreement_of(model_of(2, 2), documents, logits, flat_paths(2))
    assert agreement == pytest.approx(BLOCK_ROWS / (BLOCK_ROWS + 2))


def test_the_paths_of_both_views_are_told_apart(taxonomy):
    paths = index_paths(taxonomy)
    logits = np.full((1, 7), -9.0)
    logits[0, [TOOLS, LADDERS]] = 9
    labelled, classified = best_paths(model_of(7, paths.n_paths), np.eye(7)[[FRUIT]], logits, paths)
    assert (paths.ends[labelled[0]], paths.ends[classified[0]]) == (FRUIT, LADDERS)


def test_agreement_by_level_counts_the_documents_whose_paths_reach_it():
    """Both the same; parted on the second level; one ends on the second where the other goes on to a third."""
    one = [[FOOD, FRUIT], [FOOD, FRUIT], [FOOD, BREAD, BREAD_KNIVES]]
    other = [[FOOD, FRUIT], [FOOD, BREAD], [FOOD, BREAD]]
    assert agreement_by_level(one, other) == [1.0, pytest.approx(2 / 3), 0.0]
    assert agreement_by_level([], []) == []
