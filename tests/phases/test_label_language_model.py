"""label and augment with a language model, on embeddings made by hand: budgets, replay, order, answers."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from llm_server import ScriptedServer, answer
from test_label import EYE, FRUIT, LADDERS, data, labels_of, run, work  # noqa: F401  # fixtures

from teleclass.labelling.augmentation import AugmentationConfig
from teleclass.labelling.decoding import DecodingConfig
from teleclass.labelling.generation import GenerationConfig
from teleclass.phases import augment
from teleclass.runtime.artifacts import Artifacts
from teleclass.runtime.llm import LlmConfig
from teleclass.runtime.workplace import Workplace


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TELECLASS_LLM_API_KEY", "sk-any")


def user_of(body) -> str:
    return next(one["content"] for one in body["messages"] if one["role"] == "user")


def document_of(body) -> str:
    return re.search(r"<document>\n(.*?)\n</document>", user_of(body), re.DOTALL)[1]


def ladders(body, n):
    return answer({"classes": ["Ladders"]})


def settings(server: ScriptedServer, **more) -> LlmConfig:
    return LlmConfig(base_url=server.url, model="scripted", **{"tasks": "annotate", **more})


def test_the_least_confident_documents_are_asked_about_first_and_empty_ones_never(work, data):  # noqa: F811
    """e and f lie between two paths; g has no text."""
    with ScriptedServer(ladders) as server:
        run(work, data, llm=settings(server, max_documents=2))
    assert {document_of(one.body) for one in server.requests} == {data.corpus.texts[4], data.corpus.texts[5]}
    with ScriptedServer(ladders) as server:
        run(work, data, llm=settings(server))
    assert len(server.requests) == 5, "the other five; two answers are kept"


def test_a_budget_of_calls_stops_cleanly_and_the_rest_keeps_its_labels(work, data):  # noqa: F811
    with ScriptedServer(ladders) as server:
        metrics = run(work, data, llm=settings(server, max_calls=3))
    assert len(server.requests) == 3
    assert metrics["llm/annotate/calls"] == 3
    assert work.is_reusable
    assert labels_of(work)["a"] == {10, 11}
    assert len(labels_of(work)) == 8


def test_an_answer_is_evidence_and_no_command(work, data):  # noqa: F811
    """All are called ladders: f, undecided and near it, goes there only if it may; the sure ones stay."""
    embeddings = np.load(work.artifacts.path("document_embeddings"))
    embeddings[5] = EYE[FRUIT] * 0.9 + EYE[LADDERS]
    embeddings[5] /= np.linalg.norm(embeddings[5])
    np.save(work.artifacts.path("document_embeddings"), embeddings)
    with ScriptedServer(lambda body, n: answer({"classes": ["fruit"]})) as server:
        run(work, data, llm=settings(server))
    labels = labels_of(work)
    assert labels["f"] == {10, 11}
    assert labels["c"] == {20, 22}


def test_answers_from_a_file_need_no_server(work, data, tmp_path):  # noqa: F811
    with ScriptedServer(ladders) as server:
        run(work, data, llm=settings(server))
    kept = work.artifacts.folder / "llm_answers.jsonl"
    elsewhere = Workplace(Artifacts(tmp_path / "elsewhere"), work.ranks, work.tracker, seed=0)
    for name in ("document_embeddings", "class_embeddings"):
        elsewhere.artifacts.path(name).parent.mkdir(parents=True, exist_ok=True)
        elsewhere.artifacts.path(name).write_bytes(work.artifacts.path(name).read_bytes())
    metrics = run(elsewhere, data, llm=LlmConfig(replay=str(kept), tasks="annotate"))
    assert metrics["llm/annotate/reused"] == 7
    assert metrics["llm/annotate/calls"] == 0
    assert labels_of(elsewhere) == labels_of(work)


def generate(work, data, server, **more):  # noqa: F811
    llm = settings(server, tasks="generate")
    metrics = augment.run(
        work, data, AugmentationConfig(starved_below=3, nearest_confidence=0.9), GenerationConfig(**more),
        DecodingConfig(), llm,
    )  # fmt: skip
    return pd.read_parquet(work.artifacts.path("augmented")), metrics


def test_starved_classes_are_written_for_deepest_first(work, data):  # noqa: F811
    """fruit, bread and knives lack documents too, but food and tools have three, or are fed from below."""
    run(work, data)
    words = zip("abcdefghi", "jklmnopqr", "stuvwxyzä", strict=True)
    distinct = [f"{a} {b} {c} plain words about it" for a, b, c in words]
    with ScriptedServer(lambda body, n: answer({"documents": [f"{n} {text} {n}" for text in distinct]})) as server:
        table, metrics = generate(work, data, server)
    written = table[table["source"] == "generated"]
    asked = [re.search(r"each about: (.+)", one.user)[1] for one in server.requests]
    assert set(asked) == {"bread", "knives", "bread knives", "fruit"}
    assert asked.index("bread knives") < asked.index("fruit")
    assert metrics["label/generated_documents"] == len(written) > 0
    counts = Counter(written["class"])
    assert counts[30] == 1, "bread knives has two documents and lacks one"
    reached = pd.read_csv(work.artifacts.path("augmentation")).set_index("class")
    assert (reached["total"] >= 3).all()
    assert metrics["label/still_starved_classes"] == 0


def test_every_path_is_written_for_where_that_is_asked(work, data):  # noqa: F811
    run(work, data)
    with ScriptedServer(lambda body, n: answer({"documents": [f"{n}a {n}b {n}c {n}d {n}e {n}f"]})) as server:
        table, _ = generate(work, data, server, classes="paths", documents=2)
    assert len(server.requests) == len(data.taxonomy.paths()) == 4
    assert Counter(table[table["source"] == "generated"]["class"]) == {11: 1, 22: 1, 30: 2}
    assert all("<document>" in one.user for one in server.requests), "examples of the corpus' style"
