"""Memory must not grow with the corpus but by some bytes a document: no phase may hold a million Python objects."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.memory import _stand_in, make_folder
from teleclass.data.dataset import read_dataset
from teleclass.labelling import selection
from teleclass.labelling.affinity import EnrichmentConfig
from teleclass.labelling.augmentation import AugmentationConfig
from teleclass.labelling.core_classes import AnnotationConfig
from teleclass.labelling.decoding import DecodingConfig
from teleclass.labelling.expansion import ExpansionConfig
from teleclass.labelling.generation import GenerationConfig
from teleclass.labelling.phrases import PhraseConfig
from teleclass.labelling.refinement import RefinementConfig
from teleclass.labelling.selection import LabellingConfig
from teleclass.model.embedding import EncoderConfig
from teleclass.phases import augment, evaluate_inputs, expand, label, predict
from teleclass.runtime.artifacts import Artifacts
from teleclass.runtime.distributed import Ranks
from teleclass.runtime.llm import LlmConfig
from teleclass.runtime.tracking import Tracker, TrackingConfig
from teleclass.runtime.workplace import Workplace

FEW, MANY, CLASSES = 4_000, 12_000, 40
BYTES = {"read": 200, "label": 100, "augment": 150, "expand": 250, "predict": 100, "evaluate": 250}
"""Bytes a document by which the peak of each phase may grow; Python lists and whole tables grow by kilobytes."""


def peaks(folder: Path, n_documents: int) -> dict[str, int]:
    """The peak of what each phase allocates, in bytes, without an encoder and without training."""
    make_folder(folder / "data", n_documents, CLASSES)
    found: dict[str, int] = {}

    def measured(name: str, run: Callable):
        tracemalloc.start()
        result = run()
        found[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    data = measured("read", lambda: read_dataset(folder / "data"))
    work = Workplace(Artifacts(folder / "out"), Ranks(), Tracker(TrackingConfig(enabled=False)), seed=0)
    _stand_in(work.artifacts, data.taxonomy, len(data.corpus))
    options = label.LabelOptions(
        LabellingConfig(iterations=1, fit_documents=2_000), DecodingConfig(), EnrichmentConfig(corpus_terms=False),
        PhraseConfig(), AnnotationConfig(), RefinementConfig(), LlmConfig(), EncoderConfig(),
    )  # fmt: skip
    measured("label", lambda: label.run(work, data, options))
    sections = AugmentationConfig(), GenerationConfig(), DecodingConfig(), LlmConfig()
    measured("augment", lambda: augment.run(work, data, *sections))
    measured("expand", lambda: expand.run(work, data, ExpansionConfig()))
    logits = np.lib.format.open_memmap(
        folder / "logits.npy", mode="w+", dtype=np.float32, shape=(data.corpus.n_test, CLASSES)
    )
    logits[:] = np.random.default_rng(0).standard_normal(logits.shape)
    measured("predict", lambda: predict._decode_all(work, data, logits, predict.PredictionConfig(), DecodingConfig()))
    predictions = work.artifacts.path("predictions")

    def read_again() -> None:
        evaluate_inputs.read_predictions(predictions, data.taxonomy)
        evaluate_inputs.gold_of(data, "test")

    measured("evaluate", read_again)
    return found


@pytest.fixture(scope="module")
def growth(tmp_path_factory) -> dict[str, float]:
    """Bytes a document, by phase, after a first run that pays for imports and caches."""
    folder = tmp_path_factory.mktemp("memory")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "HELD_OUT_DOCUMENTS", 1_000)  # so many vectors are held, and no more
        peaks(folder / "warm_up", 500)
        few, many = peaks(folder / "few", FEW), peaks(folder / "many", MANY)
    return {name: (many[name] - few[name]) / (MANY - FEW) for name in few}


@pytest.mark.slow
@pytest.mark.parametrize("phase", BYTES)
def test_a_document_more_takes_some_bytes_more(growth, phase):
    assert growth[phase] < BYTES[phase], growth
