"""label with core classes that are published: as evidence, for certain, refined, and after a fault of the file."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from test_label import AS_IS, data, labels_of, run, work  # noqa: F401  # fixtures

from teleclass.data.dataset import read_dataset
from teleclass.errors import InputError
from teleclass.labelling.affinity import EnrichmentConfig
from teleclass.labelling.core_classes import AnnotationConfig
from teleclass.labelling.refinement import RefinementConfig
from teleclass.phases import label_annotations, label_terms
from teleclass.runtime.llm import LlmConfig


def publish(data_dir, name: str, core: dict[str, object]) -> None:
    (data_dir / "train" / name).write_text(json.dumps(core), "utf-8")


def as_answers(core: dict[str, list[int]]) -> dict[str, object]:
    return {
        document: {"response": "…", "core classes": [str(number) for number in numbers], "with ancestors": []}
        for document, numbers in core.items()
    }


def test_core_classes_move_unsure_documents_and_not_sure_ones(work, data_dir):  # noqa: F811
    """e lies between bread and bread knives, where the answer tips the balance; a is fruit, twenty to one or not."""
    publish(data_dir, "init_core_classes.json", as_answers({"f": [12], "a": [22]}))
    embeddings = np.load(work.artifacts.path("document_embeddings"))
    embeddings[5] = np.eye(7)[6]  # f lies on bread knives, under bread and under knives alike
    np.save(work.artifacts.path("document_embeddings"), embeddings)
    metrics = run(work, read_dataset(data_dir))
    labels = labels_of(work)
    assert labels["f"] == {10, 12, 30}
    assert labels["a"] == {10, 11}
    assert 0 < metrics["label/agreement_core_classes"] < 1
    table = pd.read_parquet(work.artifacts.path("annotations"))
    assert table[["document", "source"]].values.tolist() == [["a", "published"], ["f", "published"]]
    assert [list(nodes) for nodes in table["core_classes"]] == [[22], [12]]


def test_core_classes_for_certain_overrule_everything(work, data_dir):  # noqa: F811
    publish(data_dir, "init_core_classes.json", as_answers({"a": [22]}))
    off = RefinementConfig(mode="off")
    run(work, read_dataset(data_dir), annotation=AnnotationConfig(odds=0), refinement=off)
    assert labels_of(work)["a"] == {20, 22}
    assert work.tags["label_core_classes"] == "core classes of 1 documents read from init_core_classes.json"


def test_several_core_classes_keep_a_path_each(work, data_dir):  # noqa: F811
    publish(data_dir, "refined_core_classes.json", {"a": ["11", "22"]})
    run(work, read_dataset(data_dir))
    assert labels_of(work)["a"] == {10, 11, 20, 22}
    assert work.tags["label_refinement"] == "not refined: the core classes are"


def test_an_empty_answer_says_nothing(work, data_dir):  # noqa: F811
    publish(data_dir, "init_core_classes.json", as_answers({"a": [], "c": [22]}))
    run(work, read_dataset(data_dir))
    assert labels_of(work)["a"] == {10, 11}


def test_published_core_classes_can_be_left_alone(work, data_dir):  # noqa: F811
    publish(data_dir, "init_core_classes.json", as_answers({"a": [22]}))
    run(work, read_dataset(data_dir), annotation=AnnotationConfig(odds=0, use_published=False))
    assert labels_of(work)["a"] == {10, 11}


def test_a_weak_start_taken_for_certain_is_refined(work, data_dir):  # noqa: F811
    """Five of eight are called ladders; refinement gives fruit and ladders back by the documents' own vectors."""
    wrong = {"a": [22], "b": [11], "c": [22], "d": [22], "e": [11], "f": [22], "h": [22]}
    publish(data_dir, "init_core_classes.json", as_answers(wrong))
    certain = AnnotationConfig(odds=0)
    run(work, read_dataset(data_dir), annotation=certain, refinement=RefinementConfig(mode="off"))
    assert labels_of(work)["f"] == {20, 22}
    run(work, read_dataset(data_dir), annotation=certain)
    assert work.tags["label_refinement"].startswith("refined (the core classes agree with the label model to 0.")
    refined = labels_of(work)
    assert refined["c"] == refined["d"] == {20, 22}
    assert refined["a"] == {10, 11}


@pytest.mark.parametrize(
    ("mode", "why"),
    [("off", "not refined: refinement.mode is off"), ("auto", "not refined: the start is the label model's own")],
)
def test_the_label_model_s_own_start_is_refined_on_request_only(work, data, mode, why):  # noqa: F811
    run(work, data, refinement=RefinementConfig(mode=mode))
    assert work.tags["label_refinement"] == why
    run(work, data, refinement=RefinementConfig(mode="on", keep=1.0))
    assert work.tags["label_refinement"].startswith("refined (asked for); ")
    assert labels_of(work)["a"] == {10, 11}


def test_mined_terms_are_published_or_mined(work, data_dir):  # noqa: F811
    (data_dir / "train" / "enrichment.txt").write_text("fruit:pear_tree,apple\n", "utf-8")
    run(work, read_dataset(data_dir), enrichment=EnrichmentConfig())
    terms = json.loads(work.artifacts.path("class_terms").read_text("utf-8"))
    assert terms["mined"] == {"11": ["pear tree", "apple"]}
    assert terms["given"]["11"] == ["apple", "pear", "ripe"]
    assert "corpus terms of 1 classes read from enrichment.txt" in work.tags["label_terms"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("init_core_classes.json", '{"a": {"core classes": ["99"]}}'),
        ("init_core_classes.json", '{"nobody": {"core classes": ["10"]}}'),
        ("refined_core_classes.json", '{"a": "10"}'),
        ("refined_core_classes.json", "{"),
        ("enrichment.txt", "no such class:term\n"),
        ("llm_enrichment.txt", "fruit\n"),
    ],
)
def test_a_faulty_published_file_is_told_before_any_work(data_dir, name, content):
    (data_dir / "train" / name).write_text(content, "utf-8")
    with pytest.raises(InputError, match=name):
        found = read_dataset(data_dir)
        label_annotations.check(found, AnnotationConfig())
        label_terms.check(found, LlmConfig())


def test_forms_of_soft_em_do_not_matter_to_certain_core_classes(work, data_dir):  # noqa: F811
    publish(data_dir, "refined_core_classes.json", {"a": ["22"]})
    run(work, read_dataset(data_dir), AS_IS)
    assert labels_of(work)["a"] == {20, 22}
