"""What would surprise in a corpus."""

from __future__ import annotations

import pytest
from conftest import TEST, TRAIN

from teleclass.data.corpus import MAX_CHARACTERS
from teleclass.data.document_checks import FEW_DOCUMENTS, Documents, check_documents
from teleclass.data.findings import OK, WARNING

CLEAN = {name: text or "something" for name, text in TRAIN.items()}


def documents(rows, file="train/train_corpus.txt", first_line=1):
    return Documents(file, list(rows), list(rows.values()), list(range(first_line, first_line + len(rows))))


def warnings_of(train, test=None, n_classes=1):
    findings = check_documents(documents(train), documents(test or TEST, "test/test_corpus.txt"), n_classes)
    return [finding for finding in findings if finding.kind == WARNING]


def test_a_clean_corpus_has_counts_and_no_warning():
    findings = check_documents(documents(CLEAN), documents(TEST), 1)
    assert [finding.text for finding in findings] == ["8 training documents", "4 test documents"]
    assert {finding.kind for finding in findings} == {OK}


def test_without_a_test_corpus_it_says_what_is_filed():
    assert "themselves are filed" in check_documents(documents(CLEAN), None, 1)[1].text


def test_an_empty_document_is_named_with_its_line():
    (warning,) = warnings_of(TRAIN)
    assert (warning.file, warning.line) == ("train/train_corpus.txt", 7)
    assert warning.items == ("g (line 7)",)


def test_texts_that_differ_in_case_and_white_space_alone_are_repeated():
    train = CLEAN | {"x": "A  ripe APPLE and a pear from the market ", "y": CLEAN["a"], "z": "Something."}
    (warning,) = warnings_of(train)
    assert warning.text.startswith("2 documents repeat")
    assert warning.items == ("a (line 1) = x (line 9) = y (line 10)",)
    assert warning.line == 9


def test_empty_documents_do_not_repeat_each_other():
    warnings = warnings_of(CLEAN | {"x": "", "y": " "})
    assert [warning.text for warning in warnings] == ["2 documents are empty"]


@pytest.mark.parametrize(("length", "number"), [(MAX_CHARACTERS - 1, 0), (MAX_CHARACTERS, 1)])
def test_a_document_that_is_cut_is_a_warning(length, number):
    assert len(warnings_of(CLEAN | {"x": "y" * length})) == number


@pytest.mark.parametrize("text", ["cafÃ© au lait", "the driverâ€™s seat", "a \ufffd sign", "20Â\xa0°"])
def test_text_that_was_decoded_wrongly_is_a_warning(text):
    (warning,) = warnings_of(CLEAN | {"x": text})
    assert warning.items == ("x (line 9)",)


@pytest.mark.parametrize("text", ["café au lait", "Ångström", "Ã é uma letra", "naïve “quotes” – and dashes", "Ω 中文"])
def test_text_of_other_languages_is_no_warning(text):
    assert warnings_of(CLEAN | {"x": text}) == []


def test_the_same_text_in_both_corpora_is_a_warning_with_both_ids():
    (warning,) = warnings_of(CLEAN, TEST | {"9": CLEAN["c"].upper()})
    assert warning.file == "test/test_corpus.txt"
    assert warning.line == 5
    assert warning.items == ("test 9 (line 5) = training c (line 3)",)


def test_the_same_id_in_both_corpora_is_allowed():
    findings = check_documents(documents(CLEAN), documents(TEST | {"a": "another text"}), 1)
    assert [finding.kind for finding in findings if "both corpora" in finding.text] == [OK]


def test_few_documents_a_class_are_a_warning():
    assert len(CLEAN) == 8
    assert warnings_of(CLEAN, n_classes=8 // FEW_DOCUMENTS) == []
    (warning,) = warnings_of(CLEAN, n_classes=2)
    assert warning.text == "4.0 training documents a class, fewer than 5"
