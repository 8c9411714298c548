"""Models that are cut, that lack weights, hold NaN, or bring code: named before any work."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from teleclass.errors import ModelError
from teleclass.model.classifier import LabelMatchingClassifier
from teleclass.model.encoder import SentenceEncoder
from teleclass.model.scoring import Scorer
from teleclass.model.sources import find_model
from teleclass.model.weights import check_model


@pytest.fixture
def model(tiny_model, tmp_path):
    check_model.cache_clear()
    return shutil.copytree(tiny_model, tmp_path / "model")


def error_of(folder) -> str:
    with pytest.raises(ModelError) as caught:
        check_model(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def change(folder, **changes):
    file = folder / "model.safetensors"
    weights = load_file(file)
    for name, value in changes.items():
        name = next(one for one in weights if name in one)
        if value is None:
            del weights[name]
        else:
            weights[name] = np.where(np.arange(weights[name].size).reshape(weights[name].shape) == 3, value,
                                     weights[name]).astype(np.float32)  # fmt: skip
    save_file(weights, file, metadata={"format": "pt"})


def test_a_whole_model_passes_and_so_does_the_bundled_one(model):
    check_model(model)
    check_model(find_model("bundled"))


def test_a_weight_file_that_is_cut_at_any_length_is_named(model):
    file = model / "model.safetensors"
    content = file.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for length in (0, 1, 7, 8, 9, header - 1, header, header + 1, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        assert "model.safetensors is cut or broken (" in error_of(model)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_named(model, value):
    change(model, **{"layer.1.output.dense.weight": value})
    assert "encoder.layer.1.output.dense.weight" in error_of(model)


def test_a_layer_that_lacks_a_weight_is_named_before_the_work_and_any_other_at_loading(model):
    change(model, **{"layer.1.output.dense.weight": None})
    assert "the first is encoder.layer.1.output.dense.weight" in error_of(model)
    with pytest.raises(ModelError, match=r"layer\.1\.output\.dense\.weight"):
        SentenceEncoder(model, "cpu")


def test_embeddings_that_are_missing_are_not_made_up(model):
    change(model, word_embeddings=None)
    for load in (lambda: SentenceEncoder(model, "cpu"), lambda: LabelMatchingClassifier.from_backbone(model, 3, 8)):
        with pytest.raises(ModelError, match=r"lacks weights, the first is embeddings\.word_embeddings"):
            load()


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "modules.json"])
@pytest.mark.parametrize("content", ["{", "", '{"a": "\\ud', "[" * 100_000])
def test_broken_json_is_named(model, file, content):
    (model / file).write_text(content)
    assert f"{file} cannot be read" in error_of(model)


def test_an_index_that_leads_out_of_the_folder_or_nowhere_is_refused(model):
    (model / "model.safetensors").rename(model / "part.safetensors")
    for name in ("../part.safetensors", "other.safetensors", "/etc/passwd"):
        check_model.cache_clear()
        index = {"weight_map": {"a": name}}
        (model / "model.safetensors.index.json").write_text(json.dumps(index))
        assert "which is not there" in error_of(model)


CODE = "from pathlib import Path\nPath({!r}).write_text('ran')\nraise SystemExit(3)\n"


@pytest.mark.parametrize("load", [lambda folder: check_model(folder), lambda folder: SentenceEncoder(folder, "cpu"),
                                  lambda folder: LabelMatchingClassifier.from_backbone(folder, 3, 8)])  # fmt: skip
def test_code_that_a_model_brings_is_never_run(model, tmp_path, load, monkeypatch):
    trace = tmp_path / "ran"
    monkeypatch.setattr(sys, "stdin", None)
    (model / "evil.py").write_text(CODE.format(str(trace)))
    config = json.loads((model / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises((ModelError, ValueError), match=r"code of its own, which is never run|custom code"):
        load(model)
    assert not trace.exists()


def test_a_module_that_is_not_of_sentence_transformers_is_never_imported(model):
    modules = json.loads((model / "modules.json").read_text())
    modules[1]["type"] = "evil.Module"
    (model / "modules.json").write_text(json.dumps(modules))
    assert "modules.json names a module that is not of sentence-transformers" in error_of(model)


def test_a_pickle_beside_the_weights_is_never_opened(model, tmp_path):
    (model / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    check_model(model)
    SentenceEncoder(model, "cpu")
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="lacks"):
        find_model(str(model))
    assert not (tmp_path / "ran").exists()


def test_a_trained_model_with_weights_that_are_not_finite_is_refused(model, tmp_path):
    classifier = LabelMatchingClassifier.from_backbone(model, 3, 8)
    trained = tmp_path / "trained"
    classifier.save_pretrained(trained)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model / file, trained)
    Scorer(trained, "cpu", 32)
    change(trained, class_bias=None)
    with pytest.raises(ModelError, match="lacks weights, the first is class_bias"):
        Scorer(trained, "cpu", 32)
    classifier.save_pretrained(trained)
    change(trained, **{"projection.bias": np.nan})
    with pytest.raises(ModelError, match=r"not finite, the first is projection\.bias; train it again"):
        Scorer(trained, "cpu", 32)
