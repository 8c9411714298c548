"""Decisions in words."""

from teleclass.report.decisions import decisions
from teleclass.runtime.artifacts import Marker


def said(is_partial=False, metrics=None, **tags):
    return {one.label: one for one in decisions({"train": Marker("", 1.0, metrics or {}, tags, is_partial=is_partial)})}


def test_a_precision_that_the_device_lacks_is_a_fallback_with_its_reason():
    found = said(precision_asked="fp16", precision_used="bf16")["precision"]
    assert found.is_fallback
    assert found.text == "fp16 was asked for and bf16 was used: fp16 is not supported, or slow, on this device."


def test_the_precision_that_was_asked_for_is_none():
    for asked in ("bf16", "auto"):
        assert not said(precision_asked=asked, precision_used="bf16")["precision"].is_fallback


def test_the_form_of_soft_em_is_told_with_its_reason():
    found = said(label_choice="corpus prior", label_reason="a skewed corpus")["label model"]
    assert found.text == "Soft EM learnt from the corpus how common each class is (corpus prior): a skewed corpus."
    assert not found.is_fallback


def test_doing_without_soft_em_is_a_fallback_unless_it_was_asked_for():
    assert said(label_choice="class texts", label_reason="it learnt nothing")["label model"].is_fallback
    asked = said(label_choice="class texts", label_reason="asked for by labelling.prior")["label model"]
    assert not asked.is_fallback


def test_every_form_that_can_be_chosen_has_its_sentence():
    from teleclass.labelling.selection import CHOICES
    from teleclass.report.decisions import FORMS

    assert set(FORMS) == set(CHOICES.values())


def test_what_did_not_go_as_wished_comes_first():
    phases = {
        "label": Marker("", 1.0, tags={"label_terms": "names alone"}),
        "augment": Marker("", 1.0, {"label/starved_classes": 5.0, "label/still_starved_classes": 2.0}, is_partial=True),
        "train": Marker("", 1.0, {"train/total_skipped_steps": 3.0, "train/steps": 1200.0}),
    }
    found = decisions(phases)
    assert [one.is_fallback for one in found] == sorted((one.is_fallback for one in found), reverse=True)
    texts = {one.label: one.text for one in found}
    assert texts["skipped steps"].startswith("3 of 1,200 optimizer steps were skipped")
    assert texts["starved classes"].startswith("2 of 5 starved classes")
    assert "a second run" in texts["augment"]


def test_a_tag_without_a_sentence_is_shown_as_it_is():
    assert said(new_way="the third")["new way"].text == "the third."
