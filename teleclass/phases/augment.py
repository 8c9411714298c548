"""augment: starved classes are found, reported, and given documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from teleclass.data.dataset import Dataset
from teleclass.data.generated import GeneratedDocument, read_generated
from teleclass.data.spreadsheet import guarded
from teleclass.labelling.augmentation import AugmentationConfig, NearestDocument, nearest_documents, starved_classes
from teleclass.labelling.decoding import DecodingConfig
from teleclass.labelling.generation import (
    GenerationConfig,
    Order,
    Written,
    generation_requests,
    plan_orders,
    written_documents,
)
from teleclass.labelling.key_terms import ClassTerms
from teleclass.labelling.label_model import LabelModel
from teleclass.labelling.paths import index_paths
from teleclass.labelling.prompting import read_prompt
from teleclass.runtime.console import log
from teleclass.runtime.llm import LanguageModel, LlmConfig
from teleclass.runtime.workplace import Workplace

COLUMNS = ["source", "document", "row", "text", "class", "path", "confidence"]


def run(
    work: Workplace,
    data: Dataset,
    augmentation: AugmentationConfig,
    generation: GenerationConfig,
    decoding: DecodingConfig,
    llm: LlmConfig,
) -> dict[str, float]:
    """Write ``augmented.parquet``: one row for each document given to a class.

    Columns: ``source`` ("nearest": a document of the corpus, lent with the probability that it belongs there;
    "generated": a text written for the class), the document's id, its row in the corpus (-1 for a generated one), its
    text (generated ones alone), the class, the classes on the path to it, and the confidence. Also
    ``augmentation_by_class.csv``, with the number that each class reached.
    """
    artifacts, taxonomy = work.artifacts, data.taxonomy
    labels = pd.read_parquet(artifacts.path("pseudo_labels"), columns=["row", "class_position", "margin"])
    # Documents without text teach nothing (expand leaves them out): they neither feed a class nor are lent to one.
    empty = np.flatnonzero(data.corpus.texts[data.corpus.train].characters == 0)
    labels = labels[~labels["row"].isin(empty)]
    starved = starved_classes(labels["class_position"].to_numpy(), taxonomy.n_classes, augmentation.starved_below)
    asked = work.language_model(llm) if llm.does("generate") else None
    generated = read_generated(data.folder, data.layout, taxonomy, data.mender) if augmentation.use_generated else []
    way = f"{len(generated):,} generated documents read" if generated else "no language model: nearest documents alone"
    if not generated and asked is not None:
        generated, way = _generate(work, data, labels, starved, asked, augmentation, generation, llm)
    hungry = dict(starved)
    for document in generated:
        for node in hungry.keys() & document.path:
            hungry[node] += 1
    hungry = {node: count for node, count in hungry.items() if count < augmentation.starved_below}
    lent = nearest_documents(
        np.load(artifacts.path("document_embeddings"), mmap_mode="r")[data.corpus.train],
        LabelModel.load(artifacts.path("label_model")),
        index_paths(taxonomy, decoding.stop_at_inner),
        hungry,
        _pairs(
            np.concatenate([labels["row"], np.repeat(empty, len(hungry))]),
            np.concatenate([labels["class_position"], np.tile(np.array(list(hungry), dtype=np.int64), len(empty))]),
            (data.corpus.n_train, taxonomy.n_classes),
        ),
        augmentation,
    )
    table = pd.DataFrame([*_nearest(lent, data), *_generated(generated, data)], columns=COLUMNS)
    reached = _reached(data, labels, generated, lent)
    with artifacts.writing("augmented") as partial:
        table.to_parquet(partial, index=False)
    with artifacts.writing("augmentation") as partial:
        reached.to_csv(partial, index=False)

    if starved:
        names = ", ".join(taxonomy.names[node] for node in sorted(starved, key=lambda node: starved[node])[:5])
        log.info("  starved, with fewer than %d documents: %s%s", augmentation.starved_below, names,
                 f" and {len(starved) - 5} more" if len(starved) > 5 else "")  # fmt: skip
    still = int((reached["total"] < augmentation.starved_below).sum())
    work.notes.append(f"{len(starved)} starved classes, {way}, {len(lent):,} nearest lent; {still} still starved")
    work.tags.update(augment_way=way)
    metrics = {
        "label/starved_classes": float(len(starved)),
        "label/still_starved_classes": float(still),
        "label/nearest_documents": float(len(lent)),
        "label/generated_documents": float(len(generated)),
    }
    if asked is not None:
        metrics |= asked.usage.metrics("generate")
        work.is_reusable = not asked.usage.has_failed("generate")
        asked.close()
    return metrics


def check(data: Dataset, augmentation: AugmentationConfig) -> None:
    """Find the faults of the generated documents' files before any work."""
    if augmentation.use_generated:
        read_generated(data.folder, data.layout, data.taxonomy, data.mender)


