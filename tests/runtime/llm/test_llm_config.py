"""The section ``llm`` of the configuration."""

from __future__ import annotations

import math
import re

import pytest

from teleclass.runtime.llm import LlmConfig


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
