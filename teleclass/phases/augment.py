"""augment: starved classes are found, reported, and given documents."""

from __future__ import annotations

import numpy as np
import pandas as pd

from teleclass.data.dataset import Dataset
from teleclass.data.generated import GeneratedDocument, read_generated
from teleclass.labelling.augmentation import AugmentationConfig, NearestDocument, nearest_documents, starved_classes
from teleclass.labelling.decoding import DecodingConfig
from teleclass.labelling.label_model import LabelModel
from teleclass.labelling.paths import index_paths
from teleclass.runtime.console import log
from teleclass.runtime.workplace import Workplace

COLUMNS = ["source", "document", "row", "text", "class", "path", "confidence"]


def run(work: Workplace, data: Dataset, augmentation: AugmentationConfig, decoding: DecodingConfig) -> dict[str, float]:
    """Write ``augmented.parquet``: one row for each document given to a class.

    Columns: ``source`` ("nearest": a document of the corpus, lent with the probability that it belongs there;
    "generated": a text written for the class), the document's id, its row in the corpus (-1 for a generated one), its
    text (generated ones alone), the class, the classes on the path to it, and the confidence.
    """
    artifacts, taxonomy = work.artifacts, data.taxonomy
    labels = pd.read_parquet(artifacts.path("pseudo_labels"), columns=["row", "class_position"])
    # Documents without text teach nothing (expand leaves them out): they neither feed a class nor are lent to one.
    empty = [row for row, text in enumerate(data.corpus.texts[data.corpus.train]) if not text]
    labels = labels[~labels["row"].isin(empty)]
    starved = starved_classes(labels["class_position"].to_numpy(), taxonomy.n_classes, augmentation.starved_below)
    generated = read_generated(data.folder, data.layout, taxonomy) if augmentation.use_generated else []
    for document in generated:
        for node in starved.keys() & document.path:
            starved[node] += 1
    hungry = {node: count for node, count in starved.items() if count < augmentation.starved_below}
    lent = nearest_documents(
        np.load(artifacts.path("document_embeddings"), mmap_mode="r")[data.corpus.train],
        LabelModel.load(artifacts.path("label_model")),
        index_paths(taxonomy, decoding.stop_at_inner),
        hungry,
        set(zip(labels["row"].tolist(), labels["class_position"].tolist(), strict=True))
        | {(row, node) for row in empty for node in hungry},
        augmentation,
    )
    table = pd.DataFrame([*_nearest(lent, data), *_generated(generated, data)], columns=COLUMNS)
    with artifacts.writing("augmented") as partial:
        table.to_parquet(partial, index=False)

    if starved:
        names = ", ".join(taxonomy.names[node] for node in sorted(starved, key=lambda node: starved[node])[:5])
        log.info("  starved, with fewer than %d documents: %s%s", augmentation.starved_below, names,
                 f" and {len(starved) - 5} more" if len(starved) > 5 else "")  # fmt: skip
    work.notes.append(
        f"{len(starved)} starved classes, {len(lent):,} nearest documents lent, {len(generated):,} generated ones read"
    )
    return {
        "label/starved_classes": float(len(starved)),
        "label/nearest_documents": float(len(lent)),
        "label/generated_documents": float(len(generated)),
    }


def check(data: Dataset, augmentation: AugmentationConfig) -> None:
    """Find the faults of the generated documents' files before any work."""
    if augmentation.use_generated:
        read_generated(data.folder, data.layout, data.taxonomy)


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
