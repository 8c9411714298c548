"""label on embeddings made by hand: class c of the seven is the unit vector c, and documents lie on or between them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from teleclass.data.dataset import read_dataset
from teleclass.labelling.affinity import EnrichmentConfig
from teleclass.labelling.core_classes import AnnotationConfig
from teleclass.labelling.decoding import DecodingConfig
from teleclass.labelling.label_model import LabelModel
from teleclass.labelling.paths import index_paths
from teleclass.labelling.phrases import PhraseConfig
from teleclass.labelling.refinement import RefinementConfig
from teleclass.labelling.selection import LabellingConfig, fit_label_model
from teleclass.labelling.similarity import unit
from teleclass.model.embedding import EncoderConfig
from teleclass.phases import label
from teleclass.runtime.artifacts import Artifacts
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.llm import LlmConfig
from teleclass.runtime.tracking import Tracker, TrackingConfig
from teleclass.runtime.workplace import Workplace

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)
EYE = np.eye(7, dtype=np.float32)
TRAIN = {
    "a": EYE[FRUIT],
    "b": EYE[FRUIT] + 0.4 * EYE[FOOD],
    "c": EYE[LADDERS],
    "d": EYE[LADDERS] + 0.4 * EYE[TOOLS],
    "e": EYE[BREAD_KNIVES] + 0.8 * EYE[BREAD],
    "f": EYE[BREAD_KNIVES] + 0.8 * EYE[KNIVES],
    "g": EYE[FRUIT],
    "h": EYE[LADDERS],
}
TEST = {"0": EYE[FRUIT], "1": EYE[FRUIT], "2": EYE[FRUIT], "3": EYE[FRUIT]}
AS_IS = LabellingConfig(prior="texts")
"""Class vectors stay what they are and paths are equally likely: a posterior can be computed by hand."""


@pytest.fixture
def data(data_dir):
    return read_dataset(data_dir)


@pytest.fixture
def work(tmp_path):
    workplace = Workplace(Artifacts(tmp_path / "out"), Ranks(), Tracker(TrackingConfig(enabled=False)), seed=0)
    with workplace.artifacts.writing("document_embeddings") as partial, partial.open("wb") as stream:
        np.save(stream, unit(np.stack([*TRAIN.values(), *TEST.values()])))
    with workplace.artifacts.writing("class_embeddings") as partial, partial.open("wb") as stream:
        np.save(stream, EYE)
    return workplace


def run(work, data, labelling=AS_IS, decoding=None, **sections):
    """Without mined terms, which need an encoder."""
    given = {
        "enrichment": EnrichmentConfig(corpus_terms=False), "phrases": PhraseConfig(), "annotation": AnnotationConfig(),
        "refinement": RefinementConfig(), "llm": LlmConfig(), "encoder": EncoderConfig(), **sections,
    }  # fmt: skip
    return label.run(work, data, label.LabelOptions(labelling, decoding or DecodingConfig(), **given))


def table_of(work: Workplace) -> pd.DataFrame:
    return pd.read_parquet(work.artifacts.path("pseudo_labels"))


def labels_of(work: Workplace) -> dict[str, set[int]]:
    return {document: set(group["class"]) for document, group in table_of(work).groupby("document")}


@pytest.mark.parametrize("labelling", [AS_IS, LabellingConfig()], ids=["as is", "fitted"])
def test_every_training_document_gets_the_classes_of_its_path(work, data, labelling):
    run(work, data, labelling)
    assert labels_of(work) == {
        "a": {10, 11}, "b": {10, 11}, "c": {20, 22}, "d": {20, 22}, "e": {10, 12, 30}, "f": {20, 21, 30},
        "g": {10, 11}, "h": {20, 22},
    }  # fmt: skip


def test_confidence_and_margin_by_hand(work, data):
    """Document a is the vector of fruit, whose path food > fruit scores .25 / 1.25 · 0 + 1 / 1.25 · 1 = .8.

    The three other paths score 0, and the variance of (.8, 0, 0, 0) is .64 (1/4 − 1/16) = .12. The posterior is
    exp(.8 / (.4 · √.12)) = E to 1, 1, 1: fruit lies on one path, food on that and on food > bread > bread knives.
    """
    run(work, data)
    table = table_of(work)
    of_a = table[table["document"] == "a"].set_index("class")
    odds = np.exp(0.8 / (0.4 * np.sqrt(0.12)))
    assert of_a["confidence"].to_dict() == pytest.approx({11: odds / (odds + 3), 10: (odds + 1) / (odds + 3)}, abs=1e-5)
    assert of_a["margin"].tolist() == pytest.approx([(odds - 1) / (odds + 3)] * 2, abs=1e-5)


def test_the_columns_name_documents_and_classes_by_id_and_by_position(work, data):
    run(work, data)
    table = table_of(work)
    assert list(table.columns) == ["document", "class", "confidence", "margin", "row", "class_position"]
    assert [data.corpus.ids[row] for row in table["row"]] == table["document"].tolist()
    assert [data.taxonomy.ids[node] for node in table["class_position"]] == table["class"].tolist()
    assert not table.duplicated(["row", "class"]).any()
    assert table["confidence"].between(0, 1 + 1e-6).all()


def test_metrics_notes_and_tags(work, data):
    """8 of 8 training documents (test documents do not count) have 2 labels, two of them 3: 18 / 8. All 7 classes."""
    metrics = run(work, data)
    assert metrics["label/coverage"] == 1
    assert metrics["label/labels_per_document"] == 18 / 8
    assert metrics["label/classes_with_documents"] == 7
    assert metrics["label/mean_confidence"] == pytest.approx(table_of(work)["confidence"].mean())
    assert work.tags == {
        "label_choice": "class texts", "label_reason": "asked for by labelling.prior",
        "label_terms": "keywords given for 3 classes", "label_core_classes": "the label model's own core classes",
        "label_refinement": "not refined: the start is the label model's own",
    }  # fmt: skip
    assert work.notes == ["class texts (asked for by labelling.prior); 2.25 labels a document"]
    assert {"label/prior_gain", "label/held_out_gain", "label/agreement_texts_uniform", "label/entropy"} <= set(metrics)


def test_a_class_without_documents_is_not_counted(work, data):
    """Both bread knives become ladders: bread, knives and bread knives are left without any."""
    embeddings = np.load(work.artifacts.path("document_embeddings"))
    embeddings[[4, 5]] = EYE[LADDERS]
    np.save(work.artifacts.path("document_embeddings"), embeddings)
    assert run(work, data)["label/classes_with_documents"] == 4


def test_the_label_model_is_fitted_to_test_documents_too_and_saved(work, data):
    """Six fruit documents of twelve, but two of the eight training ones."""
    run(work, data, LabellingConfig(prior="corpus"))
    embeddings = np.load(work.artifacts.path("document_embeddings"))
    paths = index_paths(data.taxonomy)
    saved = LabelModel.load(work.artifacts.path("label_model")).heads[0]
    for rows, same in ((slice(0, 12), True), (slice(0, 8), False)):
        fitted = fit_label_model(embeddings[rows], EYE, paths, LabellingConfig(prior="corpus"))[0].heads[0]
        assert np.allclose(saved.log_prior, fitted.log_prior, atol=1e-5) == same
        assert np.allclose(saved.class_vectors, fitted.class_vectors, atol=1e-5) == same


def test_a_document_of_an_inner_class_stays_there_only_where_paths_may_stop(work, data):
    embeddings = np.load(work.artifacts.path("document_embeddings"))
    embeddings[0] = EYE[TOOLS]
    np.save(work.artifacts.path("document_embeddings"), embeddings)
    run(work, data, AS_IS, DecodingConfig(stop_at_inner=True))
    assert labels_of(work)["a"] == {20}
    run(work, data)
    assert len(labels_of(work)["a"]) > 1


def test_the_number_of_labels_a_document_is_followed(work, data):
    """With a flatter posterior, which leaves room for more labels than one path's."""
    flatter = LabellingConfig(prior="texts", sharpness=1.0)
    few, many = (
        run(work, data, flatter, DecodingConfig(labels_per_document=number))["label/labels_per_document"]
        for number in (2, 4)
    )
    assert few == pytest.approx(2, abs=0.6)
    assert many == pytest.approx(4, abs=1)
