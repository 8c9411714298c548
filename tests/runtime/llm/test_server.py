"""One server: forms of question, parameters it does not know, refusals that end the program, and the key."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path

import pytest
from llm_server import Reply, ScriptedServer, answer, in_turn, key_refused, unknown_model, without_forms

from teleclass.errors import TeleclassError
from teleclass.runtime.llm import LanguageModel, LlmConfig, Request, check_llm

KEY = "sk-test-0123456789abcdef"
SCHEMA = {"type": "object", "properties": {"größe": {"type": "integer"}}}


def questions(n: int) -> list[Request]:
    return [Request("annotate", "be brief", f"question {number}", SCHEMA) for number in range(n)]


def ask(server: ScriptedServer, file: Path, n: int = 3, **settings) -> LanguageModel:
    model = LanguageModel(LlmConfig(base_url=server.url, model="any", retries=0, timeout=5.0, **settings), file)
    model.completions = model.complete(questions(n), "asking")
    return model


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "llm_answers.jsonl"


@pytest.mark.parametrize(
    ("refused", "forms"),
    [
        ([], ["json_schema"] * 3),
        (["json_schema"], ["json_schema", "json_object", "json_object", "json_object"]),
        (["json_schema", "json_object"], ["json_schema", "json_object", "", "", ""]),
    ],
    ids=["all known", "objects known", "none known"],
)
def test_the_strictest_form_that_the_server_takes_is_found_once(file, refused, forms):
    with ScriptedServer(without_forms(in_turn(answer({})), *refused)) as server:
        model = ask(server, file)
    assert [one.form for one in server.requests] == forms
    assert (model.usage.calls, model.usage.failed) == (3, 0)
    for one in server.requests:
        system = one.body["messages"][0]["content"]
        assert ('{"größe": {"type": "integer"}}' in system) == (one.form != "json_schema")


def test_a_server_that_refuses_every_form_fails_by_its_words_and_is_asked_the_strictest_first_again(file):
    with ScriptedServer(in_turn(Reply(422, "response_format: no grammar"))) as server:
        model = ask(server, file, n=2)
    assert [one.form for one in server.requests] == ["json_schema", "json_object", ""] * 2
    assert model.usage.failed == 2


def test_a_fault_that_comes_as_a_good_reply_is_told_by_its_words(file):
    with ScriptedServer(in_turn(Reply(fields={"choices": None, "error": {"message": "no credit\nleft"}}))) as server:
        assert "last with: no credit left" in ask(server, file, n=9).stopped


def test_another_bad_request_is_not_asked_in_another_form(file):
    with ScriptedServer(in_turn(Reply(400, "This model's maximum context length is 10 tokens"))) as server:
        ask(server, file, n=1)
        assert len(server.requests) == 1


def test_parameters_that_a_model_does_not_support_are_left_out_from_then_on(file):
    def reasoning_model(body, n):
        if "max_tokens" in body:
            return Reply(400, "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens'.")
        if "temperature" in body:
            return Reply(400, "Unsupported value: 'temperature' does not support 0 with this model.")
        return answer({})

    with ScriptedServer(reasoning_model) as server:
        model = ask(server, file, n=3)
    assert model.usage.failed == 0
    assert len(server.requests) == 5
    assert server.requests[-1].body["max_completion_tokens"] == 512
    assert {"max_tokens", "temperature"}.isdisjoint(server.requests[-1].body)
    assert server.requests[-1].form == "json_schema"


@pytest.mark.parametrize(
    ("reply", "advice"),
    [
        (key_refused(), "set TELECLASS_LLM_API_KEY"),
        (Reply(403, "You may not use {key}\nhere\x1b[31m"), "set TELECLASS_LLM_API_KEY"),
        (unknown_model(), "check --llm.model any and --llm.base_url"),
    ],
    ids=["401", "403", "404"],
)
def test_a_refusal_ends_at_once_with_one_line_and_without_the_key(file, monkeypatch, reply, advice):
    monkeypatch.setenv("TELECLASS_LLM_API_KEY", KEY)
    with ScriptedServer(in_turn(reply)) as server:
        with pytest.raises(TeleclassError) as fault:
            ask(server, file, n=20)
        assert len(server.requests) == 1
    assert advice in str(fault.value)
    assert str(fault.value).isprintable()
    assert KEY not in str(fault.value)


def test_the_key_comes_from_our_variable_then_from_openai_s(file, monkeypatch):
    with ScriptedServer(in_turn(answer({}))) as server:
        ask(server, file, n=1)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-theirs")
        ask(server, file.with_name("2"), n=1)
        monkeypatch.setenv("TELECLASS_LLM_API_KEY", " sk-ours\n")
        ask(server, file.with_name("3"), n=1)
    sent = [one.headers["authorization"] for one in server.requests]
    assert sent == ["Bearer none", "Bearer sk-theirs", "Bearer sk-ours"]


def test_openai_s_own_server_needs_a_key(file):
    config = LlmConfig(model="any")
    for use in (lambda: check_llm(config), lambda: LanguageModel(config, file).complete(questions(1), "asking")):
        with pytest.raises(TeleclassError, match="needs an API key in TELECLASS_LLM_API_KEY or OPENAI_API_KEY"):
            use()
    assert not file.exists()


@pytest.mark.parametrize("key", ["sk two words", "sk-€uro-and-more"])
def test_a_key_that_no_server_can_have_is_told_without_saying_it(monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(TeleclassError, match="OPENAI_API_KEY holds a blank") as fault:
        check_llm(LlmConfig(model="any"))
    assert key not in str(fault.value)


def test_without_the_sdk_the_extra_is_named(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    config = LlmConfig(base_url="http://127.0.0.1:9/v1", model="any")
    for use in (lambda: check_llm(config), lambda: LanguageModel(config, file).complete(questions(1), "asking")):
        with pytest.raises(TeleclassError, match=re.escape("pip install 'teleclass[llm]'")):
            use()


@pytest.mark.parametrize("variable", ["TELECLASS_LLM_API_KEY", "OPENAI_API_KEY"])
@pytest.mark.twin("teleclass.runtime.llm.server:Server._redact=lambda self, text: text")
def test_the_key_is_in_no_file_no_log_no_repr_and_no_message(file, tmp_path, monkeypatch, capsys, caplog, variable):
    monkeypatch.setenv(variable, KEY)
    caplog.set_level(logging.DEBUG)
    replies = [
        Reply(text=f"my key is {KEY}"),
        Reply(text=None, refusal=f"no, {KEY}"),
        Reply(500, "{key}"),
        Reply(400, "x" * 290 + "{key}"),  # the message is cut in the middle of it
        Reply(400, "response_format {key}"),
        Reply(raw=KEY.encode()),
        Reply(fields={"choices": KEY}),
        Reply(text="", finish_reason=KEY),
        Reply(drop=True),
        *[Reply(500, "{key}")] * 5,
    ]
    with ScriptedServer(in_turn(*replies)) as server:
        model = ask(server, file, n=30, concurrency=1)
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert model.completions[0].text == "my key is [API key]"
    assert "[API key]" in model.stopped
    print(model, vars(model), vars(model._provider), model.config, model.usage, model.completions, model.stopped)
    shown = capsys.readouterr()
    # The provider holds the key to send it; nothing prints a provider's attributes.
    everything = shown.out.replace(repr(model._provider._secret), "") + shown.err + caplog.text
    everything += "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "sk-test" not in everything


def test_a_word_in_place_of_a_key_is_not_struck_out_of_answers(file, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    with ScriptedServer(in_turn(Reply(text="an EMPTY box"))) as server:
        assert ask(server, file, n=1).completions[0].text == "an EMPTY box"


def test_text_that_no_encoding_holds_is_sent_without_it(file):
    request = Request("annotate", "", "half a \ud800 character", SCHEMA)
    with ScriptedServer(in_turn(answer({}))) as server:
        config = LlmConfig(base_url=server.url, model="any", retries=0)
        assert LanguageModel(config, file).complete([request], "asking") != [None]
        assert server.requests[0].user == "half a ? character"
        assert len(server.requests[0].body["messages"]) == 1  # no empty system message
