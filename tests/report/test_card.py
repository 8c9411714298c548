"""The model card: what it says of data, method, results and limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml
from conftest import write_course_layout
from reports import run_values

from teleclass.report.card import CardOptions, model_card

OPTIONS = CardOptions("bundled", "google-bert/bert-base-uncased", 0.5, 128, 3, 42)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_course_layout(tmp_path_factory.mktemp("data"))


def test_the_front_matter_names_the_models_by_their_hub_names(folder):
    matter = yaml.safe_load(model_card(run_values(folder), OPTIONS).split("---\n")[1])
    assert matter["base_model"] == ["google-bert/bert-base-uncased", "sentence-transformers/all-MiniLM-L6-v2"]
    assert matter["pipeline_tag"] == "text-classification"


def test_a_models_folder_is_no_hub_name_and_its_place_is_not_told(folder, tmp_path):
    own = tmp_path / "secret" / "own_bert"
    own.mkdir(parents=True)
    card = model_card(run_values(folder), replace(OPTIONS, backbone=str(own), encoder=str(own)))
    assert "base_model" not in card
    assert "own\\_bert" in card
    assert "secret" not in card


def test_with_gold_it_has_metrics_and_names_weak_classes(folder):
    card = model_card(run_values(folder), OPTIONS)
    assert "| example_f1 | 0.7000 |" in card
    assert "of which 4 have gold labels" in card
    assert "have an F1 below 0.5: bread knives (0.00)" in card
    assert "classifier and label model together" in card


def test_without_gold_it_says_that_quality_was_not_measured(folder):
    card = model_card(run_values(folder, with_gold=False), replace(OPTIONS, classifier_weight=1.0))
    assert "how right the labels are was not measured" in card
    assert "| example_f1 |" not in card
    assert "Texts are filed by the classifier alone" in card


def test_classes_without_any_training_document_are_counted(folder):
    none = run_values(folder, pseudo_labelled=np.array([5, 3, 2, 4, 1, 3, 0]), augmented=np.zeros(7, dtype=int))
    assert "1 classes had no training document" in model_card(none, OPTIONS)
    assert "no training document" not in model_card(replace(none, augmented=np.ones(7, dtype=int)), OPTIONS)


def test_names_of_users_change_no_markdown(folder, tmp_path):
    odd = write_course_layout(tmp_path / "a|b `c` <i>")
    card = model_card(run_values(odd), OPTIONS)
    assert "# Hierarchical classifier: a\\|b \\`c\\` \\<i\\>" in card
