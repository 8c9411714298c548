"""The training table as arrays, on the seven-class data set: classes 10 to 30 stand at positions 0 to 6."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TRAIN
from transformers import AutoModel, AutoTokenizer

from teleclass.data.dataset import read_dataset
from teleclass.errors import TeleclassError
from teleclass.model.classifier import LabelMatchingClassifier
from teleclass.model.rank_batches import Share
from teleclass.model.training_set import document_id, training_documents

COLUMNS = ["source", "document", "row", "text", "positives", "ignored", "weight"]
TABLE = [
    ["corpus", "b", 1, None, [10, 12], [30], 0.5],
    ["corpus", "a", 0, None, [10, 11], [], 1.5],
    ["nearest", "b", 1, None, [10, 12, 20, 21, 30], [], 0.25],
    ["generated", "x", -1, "ripe apple ladder", [20], [21, 22, 30], 1.75],
]


def write(folder: Path, table: pd.DataFrame) -> Path:
    file = folder / "training_set.parquet"
    table.astype({"weight": np.float32}).to_parquet(file, index=False)
    return file


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.fixture
def table(tmp_path):
    """The file that the training reads."""
    return write(tmp_path, pd.DataFrame(TABLE, columns=COLUMNS))


@pytest.fixture
def data(data_dir):
    return read_dataset(data_dir)


@pytest.fixture
def documents(table, data, tokenizer):
    return training_documents(table, data, tokenizer, 64, is_packed=True)


def test_texts_come_from_the_corpus_or_for_generated_documents_from_the_table(documents, table, tokenizer):
    texts = [TRAIN["b"], TRAIN["a"], TRAIN["b"], "ripe apple ladder"]
    assert len(documents) == len(documents.tokens) == 4
    for row, text in enumerate(texts):
        assert documents.tokens[row].tolist() == tokenizer(text)["input_ids"]
    assert documents.rows.tolist() == [1, 0, 1, -1]
    assert [document_id(table, row) for row in range(4)] == ["b", "a", "b", "x"]
    assert documents.is_corpus.tolist() == [True, True, False, False]
    assert (documents.n_classes, documents.pad_id) == (7, None)


def test_targets_are_class_positions_and_ignored_classes_do_not_count(documents):
    targets, counted = documents.targets([3, 0, 2])
    assert targets.tolist() == [
        [0, 0, 0, 1, 0, 0, 0],  # 20 tools
        [1, 0, 1, 0, 0, 0, 0],  # 10 food, 12 bread
        [1, 0, 1, 1, 1, 0, 1],  # and by 20 tools, 21 knives to 30 bread knives
    ]
    assert counted.tolist() == [
        [1, 1, 1, 1, 0, 0, 0],  # 21, 22 and 30 lie under tools
        [1, 1, 1, 1, 1, 1, 0],  # 30 lies under bread
        [1, 1, 1, 1, 1, 1, 1],
    ]
    assert targets.dtype == counted.dtype == np.float32


def test_targets_of_rows_in_an_array_are_those_of_the_list(documents):
    for from_array, from_list in zip(documents.targets(np.array([1, 3])), documents.targets([1, 3]), strict=True):
        np.testing.assert_array_equal(from_array, from_list)


def test_a_batch_holds_the_rows_asked_for_in_their_order(documents):
    batch = documents[Share(np.array([3, 1]), 0.5)]
    generated, first = documents.tokens[3].tolist(), documents.tokens[1].tolist()
    assert batch["batch"].ids.tolist() == generated + first
    assert batch["batch"].lengths == (len(generated), len(first))
    assert batch["weights"].tolist() == [0.875, 0.75]
    assert {batch[name].dtype for name in ("targets", "counted", "weights")} == {torch.float32}
    for name, array in zip(("targets", "counted"), documents.targets([3, 1]), strict=True):
        assert batch[name].tolist() == array.tolist()


def test_batches_are_padded_where_they_may_not_be_packed(table, data, tokenizer):
    documents = training_documents(table, data, tokenizer, 64, is_packed=False)
    generated, first = documents.tokens[3].tolist(), documents.tokens[1].tolist()
    padding = len(first) - len(generated)
    assert padding > 0
    batch = documents[Share(np.array([3, 1]), 1.0)]["batch"]
    assert batch.ids.tolist() == [generated + [0] * padding, first]
    assert batch.mask.tolist() == [[1] * len(generated) + [0] * padding, [1] * len(first)]


@pytest.mark.parametrize("is_packed", [True, False])
def test_a_batch_is_what_the_classifier_takes(table, data, tokenizer, tiny_model, is_packed):
    torch.manual_seed(0)
    classifier = LabelMatchingClassifier.from_backbone(tiny_model, 7, 5)
    documents = training_documents(table, data, tokenizer, 64, is_packed)
    loss = classifier(**documents[Share(np.arange(4), 1.0)])
    assert loss.shape == ()
    assert loss.item() > 0


def test_texts_are_cut_at_max_tokens(table, data, tokenizer):
    assert training_documents(table, data, tokenizer, 8, True).tokens.lengths.tolist() == [8, 8, 8, 5]


def test_more_tokens_than_the_model_has_places_for_are_cut_at_its_limit(tmp_path, data, tokenizer, tiny_model):
    """The tiny model has 64 positions, and its tokenizer says so; the encoder keeps to that limit too."""
    table = pd.DataFrame(TABLE, columns=COLUMNS)
    table.loc[3, "text"] = "ripe apple " * 100
    documents = training_documents(write(tmp_path, table), data, tokenizer, 1000, False)
    assert documents.tokens.lengths.max() == 64
    batch = documents[Share(np.array([3]), 1.0)]["batch"]
    AutoModel.from_pretrained(tiny_model)(input_ids=batch.ids, attention_mask=batch.mask)


def test_an_empty_table_is_told_in_one_line(tmp_path, data, tokenizer):
    file = write(tmp_path, pd.DataFrame(TABLE, columns=COLUMNS)[:0])
    with pytest.raises(TeleclassError, match="training set is empty") as caught:
        training_documents(file, data, tokenizer, 64, True)
    assert "\n" not in str(caught.value)


def test_some_rows_get_other_labels_and_the_weights_a_mean_of_one(documents):
    """Weights .5, 1.5, .25, 1.75 become .5, 3, 1, 1.75 with the mean 1.5625."""
    before = [array.tolist() for array in documents.positives], documents.weights.tolist()
    changed = documents.relabelled(
        np.array([2, 1]),
        [np.array([0, 1]), np.array([3])],
        [np.array([], dtype=int), np.array([4, 5, 6])],
        np.array([1, 3], np.float32),
    )
    assert [nodes.tolist() for nodes in changed.positives] == [[0, 2], [3], [0, 1], [3]]
    assert [nodes.tolist() for nodes in changed.ignored] == [[6], [4, 5, 6], [], [4, 5, 6]]
    np.testing.assert_allclose(changed.weights, np.array([0.5, 3, 1, 1.75]) / 1.5625, rtol=1e-6)
    assert changed.weights.dtype == np.float32
    assert changed.tokens is documents.tokens
    assert ([array.tolist() for array in documents.positives], documents.weights.tolist()) == before
    targets, counted = changed.targets([1])
    assert targets.tolist() == [[0, 0, 0, 1, 0, 0, 0]]
    assert counted.tolist() == [[1, 1, 1, 1, 0, 0, 0]]


def test_new_labels_of_no_row_change_nothing_but_the_scale(documents):
    same = documents.relabelled(np.array([], dtype=int), [], [], np.array([], np.float32))
    np.testing.assert_array_equal(same.targets(range(4))[0], documents.targets(range(4))[0])
    np.testing.assert_allclose(same.weights, documents.weights / documents.weights.mean(), rtol=1e-6)


def test_weights_of_zero_stay_zero(documents):
    none = documents.relabelled(np.arange(4), list(documents.positives), list(documents.ignored), np.zeros(4))
    assert none.weights.tolist() == [0, 0, 0, 0]


def test_labels_for_another_number_of_rows_are_refused(documents):
    with pytest.raises(ValueError, match="zip"):
        documents.relabelled(np.array([0, 1]), [np.array([0])], [np.array([1])], np.ones(2))


def test_labels_that_were_kept_are_put_back(documents, tmp_path):
    rows = np.array([0, 2])
    changed = documents.relabelled(rows, [np.array([4]), np.array([], dtype=int)], [np.array([1, 2]), np.array([3])],
                                   np.array([0.3, 0.7], dtype=np.float32))  # fmt: skip
    np.savez(tmp_path / "labels.npz", **changed.labels())
    with np.load(tmp_path / "labels.npz") as kept:
        found = documents.with_labels(kept)
    np.testing.assert_array_equal(found.weights, changed.weights)
    for one, other in zip([*found.positives, *found.ignored], [*changed.positives, *changed.ignored], strict=True):
        np.testing.assert_array_equal(one, other)
    every = np.arange(len(documents))
    np.testing.assert_array_equal(found.targets(every), changed.targets(every))