def _pairs(rows: np.ndarray, nodes: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix:
    """Pairs of document and class as a matrix of bools."""
    return sparse.csr_matrix((np.ones(len(rows), dtype=bool), (rows.astype(np.int64), nodes.astype(np.int64))), shape)


def _generate(
    work: Workplace,
    data: Dataset,
    labels: pd.DataFrame,
    starved: dict[int, int],
    asked: LanguageModel,
    augmentation: AugmentationConfig,
    generation: GenerationConfig,
    llm: LlmConfig,
) -> tuple[list[GeneratedDocument], str]:
    """Documents that the language model writes, and in words what became of the orders."""
    taxonomy = data.taxonomy
    plan = plan_orders(taxonomy, starved, augmentation.starved_below, generation)
    orders = [Order(path, number, _examples(data, labels, path, generation.examples)) for path, number in plan]
    terms = ClassTerms.read(work.artifacts.path("class_terms"), taxonomy)
    requests = generation_requests(
        orders,
        taxonomy,
        {order.node: terms.of(order.node) for order in orders},
        read_prompt("generate", Path(llm.prompts) if llm.prompts else None),
        llm.document_kind,
        generation.max_words,
    )
    written = written_documents(orders, asked.complete(requests, "asking for documents"), taxonomy)
    documents = [
        GeneratedDocument(f"written_{taxonomy.ids[one.order.node]}_{number}", text, one.order.node,
                          frozenset(one.order.path))
        for one in written
        for number, text in enumerate(one.texts)
    ]  # fmt: skip
    if asked.stopped:
        log.info("  the language model: %s; the other classes are lent their nearest documents", asked.stopped)
    return documents, _said(written)


def _said(written: list[Written]) -> str:
    n_asked = sum(one.order.n_documents for one in written)
    dropped = {
        "near-duplicates": sum(one.duplicates for one in written),
        "naming their path": sum(one.naming_the_path for one in written),
        "too short": sum(one.too_short for one in written),
    }
    why = ", ".join(f"{number} {name}" for name, number in dropped.items() if number)
    n_written = sum(len(one.texts) for one in written)
    return f"{n_written:,} of {n_asked:,} documents written by the language model" + (f" ({why})" if why else "")


def _examples(data: Dataset, labels: pd.DataFrame, path: tuple[int, ...], number: int) -> tuple[str, ...]:
    """Texts of the surest documents of the deepest class on a path that has any; of any class where none has."""
    for node in reversed(path):
        own = labels[labels["class_position"] == node]
        if len(own):
            break
    else:
        own = labels.drop_duplicates("row")
    surest = own.sort_values(["margin", "row"], ascending=[False, True])["row"][:number]
    return tuple(data.corpus.texts[row] for row in surest)


def _reached(
    data: Dataset, labels: pd.DataFrame, generated: list[GeneratedDocument], lent: list[NearestDocument]
) -> pd.DataFrame:
    """Training documents of each class by where they come from."""
    taxonomy = data.taxonomy
    counts = {
        "pseudo_labelled": labels["class_position"].to_numpy(),
        "written": [node for document in generated for node in document.path],
        "lent": [one.node for one in lent],
    }
    names = [guarded(name) for name in taxonomy.names]
    table = pd.DataFrame({"class": taxonomy.ids, "name": names, "level": taxonomy.levels})
    for name, nodes in counts.items():
        table[name] = np.bincount(np.asarray(nodes, dtype=np.int64), minlength=taxonomy.n_classes)
    table["total"] = table[list(counts)].sum(axis=1)
    return table


def _nearest(lent: list[NearestDocument], data: Dataset) -> list[list]:
    ids, classes = data.corpus.ids, data.taxonomy.ids
    return [
        ["nearest", ids[one.row], one.row, None, classes[one.node], [classes[c] for c in one.path], one.confidence]
        for one in lent
    ]


def _generated(documents: list[GeneratedDocument], data: Dataset) -> list[list]:
    classes = data.taxonomy.ids
    return [
        ["generated", one.id, -1, one.text, classes[one.core_class], sorted(classes[c] for c in one.path), 1.0]
        for one in documents
    ]
