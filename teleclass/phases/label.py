"""label: pseudo labels with confidences, from embeddings and the taxonomy alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from teleclass.data.dataset import Dataset
from teleclass.labelling.decoding import Decoder, DecodingConfig
from teleclass.labelling.em import LabellingConfig, fit_label_model
from teleclass.labelling.label_model import LabelModel
from teleclass.labelling.paths import PathIndex, index_paths, path_margins
from teleclass.labelling.similarity import blocks
from teleclass.runtime.console import progress
from teleclass.runtime.workplace import Workplace


def run(work: Workplace, data: Dataset, labelling: LabellingConfig, decoding: DecodingConfig) -> dict[str, float]:
    """Fit the label model to all documents and write the training documents' pseudo labels."""
    artifacts = work.artifacts
    embeddings = np.load(artifacts.path("document_embeddings"), mmap_mode="r")
    class_vectors = np.load(artifacts.path("class_embeddings"))
    paths = index_paths(data.taxonomy, decoding.stop_at_inner)
    model = fit_label_model(embeddings, class_vectors, paths, labelling)
    with artifacts.writing("label_model") as partial:
        model.save(partial)
    labels = pseudo_labels(data, embeddings[data.corpus.train], model, paths, decoding)
    with artifacts.writing("pseudo_labels") as partial:
        labels.to_parquet(partial, index=False)

    count = np.bincount(labels["class_position"], minlength=data.taxonomy.n_classes)
    work.notes.append(f"{model.choice} ({model.reason}); {len(labels) / data.corpus.n_train:.2f} labels a document")
    work.tags.update(label_choice=model.choice, label_reason=model.reason)
    return {
        "label/coverage": labels["document"].nunique() / data.corpus.n_train,
        "label/classes_with_documents": float((count > 0).sum()),
        "label/mean_confidence": float(labels["confidence"].mean()),
        "label/labels_per_document": len(labels) / data.corpus.n_train,
    }


def pseudo_labels(
    data: Dataset, embeddings: np.ndarray, model: LabelModel, paths: PathIndex, decoding: DecodingConfig
) -> pd.DataFrame:
    """Decoded labels of the first ``len(embeddings)`` documents.

    Returns
    -------
    one row a (document, class): the document's id and row, the class's id and position, and the confidence, which is
    the probability that the class lies on the document's path; ``margin`` is the document's own confidence, the gap
    between its best and second-best path.
    """
    decoder = Decoder(data.taxonomy, paths, decoding)
    multiplicity = decoder.multiplicity(lambda rows: model.posterior(embeddings[rows], paths), len(embeddings))
    row_of: list[int] = []
    class_of: list[int] = []
    confidence: list[float] = []
    margin: list[float] = []
    for rows in progress(list(blocks(len(embeddings))), unit="blocks", what="decoding"):
        posterior = model.posterior(embeddings[rows], paths)
        marginals = paths.marginals(posterior)
        margins = path_margins(posterior)
        for offset, classes in enumerate(decoder.decode(posterior, multiplicity)):
            row_of.extend([rows.start + offset] * len(classes))
            class_of.extend(classes)
            confidence.extend(marginals[offset, classes])
            margin.extend([margins[offset]] * len(classes))
    return pd.DataFrame(
        {
            "document": [data.corpus.ids[row] for row in row_of],
            "class": [data.taxonomy.ids[node] for node in class_of],
            "confidence": np.asarray(confidence, dtype=np.float32),
            "margin": np.asarray(margin, dtype=np.float32),
            "row": np.asarray(row_of, dtype=np.int64),
            "class_position": np.asarray(class_of, dtype=np.int64),
        }
    )
