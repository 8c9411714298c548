import shutil

import pytest

from teleclass.errors import ModelError
from teleclass.model.sources import BUNDLED_SHA256, find_model, model_digest
from teleclass.runtime.artifacts import file_digest


def test_the_bundled_model_is_the_official_one():
    folder = find_model("bundled")
    assert file_digest(folder / "model.safetensors") == BUNDLED_SHA256
    assert model_digest("bundled") == model_digest(str(folder))


def test_another_models_digest_differs(tiny_model):
    assert model_digest(str(tiny_model)) != model_digest("bundled")


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_names_it(tmp_path, tiny_model, file):
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    (copy / file).unlink()
    with pytest.raises(ModelError, match=file.replace(".", r"\.")):
        find_model(str(copy))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "../a/b/c"])
def test_a_missing_folder_is_named(name):
    with pytest.raises(ModelError, match="does not exist"):
        find_model(name)


def test_an_unreachable_hub_is_one_line_that_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        find_model("nobody/a-model-that-is-not-here")
    assert "\n" not in str(caught.value)
    assert "--preset offline" in str(caught.value)
