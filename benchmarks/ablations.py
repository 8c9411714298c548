"""The label model with one of its parts exchanged, on the filed documents; all without chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.evaluation import Filed, decode
from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.class_text import class_views
from teleclass.labelling.decoding import Decoder
from teleclass.labelling.label_model import LabelModel
from teleclass.labelling.metrics import top_classes
from teleclass.labelling.paths import PathIndex
from teleclass.labelling.selection import LabellingConfig, fit_label_model
from teleclass.labelling.similarity import blocks, softmax, unit
from teleclass.model.embedding import EncoderConfig, embed


def label_model_alone(model: LabelModel, embeddings: np.ndarray, paths: PathIndex, decoder: Decoder) -> Filed:
    """What a label model gives (N, D) documents, as with ``--prediction.classifier_weight 0``."""
    return decode(lambda rows: model.posterior(embeddings[rows], paths), len(embeddings), paths, decoder)


def fit_with_prior(
    prior: str, embeddings: np.ndarray, class_vectors: np.ndarray, paths: PathIndex, config: LabellingConfig
) -> LabelModel:
    """The label model with a form that is given: "corpus", "uniform", or "texts" for no EM at all."""
    model, _ = fit_label_model(embeddings, class_vectors, paths, replace(config, prior=prior))
    return model


def flat_decoding(model: LabelModel, embeddings: np.ndarray) -> Filed:
    """The three best classes by a softmax over classes: the fitted class vectors without the taxonomy's paths.

    The class posterior takes the place of the path posterior: a head's class scores over their sharpness, one softmax
    over all C classes, averaged over heads. Neither the prior of paths nor ancestors come in.
    """
    scores = np.empty((len(embeddings), len(model.heads[0].class_vectors)), dtype=np.float32)
    for rows in blocks(len(embeddings)):
        scores[rows] = sum(_class_posterior(head.class_scores(embeddings[rows]), model) for head in model.heads)
    scores /= len(model.heads)
    return Filed([set(top) for top in top_classes(scores, min(3, scores.shape[1]))], scores)


def best_path(model: LabelModel, embeddings: np.ndarray, paths: PathIndex) -> Filed:
    """The classes of the most probable path, instead of the set of the largest expected Example-F1."""
    labels: list[set[int]] = []
    scores = np.empty((len(embeddings), paths.n_classes), dtype=np.float32)
    for rows in blocks(len(embeddings), paths.n_classes):
        posterior = model.posterior(embeddings[rows], paths)
        scores[rows] = paths.marginals(posterior)
        labels.extend(set(paths.membership[best].indices.tolist()) for best in posterior.argmax(axis=1))
    return Filed(labels, scores)


def names_only(taxonomy: Taxonomy) -> Taxonomy:
    """The same taxonomy without keywords and descriptions."""
    return Taxonomy(taxonomy.ids, taxonomy.names, taxonomy.graph.edges)


def encode_class_views(taxonomy: Taxonomy, encoder: EncoderConfig) -> np.ndarray:
    """Unit mean of the encoded views of each class, (C, D), as in the encode phase."""
    import tempfile
    from pathlib import Path

    views = class_views(taxonomy)
    with tempfile.TemporaryDirectory() as scratch:
        rows = embed([text for of_class in views for text in of_class], encoder, Path(scratch))
    ends = np.cumsum([len(of_class) for of_class in views])
    return unit(
        np.stack([rows[end - len(of_class) : end].mean(axis=0) for end, of_class in zip(ends, views, strict=True)])
    )


def _class_posterior(scores: np.ndarray, model: LabelModel) -> np.ndarray:
    return softmax(scores / (model.sharpness * np.maximum(scores.std(axis=1, keepdims=True), 1e-6)))
