"""The encoder and its worker processes, real ones, on the tiny model."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from teleclass.errors import WorkerError
from teleclass.model.encoder import SentenceEncoder
from teleclass.model.encoding import chunks_of, create_rows, embedding_dimension, encode_texts

TEXTS = [
    " ".join(["ripe apple", "ladder", "crust", "knife"][: 1 + number % 4] * (1 + number % 7)) for number in range(150)
]


def test_vectors_equal_sentence_transformers_own(tiny_model):
    from sentence_transformers import SentenceTransformer

    texts = ["a ripe apple", "", "a folding ladder with five steps", "unknown words here"]
    expected = SentenceTransformer(str(tiny_model), device="cpu").encode(texts, normalize_embeddings=True)
    encoder = SentenceEncoder(tiny_model, "cpu")
    for budget in (1, 16, 4096):
        np.testing.assert_allclose(encoder.encode(texts, budget), expected, atol=1e-5)
    assert encoder.dimension == embedding_dimension(tiny_model) == 32


def test_the_width_is_read_through_dense_and_double_pooling(tmp_path, tiny_model):
    import json
    import shutil

    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    modules = json.loads((copy / "modules.json").read_text())
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    (copy / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    assert embedding_dimension(copy) == 64
    (copy / "2_Dense").mkdir()
    (copy / "2_Dense" / "config.json").write_text(json.dumps({"in_features": 64, "out_features": 7}))
    modules.append({"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (copy / "modules.json").write_text(json.dumps(modules))
    assert embedding_dimension(copy) == 7


def test_chunks_hold_every_text_once_longest_first():
    chunks = chunks_of(TEXTS)
    rows = np.concatenate(chunks)
    assert sorted(rows) == list(range(len(TEXTS)))
    lengths = [len(TEXTS[row]) for row in rows]
    assert lengths == sorted(lengths, reverse=True)
    assert len(chunks) > 2


@pytest.mark.slow
def test_any_split_over_workers_and_machines_gives_the_same_rows(tmp_path, tiny_model):
    results = []
    for name, devices, shares in (("one", ["cpu"], [(0, 1)]), ("two", ["cpu", "cpu"], [(0, 1)]),
                                  ("machines", ["cpu"], [(1, 2), (0, 2)])):  # fmt: skip
        file = tmp_path / f"{name}.npy"
        create_rows(file, len(TEXTS), 32)
        documents = 0
        for number, share in enumerate(shares):
            documents += encode_texts(TEXTS, file, tiny_model, devices, share=share).documents
            missing = np.isnan(np.load(file)).any(axis=1).sum()
            assert (missing == 0) == (number == len(shares) - 1)
        assert documents == len(TEXTS)
        results.append(np.load(file))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_worker_that_fails_is_one_line_and_leaves_no_process(tmp_path):
    file = tmp_path / "rows.npy"
    create_rows(file, len(TEXTS), 32)
    with pytest.raises(WorkerError) as caught:
        encode_texts(TEXTS, file, Path(tmp_path), ["cpu", "cpu"])
    assert "\n" not in str(caught.value)
    assert multiprocessing.active_children() == []


def test_a_machine_without_a_chunk_does_nothing(tmp_path, tiny_model):
    report = encode_texts(["one text"], tmp_path / "unused.npy", tiny_model, ["cpu"], share=(3, 4))
    assert report.documents == 0
