"""The section ``llm`` of the configuration."""

from __future__ import annotations

import json
import math
import re

import pytest

from teleclass.runtime.llm import LlmConfig, llm_print


def test_by_default_no_language_model_is_used():
    assert not LlmConfig().enabled
    assert not any(LlmConfig().does(task) for task in ("enrich", "annotate", "generate"))


@pytest.mark.parametrize("setting", [{"model": "m"}, {"replay": "answers.jsonl"}], ids=str)
def test_a_model_or_kept_answers_do_the_tasks_that_are_named(setting):
    config = LlmConfig(tasks="enrich, generate", **setting)
    assert config.enabled
    assert [config.does(task) for task in ("enrich", "annotate", "generate")] == [True, False, True]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"tasks": "enrich,anotate"}, "llm.tasks must name some of enrich, annotate, generate"),
        ({"tasks": ""}, "llm.tasks must name"),
        ({"max_documents": -1}, "llm.max_documents must"),
        ({"max_calls": -1}, "llm.max_calls must"),
        ({"retries": -1}, "llm.retries must"),
        ({"max_cost": -0.1, "input_price": 1.0}, "llm.max_cost must"),
        ({"max_cost": math.nan, "input_price": 1.0}, "llm.max_cost must"),
        ({"max_cost": math.inf, "input_price": 1.0}, "llm.max_cost must"),
        ({"input_price": -1.0}, "llm.input_price must"),
        ({"output_price": math.nan}, "llm.output_price must"),
        ({"max_cost": 1.0}, "llm.max_cost needs llm.input_price or llm.output_price"),
        ({"concurrency": 0}, "llm.concurrency must"),
        ({"max_tokens": 0}, "llm.max_tokens must"),
        ({"timeout": 0.0}, "llm.timeout must"),
        ({"timeout": math.nan}, "llm.timeout must"),
        ({"document_kind": " "}, "llm.document_kind must"),
        ({"base_url": "http://localhost:8000/v1"}, "llm.base_url needs llm.model"),
        ({"base_url": "localhost:8000", "model": "m"}, "llm.base_url must be"),
        ({"base_url": "ftp://host/v1", "model": "m"}, "llm.base_url must be"),
        ({"base_url": "http://", "model": "m"}, "llm.base_url must be"),
        ({"base_url": "http://host:port/v1", "model": "m"}, "llm.base_url must be"),
        ({"base_url": "http://user:secret@host/v1", "model": "m"}, "llm.base_url must be a plain address"),
        ({"base_url": "http://host/v1?key=secret", "model": "m"}, "llm.base_url must be a plain address"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told_in_one_line_by_its_name(setting, says):
    with pytest.raises(ValueError, match=re.escape(says)) as fault:
        LlmConfig(**setting)
    assert "\n" not in str(fault.value)
    assert "secret" not in str(fault.value)


@pytest.mark.parametrize("address", ["local", "http://localhost:8000/v1", "https://host/v1", "http://[::1]:8000/v1"])
def test_addresses_that_can_be_used(address):
    config = LlmConfig(base_url=address, model="m")
    assert config.is_local == (address == "local")


# --- the fingerprint


def test_without_a_language_model_nothing_of_the_section_counts():
    assert llm_print(LlmConfig()) == llm_print(LlmConfig(max_calls=5, document_kind="review", tasks="enrich")) == []


@pytest.mark.parametrize(
    "setting",
    [{"base_url": "http://elsewhere:1/v1"}, {"concurrency": 1}, {"timeout": 1.0}, {"retries": 0}, {"answers": "kept"},
     {"input_price": 2.0, "output_price": 3.0}, {"tasks": " generate,enrich, annotate"}],
    ids=str,
)  # fmt: skip
def test_where_and_how_fast_the_model_is_asked_changes_no_fingerprint(setting):
    assert llm_print(LlmConfig(model="m", **setting)) == llm_print(LlmConfig(model="m"))


@pytest.mark.parametrize(
    "setting",
    [{"model": "other"}, {"tasks": "enrich"}, {"document_kind": "review"}, {"max_documents": 9}, {"max_calls": 9},
     {"max_cost": 9.0}, {"max_tokens": 9}, {"output_price": 9.0}],
    ids=str,
)  # fmt: skip
def test_what_decides_answers_changes_the_fingerprint(setting):
    """With a limit of cost, prices decide how much is answered."""
    base = {"model": "m", "max_cost": 1.0, "input_price": 1.0}
    assert llm_print(LlmConfig(**base | setting)) != llm_print(LlmConfig(**base))


def test_the_fingerprint_holds_what_stands_in_the_prompts_and_the_replay_and_not_where_they_lie(tmp_path):
    def fingerprint(prompt: str, answers: str) -> list[object]:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "annotate.txt").write_text(prompt)
        (folder / "notes.md").write_text(folder.name)
        (folder / "answers.jsonl").write_text(answers)
        return llm_print(LlmConfig(replay=str(folder / "answers.jsonl"), prompts=str(folder)))

    first = fingerprint("a", "b")
    assert fingerprint("a", "b") == first
    assert fingerprint("c", "b") != first
    assert fingerprint("a", "c") != first
    assert fingerprint("b", "a") != first


def test_the_fingerprint_of_files_that_are_missing_is_taken_without_a_fault(tmp_path):
    """They are told of by the checks before any work."""
    missing = llm_print(LlmConfig(replay=str(tmp_path / "none"), prompts=str(tmp_path / "nowhere")))
    assert missing == llm_print(LlmConfig(replay=str(tmp_path / "none")))
    json.dumps(missing)
