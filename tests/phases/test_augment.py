"""augment on pseudo labels, embeddings and a label model written by hand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from teleclass.data.dataset import Dataset, read_dataset
from teleclass.errors import InputError
from teleclass.labelling.augmentation import AugmentationConfig
from teleclass.labelling.decoding import DecodingConfig
from teleclass.labelling.generation import GenerationConfig
from teleclass.labelling.label_model import LabelHead, LabelModel
from teleclass.labelling.similarity import unit
from teleclass.phases import augment
from teleclass.runtime.artifacts import Artifacts
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.llm import LlmConfig
from teleclass.runtime.tracking import Tracker, TrackingConfig
from teleclass.runtime.workplace import Workplace

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)
A, B, C, D, E, F, G, H = range(8)
EYE = np.eye(7, dtype=np.float32)
EMBEDDINGS = unit(
    np.stack([
        EYE[FRUIT],
        EYE[FRUIT] + 0.3 * EYE[LADDERS],
        EYE[LADDERS],
        EYE[LADDERS] + 0.3 * EYE[FRUIT],
        EYE[BREAD_KNIVES] + 0.6 * EYE[BREAD],
        EYE[FRUIT] + 0.9 * EYE[LADDERS],
        EYE[FRUIT],  # g has no text
        EYE[FRUIT] + 0.6 * EYE[LADDERS],
        *[EYE[LADDERS]] * 4,  # the test documents
    ])
)  # fmt: skip
LABELS = {A: [FOOD, FRUIT], B: [FOOD, FRUIT], C: [TOOLS, LADDERS], D: [TOOLS, LADDERS],
          E: [FOOD, BREAD, TOOLS, KNIVES, BREAD_KNIVES], F: [FOOD, FRUIT], H: [FOOD, FRUIT]}  # fmt: skip
"""Food has 5 documents, fruit 4, tools 3, ladders 2, bread, knives and bread knives 1."""


@pytest.fixture
def work(tmp_path):
    workplace = Workplace(Artifacts(tmp_path / "out"), Ranks(), Tracker(TrackingConfig(enabled=False)), seed=0)
    write_labels(workplace, LABELS)
    with workplace.artifacts.writing("document_embeddings") as partial, partial.open("wb") as stream:
        np.save(stream, EMBEDDINGS)
    head = LabelHead(EYE, np.zeros(7, np.float32), np.zeros(4, np.float32))
    with workplace.artifacts.writing("label_model") as partial:
        LabelModel((head,), 0.6, "corpus prior", "by hand").save(partial)
    return workplace


def write_labels(work: Workplace, labels: dict[int, list[int]]) -> None:
    pairs = [(row, node) for row, nodes in labels.items() for node in nodes]
    with work.artifacts.writing("pseudo_labels") as partial:
        pd.DataFrame(pairs, columns=["row", "class_position"]).assign(margin=0.5).to_parquet(partial, index=False)


def write_generated(data_dir, texts: dict[str, str], labels: dict[str, dict]) -> None:
    lines = "".join(f"{number}\t{text}\n" for number, text in texts.items())
    (data_dir / "train" / "generated_docs.txt").write_text(lines, "utf-8")
    (data_dir / "train" / "generated_doc2label.json").write_text(json.dumps(labels), "utf-8")


def run(work: Workplace, data: Dataset, decoding: DecodingConfig | None = None, **settings):
    """The written table and the metrics."""
    metrics = augment.run(
        work, data, AugmentationConfig(**settings), GenerationConfig(), decoding or DecodingConfig(), LlmConfig()
    )
    return pd.read_parquet(work.artifacts.path("augmented")), metrics


def test_a_starved_class_is_lent_its_nearest_documents_up_to_the_limit(work, data_dir):
    """Ladders has c and d and lacks two; of the others f leans to it most, then h.

    The four test documents would be nearer than all of them.
    """
    table, _ = run(work, read_dataset(data_dir), starved_below=4, nearest_confidence=0.01)
    of_ladders = table[table["class"] == 22]
    assert of_ladders["document"].tolist() == ["f", "h"]
    assert of_ladders["row"].tolist() == [F, H]
    assert [path.tolist() for path in of_ladders["path"]] == [[20, 22], [20, 22]]
    assert 0 < of_ladders["confidence"].iloc[1] < of_ladders["confidence"].iloc[0] < 1
    assert set(table["source"]) == {"nearest"}
    assert table["text"].isna().all()
    assert not set(table["class"]) & {10, 11}  # food and fruit have four


def test_confidence_by_hand(work, data_dir):
    """Document f scores 1 and .9 on fruit and ladders, over the length √1.81; the paths to them .8 of that.

    The two other paths score 0. The spread is the standard deviation of the four, the sharpness .6.
    """
    table, _ = run(work, read_dataset(data_dir), starved_below=3, nearest_confidence=0.1)
    scores = 0.8 * np.array([1, 0.9, 0, 0]) / np.sqrt(1.81)
    odds = np.exp(scores / (0.6 * scores.std()))
    (of_ladders,) = table[table["class"] == 22].itertuples()
    assert of_ladders.confidence == pytest.approx(odds[1] / odds.sum(), abs=1e-5)


def test_no_document_below_the_confidence_is_lent_and_the_class_stays_starved(work, data_dir):
    table, metrics = run(work, read_dataset(data_dir), starved_below=4, nearest_confidence=0.99)
    assert table.empty
    assert list(table.columns) == ["source", "document", "row", "text", "class", "path", "confidence"]
    assert metrics == {
        "label/starved_classes": 5, "label/still_starved_classes": 5, "label/nearest_documents": 0,
        "label/generated_documents": 0,
    }  # fmt: skip
    reached = pd.read_csv(work.artifacts.path("augmentation")).set_index("name")
    assert reached.loc["ladders", ["pseudo_labelled", "written", "lent", "total"]].tolist() == [2, 0, 0, 2]


def test_generated_documents_are_taken_over_with_the_ids_of_their_classes(work, data_dir):
    write_generated(
        data_dir,
        {"n0": "a saw toothed blade", "n1": "", "n2": "ripe"},
        {
            "n0": {"core_classes": "30", "with ancestors": ["30", "21", "20"]},
            "n1": {"core_classes": "22", "with ancestors": ["20", "22"]},
            "n2": {"core_classes": "11", "with ancestors": ["10"]},
        },
    )
    table, metrics = run(work, read_dataset(data_dir), starved_below=0)
    rows = [[*one[:5], list(one[5]), *one[6:]] for one in table.itertuples(index=False)]
    assert rows == [
        ["generated", "n0", -1, "a saw toothed blade", 30, [20, 21, 30], 1.0],
        ["generated", "n2", -1, "ripe", 11, [10, 11], 1.0],
    ]  # n1 is empty
    assert metrics["label/generated_documents"] == 2


def test_generated_documents_feed_their_classes_before_the_corpus_lends_any(work, data_dir):
    """Ladders lacks two, of which one is written now: f alone is lent. Tools lacks one and is fed by the same text."""
    before, _ = run(work, read_dataset(data_dir), starved_below=4, nearest_confidence=0.01)
    assert {20, 22} <= set(before["class"])
    write_generated(data_dir, {"n0": "steps"}, {"n0": {"core_classes": "22", "with ancestors": ["20", "22"]}})
    table, metrics = run(work, read_dataset(data_dir), starved_below=4, nearest_confidence=0.01)
    nearest = table[table["source"] == "nearest"]
    assert nearest[nearest["class"] == 22]["document"].tolist() == ["f"]
    assert 20 not in set(nearest["class"])
    assert metrics["label/starved_classes"] == 5  # before they were fed
    assert metrics["label/nearest_documents"] == len(nearest)
    assert work.notes[-1] == (
        f"5 starved classes, 1 generated documents read, {len(nearest)} nearest lent; 0 still starved"
    )


def test_generated_documents_are_not_read_where_they_are_not_wanted(work, data_dir):
    (data_dir / "train" / "generated_docs.txt").write_text("n0\tsteps\n", "utf-8")  # its labels are missing
    data = read_dataset(data_dir)
    unwanted = AugmentationConfig(use_generated=False)
    augment.check(data, unwanted)
    table, metrics = run(work, data, use_generated=False, starved_below=4)
    assert "generated" not in set(table["source"])
    assert metrics["label/generated_documents"] == 0
    with pytest.raises(InputError, match="generated documents need it"):
        augment.check(data, AugmentationConfig())


def test_the_route_of_a_two_parent_class_is_the_document_s_own(work, data_dir):
    """Document e lies between bread and bread knives; nobody has labelled it bread knives here."""
    write_labels(work, {row: nodes for row, nodes in LABELS.items() if row != E})
    table, _ = run(work, read_dataset(data_dir), starved_below=1, nearest_confidence=0.5)
    paths = {one["class"]: one["path"].tolist() for _, one in table[table["document"] == "e"].iterrows()}
    assert paths == {12: [10, 12], 30: [10, 12, 30]}


def test_paths_may_stop_at_an_inner_class_where_decoding_says_so(work, data_dir):
    """With inner ends there are eight paths, and the model's prior must have eight entries."""
    head = LabelHead(EYE, np.zeros(7, np.float32), np.zeros(8, np.float32))
    LabelModel((head,), 0.6, "corpus prior", "by hand").save(work.artifacts.path("label_model"))
    table, _ = run(work, read_dataset(data_dir), DecodingConfig(stop_at_inner=True), starved_below=4)
    assert (table["class"] == 22).any()


def test_a_document_without_text_is_not_lent(work, data_dir):
    """g has no text and is nearest to fruit, level with a. A row for it never reaches training, so b must be lent."""
    labels = {C: [TOOLS, LADDERS], D: [TOOLS, LADDERS], E: [FOOD, BREAD, TOOLS, KNIVES, BREAD_KNIVES]}
    write_labels(work, labels)
    table, _ = run(work, read_dataset(data_dir), starved_below=2, nearest_confidence=0.5)
    assert table[table["class"] == 11]["document"].tolist() == ["a", "b"]


def test_a_document_without_text_does_not_feed_the_class_it_is_labelled_with(work, data_dir):
    """g alone is labelled fruit, and it never reaches training: fruit has nothing to learn from and is starved."""
    write_labels(work, {row: nodes for row, nodes in LABELS.items() if FRUIT not in nodes} | {G: [FOOD, FRUIT]})
    table, metrics = run(work, read_dataset(data_dir), starved_below=1, nearest_confidence=0.5)
    assert table["class"].tolist() == [11]
    assert table["document"].tolist() == ["a"]
    assert metrics["label/starved_classes"] == 1
