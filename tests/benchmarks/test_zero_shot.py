"""SetFit's row: by hand where it is the taxonomy's part, and what it says where setfit is absent."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

from benchmarks.evaluation import LeftOut
from benchmarks.zero_shot import MAX_STEPS, file_by_leaves, setfit_zero_shot, steps_of

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)


def test_an_inner_class_scores_the_sum_of_its_leaves_and_the_best_leaf_brings_its_ancestors(taxonomy):
    """Leaves in order: fruit, ladders, bread_knives."""
    assert taxonomy.leaves == [FRUIT, LADDERS, BREAD_KNIVES]
    filed = file_by_leaves(np.array([[0.2, 0.5, 0.3]], dtype=np.float32), taxonomy)
    assert filed.labels == [{TOOLS, LADDERS}]
    expected = np.array([0.5, 0.2, 0.3, 0.8 + 3, 0.3, 0.5 + 3, 0.3])
    assert filed.scores[0] == pytest.approx(expected, abs=1e-6)


def test_without_setfit_the_row_says_so(taxonomy, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "setfit", None)
    with pytest.raises(LeftOut, match="not installed"):
        setfit_zero_shot(["a"], taxonomy, tmp_path, seed=1)


def test_a_setfit_that_does_not_fit_the_other_packages_leaves_the_row_out(taxonomy, monkeypatch, tmp_path):
    (tmp_path / "setfit.py").write_text("raise ImportError('cannot import name default_logdir')\n")
    monkeypatch.delitem(sys.modules, "setfit", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(LeftOut, match="does not load: cannot import name default_logdir"):
        setfit_zero_shot(["a"], taxonomy, tmp_path, seed=1)


def test_few_classes_are_trained_for_an_epoch_and_many_for_the_most_steps():
    """4 leaves: 32 texts, 144 pairs of one class and 384 of two; 768 pairs are 24 steps."""
    assert steps_of(4) == -1
    assert steps_of(300) == MAX_STEPS


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("setfit") is None, reason="setfit is not installed")
def test_setfit_files_every_document(taxonomy, tiny_model):
    filed = setfit_zero_shot(["a ripe pear", "a ladder", ""], taxonomy, tiny_model, seed=1)
    assert filed.scores.shape == (3, 7)
    assert all(taxonomy.is_closed(labels) for labels in filed.labels)
