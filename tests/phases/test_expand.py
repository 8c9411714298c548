"""expand on pseudo labels and augmented documents written by hand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from teleclass.data.dataset import Dataset, read_dataset
from teleclass.labelling.augmentation import AugmentationConfig
from teleclass.labelling.decoding import DecodingConfig
from teleclass.labelling.expansion import ExpansionConfig
from teleclass.labelling.generation import GenerationConfig
from teleclass.labelling.label_model import LabelHead, LabelModel
from teleclass.phases import augment, expand
from teleclass.runtime.artifacts import Artifacts
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.llm import LlmConfig
from teleclass.runtime.tracking import Tracker, TrackingConfig
from teleclass.runtime.workplace import Workplace

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)
A, B, C, D, E, F, G, H = range(8)
LABELS = [(D, [TOOLS], 0.0), (A, [FRUIT, FOOD], 0.5), (B, [FOOD, BREAD], 1.0), (G, [TOOLS, LADDERS], 1.0)]
"""Row, class positions and margin; g has no text."""

NEAREST = [["nearest", "e", E, None, 30, [20, 21, 30], 0.3], ["nearest", "g", G, None, 22, [20, 22], 0.9]]
GENERATED = [["generated", f"n{number}", -1, f"text {number}", 21, [21, 20], 1.0] for number in range(6)]


@pytest.fixture
def data(data_dir):
    return read_dataset(data_dir)


@pytest.fixture
def work(tmp_path):
    return Workplace(Artifacts(tmp_path / "out"), Ranks(), Tracker(TrackingConfig(enabled=False)), seed=0)


def write(work: Workplace, labels: list[tuple[int, list[int], float]], augmented: list[list]) -> None:
    pairs = [(row, node, margin) for row, nodes, margin in labels for node in nodes]
    with work.artifacts.writing("pseudo_labels") as partial:
        pd.DataFrame(pairs, columns=["row", "class_position", "margin"]).to_parquet(partial, index=False)
    with work.artifacts.writing("augmented") as partial:
        pd.DataFrame(augmented, columns=augment.COLUMNS).to_parquet(partial, index=False)


def run(work: Workplace, data: Dataset, floor: float = 0.2) -> pd.DataFrame:
    metrics = expand.run(work, data, ExpansionConfig(weight_floor=floor))
    table = pd.read_parquet(work.artifacts.path("training_set"))
    assert metrics == {"train/rows": len(table)}
    return table


def test_rows_are_the_corpus_then_the_augmented_documents_without_the_empty_ones(work, data):
    """g has a pseudo label and was lent, but it has no text."""
    write(work, LABELS, [*NEAREST, *GENERATED[:1]])
    table = run(work, data)
    assert list(table.columns) == ["source", "document", "row", "text", "positives", "weight", "ignored"]
    rows = [tuple(one) for one in table[["source", "document", "row"]].itertuples(index=False)]
    assert rows == [
        ("corpus", "a", A), ("corpus", "b", B), ("corpus", "d", D), ("nearest", "e", E), ("generated", "n0", -1),
    ]  # fmt: skip
    assert table["text"].isna().tolist() == [True, True, True, True, False]
    assert table["text"].iloc[4] == "text 0"


def test_positives_and_ignored_are_sorted_class_ids(work, data):
    write(work, LABELS, [*NEAREST, *GENERATED[:1]])
    table = run(work, data).set_index("document")
    assert {document: ids.tolist() for document, ids in table["positives"].items()} == {
        "a": [10, 11], "b": [10, 12], "d": [20], "e": [20, 21, 30], "n0": [20, 21],
    }  # fmt: skip
    assert {document: ids.tolist() for document, ids in table["ignored"].items()} == {
        "a": [],
        "b": [30],  # bread knives lie below bread
        "d": [21, 22, 30],  # everything below tools, bread knives by way of knives
        "e": [],  # food and bread lie above a positive by its other parent: negatives, not ignored
        "n0": [30],
    }


def test_weights_by_hand(work, data):
    """Corpus: .2 + .8 · margin = .6, 1, .2. Nearest: its confidence .3. Generated: 3 corpus rows / 6 texts = .5.

    The sum is .6 + 1 + .2 + .3 + 6 · .5 = 5.1 over 10 rows: the mean .51 is divided out.
    """
    write(work, LABELS, [*NEAREST, *GENERATED])
    table = run(work, data)
    np.testing.assert_allclose(table["weight"], np.array([0.6, 1, 0.2, 0.3, *[0.5] * 6]) / 0.51, rtol=1e-6)
    assert table["weight"].mean() == pytest.approx(1, abs=1e-6)
    assert table["weight"].dtype == np.float32


def test_few_generated_documents_weigh_no_more_than_a_sure_corpus_document(work, data):
    """3 corpus rows to 2 texts would be 1.5; b, of margin 1, weighs 1."""
    write(work, LABELS, GENERATED[:2])
    table = run(work, data).set_index("document")
    assert table["weight"]["n0"] == table["weight"]["n1"] == table["weight"]["b"]


def test_the_weight_floor_is_the_user_s(work, data):
    """1 · margin with the floor 0: (.5, 1, 0) over their mean .5."""
    write(work, LABELS, [])
    assert run(work, data, floor=0).set_index("document")["weight"].to_dict() == {"a": 1, "b": 2, "d": 0}
    assert set(run(work, data, floor=1)["weight"]) == {1}


def test_without_any_document_with_text_the_training_set_is_empty(work, data):
    write(work, LABELS[3:], NEAREST[1:])
    table = run(work, data)
    assert table.empty
    assert {"source", "document", "row", "text", "positives", "ignored", "weight"} <= set(table.columns)


def test_the_note_counts_rows_and_ignored_classes(work, data):
    """b ignores one class, d three, n0 one."""
    write(work, LABELS, [*NEAREST, *GENERATED[:1]])
    run(work, data)
    assert work.notes == [
        "5 training rows, 3 of them from the corpus; left out of the loss, as they lie below a row's labels: "
        "1.0 classes a row"
    ]


def test_what_augment_writes_expand_reads(work, data_dir):
    """Two texts of three were written (one is empty); a is labelled, and ladders is lent c, whose vector it is."""
    (data_dir / "train" / "generated_docs.txt").write_text("n0\ta saw toothed blade\nn1\t\nn2\tripe\n", "utf-8")
    labels = {
        "n0": {"core_classes": "21", "with ancestors": ["20", "21"]},
        "n1": {"core_classes": "22", "with ancestors": ["20", "22"]},
        "n2": {"core_classes": "11", "with ancestors": ["10", "11"]},
    }
    (data_dir / "train" / "generated_doc2label.json").write_text(json.dumps(labels), "utf-8")
    data = read_dataset(data_dir)
    write(work, [(A, [FOOD, FRUIT], 1.0)], [])
    eye = np.eye(7, dtype=np.float32)
    embeddings = np.tile(eye[FRUIT], (len(data.corpus), 1))
    embeddings[C] = eye[LADDERS]
    np.save(work.artifacts.path("document_embeddings"), embeddings)
    head = LabelHead(eye, np.zeros(7, np.float32), np.zeros(4, np.float32))
    LabelModel((head,), 0.4, "corpus prior", "by hand").save(work.artifacts.path("label_model"))
    augmentation = AugmentationConfig(starved_below=1, nearest_confidence=0.5)
    augment.run(work, data, augmentation, GenerationConfig(), DecodingConfig(), LlmConfig())

    table = run(work, data).set_index("document")
    assert table["source"].to_dict() == {"a": "corpus", "c": "nearest", "n0": "generated", "n2": "generated"}
    assert {document: ids.tolist() for document, ids in table["positives"].items()} == {
        "a": [10, 11], "c": [20, 22], "n0": [20, 21], "n2": [10, 11],
    }  # fmt: skip
    assert table["text"]["n0"] == "a saw toothed blade"
    assert table["weight"]["n0"] / table["weight"]["a"] == pytest.approx(1 / 2)  # |corpus| 1 / |generated| 2
