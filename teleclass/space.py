"""How much each phase writes: upper bounds in bytes, to be had before it starts."""

from __future__ import annotations

import json
from pathlib import Path

from teleclass.config import ExperimentConfig
from teleclass.data.dataset import Dataset
from teleclass.labelling.class_text import class_views
from teleclass.model.encoding import embedding_dimension
from teleclass.model.sources import find_model
from teleclass.runtime.artifacts import Artifacts

FLOAT = 4
LABEL_ROW = 100  # of a document and class in a table, before compression
LABELS = 4  # of a document
DOCUMENT_ROW = 300  # ids, label sets and paths of a document in a table
CLASS_VECTORS = 8  # of a class in the label model, in all its forms
REPORT = 5_000_000
BYTES_A_WEIGHT = {"float16": 2, "bfloat16": 2, "float64": 8}
CHECKPOINT_WEIGHT = 16  # bytes of a weight in a checkpoint in fp32: itself twice and two moments; 14 in 16 bits
CHECKPOINTS = 3  # two that are kept and the one that is being written


def encode(config: ExperimentConfig, data: Dataset, artifacts: Artifacts) -> int:
    """The rows of documents and class texts twice: as the workers write them, and as the phase leaves them."""
    texts = len(data.corpus) + sum(len(views) for views in class_views(data.taxonomy))
    there = artifacts.folder / "intermediate" / ".embeddings.partial.npy"
    return 2 * texts * embedding_dimension(find_model(config.encoder.model)) * FLOAT - _bytes_of(there)


def label(config: ExperimentConfig, data: Dataset, artifacts: Artifacts) -> int:
    vectors = CLASS_VECTORS * data.taxonomy.n_classes * embedding_dimension(find_model(config.encoder.model)) * FLOAT
    return data.corpus.n_train * LABELS * LABEL_ROW + vectors


def training_rows(config: ExperimentConfig, data: Dataset, artifacts: Artifacts) -> int:
    """Of the augment and the expand phase; written documents are few beside those of the corpus."""
    return data.corpus.n_train * DOCUMENT_ROW


def train(config: ExperimentConfig, data: Dataset, artifacts: Artifacts) -> int:
    """The model, and checkpoints until it is there."""
    weights = n_weights(find_model(config.training.model))
    return weights * (FLOAT + CHECKPOINTS * CHECKPOINT_WEIGHT) - _bytes_of(artifacts.folder / "checkpoints")


def predict(config: ExperimentConfig, data: Dataset, artifacts: Artifacts) -> int:
    """Scores of classifier and of both models together, tables, and the encoder's copy beside the model."""
    filed = data.corpus.predicted.stop - data.corpus.predicted.start
    scores = 2 * filed * data.taxonomy.n_classes * FLOAT
    there = artifacts.folder / "intermediate" / ".scores.partial.npy"
    return scores + filed * DOCUMENT_ROW + _weight_bytes(find_model(config.encoder.model)) - _bytes_of(there)


def evaluate(config: ExperimentConfig, data: Dataset, artifacts: Artifacts) -> int:
    return REPORT


def n_weights(folder: Path) -> int:
    """Weights of a model, by the size of its files and their format."""
    settings = json.loads((folder / "config.json").read_text("utf-8"))
    kind = settings.get("dtype") or settings.get("torch_dtype") or "float32"
    return _weight_bytes(folder) // BYTES_A_WEIGHT.get(str(kind), FLOAT)


def _weight_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def _bytes_of(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
