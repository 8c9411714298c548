"""expand: pseudo labels and augmented documents become training rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from teleclass.data.dataset import Dataset
from teleclass.labelling.expansion import (
    ExpansionConfig,
    confidence_weight,
    generated_weight,
    ignored_classes,
    mean_one,
)
from teleclass.runtime.workplace import Workplace


def run(work: Workplace, data: Dataset, expansion: ExpansionConfig) -> dict[str, float]:
    """Write ``training_set.parquet``: one row a training document.

    Columns: ``source`` ("corpus", "nearest", "generated"), ``document``, ``row`` (in the corpus, -1 for a generated
    document), ``text`` (of generated ones alone), ``positives`` and ``ignored`` (class ids), ``weight`` (mean 1).
    """
    artifacts, taxonomy = work.artifacts, data.taxonomy
    labels = pd.read_parquet(artifacts.path("pseudo_labels"))
    augmented = pd.read_parquet(artifacts.path("augmented"))

    rows = []
    for row, group in labels.groupby("row", sort=True):
        if data.corpus.texts[row]:
            weight = float(confidence_weight(group["margin"].to_numpy()[:1], expansion.weight_floor)[0])
            rows.append(["corpus", data.corpus.ids[row], row, None, group["class_position"].tolist(), weight])
    n_corpus = len(rows)
    of_generated = generated_weight(n_corpus, int((augmented["source"] == "generated").sum()))
    for one in augmented.itertuples():
        weight = of_generated if one.source == "generated" else float(one.confidence)
        if one.source == "generated" or data.corpus.texts[one.row]:
            positives = [taxonomy.position[number] for number in one.path]
            rows.append([one.source, one.document, one.row, one.text, positives, weight])

    table = pd.DataFrame(rows, columns=["source", "document", "row", "text", "positives", "weight"])
    table["ignored"] = [
        sorted(taxonomy.ids[node] for node in ignored_classes(nodes, taxonomy)) for nodes in table["positives"]
    ]
    table["positives"] = [sorted(taxonomy.ids[node] for node in nodes) for nodes in table["positives"]]
    table["weight"] = mean_one(table["weight"].to_numpy(dtype=np.float64)).astype(np.float32)
    with artifacts.writing("training_set") as partial:
        table.to_parquet(partial, index=False)
    n_ignored = sum(len(ignored) for ignored in table["ignored"])
    work.notes.append(
        f"{len(table):,} training rows, {n_corpus:,} of them from the corpus; {n_ignored:,} classes ignored"
    )
    return {"train/rows": float(len(table))}
