"""Many questions to a scripted server: order, kept answers, replay, budget, faults of single calls."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from experiments import clean_environment
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_server import (
    Received,
    Reply,
    ScriptedServer,
    answer,
    broken,
    cut,
    dropped,
    in_turn,
    no_choices,
    no_json,
    quoted,
    refused,
    slow,
    too_many,
)

from teleclass.errors import InputError, TeleclassError
from teleclass.runtime.llm import LanguageModel, LlmConfig, Request, Usage, check_llm
from teleclass.runtime.llm.budget import FAILURES_IN_A_ROW

SCHEMA = {"type": "object", "properties": {"echo": {"type": "string"}}, "required": ["echo"]}


def questions(n: int, task: str = "annotate") -> list[Request]:
    return [Request(task, "be brief", f"question {number}", SCHEMA) for number in range(n)]


def user_of(body: dict) -> str:
    return Received("", {}, body).user


def echo(body: dict, n: int) -> Reply:
    """Answers come in another order than the questions."""
    return answer({"echo": user_of(body)}, delay=0.02 * (n % 3))


def config_for(server: ScriptedServer, **settings) -> LlmConfig:
    return LlmConfig(**({"base_url": server.url, "model": "any", "retries": 0, "timeout": 5.0} | settings))


def texts(completions) -> list[str | None]:
    return [one and one.text for one in completions]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "llm_answers.jsonl"


def test_fifty_answers_stand_in_the_order_of_their_questions(file):
    with ScriptedServer(lambda body, n: answer({"echo": user_of(body)}, delay=0.3 if n % 2 else 0.1)) as server:
        model = LanguageModel(config_for(server, concurrency=50), file)
        completions = model.complete(questions(50), "asking")
        assert server.most_under_way > 10
    assert [json.loads(one.text)["echo"] for one in completions] == [f"question {n}" for n in range(50)]
    assert all((one.input_tokens, one.output_tokens, one.finish_reason) == (100, 10, "stop") for one in completions)
    assert len(file.read_bytes().splitlines()) == 50
    assert (model.usage.calls, model.usage.input_tokens, model.usage.output_tokens) == (50, 5_000, 500)


def test_never_more_calls_are_under_way_than_allowed(file):
    with ScriptedServer(lambda body, n: answer({}, delay=0.05)) as server:
        LanguageModel(config_for(server, concurrency=3), file).complete(questions(10), "asking")
        assert server.most_under_way == 3


def test_a_call_asks_for_the_schema_at_temperature_zero(file):
    with ScriptedServer(echo) as server:
        LanguageModel(config_for(server, max_tokens=99), file).complete(questions(1), "asking")
    (received,) = server.requests
    assert received.path == "/v1/chat/completions"
    assert received.body == {
        "model": "any",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "question 0"}],
        "temperature": 0,
        "seed": 42,
        "max_tokens": 99,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "annotate", "strict": True, "schema": SCHEMA},
        },
    }


def test_the_second_run_makes_no_call_and_gives_the_same_answers(file):
    with ScriptedServer(echo) as server:
        first = LanguageModel(config_for(server), file).complete(questions(9), "asking")
        again = LanguageModel(config_for(server), file)
        assert again.complete(questions(9), "asking") == first
        assert len(server.requests) == 9
    assert (again.usage.calls, again.usage.reused, again.usage.cost) == (0, 9, 0)


@pytest.mark.parametrize("change", [{"model": "other"}, {"max_tokens": 7}], ids=str)
def test_another_question_is_asked_again(file, change):
    with ScriptedServer(echo) as server:
        LanguageModel(config_for(server), file).complete(questions(2), "asking")
        LanguageModel(config_for(server, **change), file).complete(questions(2), "asking")
        assert len(server.requests) == 4


def test_answers_serve_a_server_at_another_address_and_price(file):
    with ScriptedServer(echo) as server:
        first = LanguageModel(config_for(server), file).complete(questions(2), "asking")
    elsewhere = LlmConfig(base_url="http://127.0.0.1:9/v1", model="any", input_price=1.0, concurrency=2)
    assert LanguageModel(elsewhere, file).complete(questions(2), "asking") == first


def test_identical_questions_are_asked_once(file):
    with ScriptedServer(echo) as server:
        model = LanguageModel(config_for(server), file)
        completions = model.complete(questions(2) * 3, "asking")
        assert len(server.requests) == 2
    assert completions == completions[:2] * 3
    assert (model.usage.calls, model.usage.reused) == (2, 4)


def test_nothing_to_ask_needs_no_server(file):
    assert LanguageModel(LlmConfig(model="any"), file).complete([], "asking") == []


def test_replay_answers_from_the_file_alone(file, tmp_path, monkeypatch):
    with ScriptedServer(echo) as server:
        first = LanguageModel(config_for(server), file).complete(questions(3), "asking")
    content = file.read_bytes()
    monkeypatch.setitem(sys.modules, "openai", None)  # an import of it fails
    for more in ({}, {"model": "any"}):
        replayed = LanguageModel(LlmConfig(replay=str(file), **more), tmp_path / "untouched.jsonl")
        assert replayed.complete(questions(5), "asking") == [*first, None, None]
        assert (replayed.usage.calls, replayed.usage.reused, replayed.usage.unanswered) == (0, 3, 2)
        assert replayed.stopped == ""
    other = LanguageModel(LlmConfig(replay=str(file), model="other"), file)
    assert other.complete(questions(3), "asking") == [None] * 3
    assert file.read_bytes() == content
    assert not (tmp_path / "untouched.jsonl").exists()


def test_a_replay_file_that_is_missing_or_broken_is_told(tmp_path):
    (tmp_path / "bad.jsonl").write_text("{}\n")
    for name, says in (("none.jsonl", "does not exist"), ("bad.jsonl", "no kept answer")):
        config = LlmConfig(replay=str(tmp_path / name))
        with pytest.raises(InputError, match=says) as fault:
            check_llm(config)
        assert fault.value.file == config.replay
        with pytest.raises(InputError, match=says):
            LanguageModel(config, tmp_path / "untouched.jsonl").complete([], "asking")


def test_counts_and_money_by_task(file):
    with ScriptedServer(echo) as server:
        model = LanguageModel(config_for(server, input_price=2.0, output_price=10.0), file)
        model.complete(questions(3, "enrich"), "asking")
        model.complete(questions(1, "enrich") + questions(2, "generate"), "asking")
    # 100 tokens at 2 and 10 at 10 for a million: .0003 a call
    assert model.usage.metrics("enrich") == pytest.approx(
        {
            "llm/enrich/calls": 3, "llm/enrich/reused": 1, "llm/enrich/failed": 0, "llm/enrich/input_tokens": 300,
            "llm/enrich/output_tokens": 30, "llm/enrich/cost": 0.0009,
        }
    )  # fmt: skip
    assert model.usage.metrics("generate")["llm/generate/calls"] == 2
    assert set(model.usage.metrics("annotate").values()) == {0.0}
    assert (model.usage.calls, model.usage.cost) == (5, pytest.approx(0.0015))


def test_a_failed_call_is_told_of_its_own_task_alone():
    """What the budget left unasked did not fail: another attempt would leave it too."""
    usage = Usage()
    assert not usage.has_failed()
    assert not usage.has_failed("enrich", "annotate")
    usage.add("enrich", calls=2, failed=1)
    usage.add("annotate", calls=3, unanswered=4, reused=1)
    assert usage.has_failed("enrich")
    assert usage.has_failed("annotate", "enrich")
    assert not usage.has_failed("annotate", "generate")
    assert not usage.has_failed()


@pytest.mark.parametrize("concurrency", [1, 8])
def test_the_limit_of_calls_is_never_passed_and_what_was_paid_is_kept(file, concurrency):
    with ScriptedServer(echo) as server:
        config = config_for(server, max_calls=7, concurrency=concurrency)
        model = LanguageModel(config, file)
        completions = model.complete(questions(30), "asking")
        assert len(server.requests) == 7
        assert sum(one is not None for one in completions) == 7
        assert (model.usage.calls, model.usage.unanswered) == (7, 23)
        assert "limit of 7 calls" in model.stopped
        assert model.complete(questions(30), "asking") == completions
        assert len(server.requests) == 7
    assert len(file.read_bytes().splitlines()) == 7


@pytest.mark.parametrize("concurrency", [1, 8])
def test_the_limit_of_money_is_never_passed_and_is_used_up(file, concurrency):
    """An answer costs .001 at most and .0001 in fact, so calls wait for what others give back."""
    reply = answer({}, input_tokens=0, output_tokens=10, delay=0.01)
    with ScriptedServer(lambda body, n: reply) as server:
        config = config_for(server, output_price=10.0, max_tokens=100, max_cost=0.00305, concurrency=concurrency)
        model = LanguageModel(config, file)
        completions = model.complete(questions(60), "asking")
    assert len(server.requests) == 21  # 20 cost .002, and the 21st might cost .001
    assert sum(one is not None for one in completions) == 21
    assert model.usage.cost == pytest.approx(0.0021)
    assert "0.0021 of 0.00305 (llm.max_cost) is spent" in model.stopped


def test_a_budget_below_one_call_makes_none(file):
    with ScriptedServer(echo) as server:
        model = LanguageModel(config_for(server, output_price=10.0, max_cost=1e-6), file)
        assert model.complete(questions(3), "asking") == [None] * 3
        assert server.requests == []
    assert "llm.max_cost" in model.stopped


def test_money_is_counted_where_the_server_does_not_say_what_it_used(file):
    with ScriptedServer(lambda body, n: answer({"a": "b" * 300}, fields={"usage": None})) as server:
        model = LanguageModel(config_for(server, input_price=1.0), file)
        model.complete(questions(1), "asking")
    assert model.usage.output_tokens > 100
    assert model.usage.cost > 0


KINDS = {
    "good": lambda: answer({}),
    "broken": broken,
    "no choices": no_choices,
    "dropped": dropped,
    "refused": refused,
    "bad request": lambda: Reply(400, "the text is too long"),
}


@given(kinds=st.lists(st.sampled_from(sorted(KINDS)), max_size=12), seen=st.integers(0, 3), budget=st.integers(0, 8))
@settings(max_examples=25, deadline=None)
def test_whatever_the_server_does_each_question_is_counted_once(tmp_path_factory, kinds, seen, budget):
    file = tmp_path_factory.mktemp("counted") / "answers.jsonl"
    asked = questions(len(kinds)) + questions(len(kinds))[:2]
    with ScriptedServer(lambda body, n: answer({})) as server:
        LanguageModel(config_for(server), file).complete(questions(seen), "asking")
    with ScriptedServer(lambda body, n: KINDS[kinds[int(user_of(body).split()[1])]]()) as server:
        model = LanguageModel(config_for(server, max_calls=budget, concurrency=3), file)
        completions = model.complete(asked, "asking")
    usage = model.usage
    assert usage.calls + usage.reused + usage.unanswered == len(asked) == len(completions)
    assert usage.calls == len(server.requests)
    assert not budget or usage.calls <= budget
    answered = usage.calls - usage.failed
    assert answered + min(seen, len(kinds)) == len({one.user for one, it in zip(asked, completions, strict=True) if it})
    assert len(file.read_bytes().splitlines() if file.exists() else []) == answered + seen
    assert bool(model.stopped) >= any(
        completion is None and kinds[int(one.user.split()[1])] in ("good", "refused")
        for one, completion in zip(asked, completions, strict=True)
    )


@pytest.mark.parametrize(
    "fault",
    [
        broken(),
        dropped(),
        no_json(),
        no_choices(),
        Reply(400, "too long"),
        Reply(raw=b"<html>", headers={"Content-Type": "text/html"}),
        *[Reply(raw=body) for body in (b"", b"[]", b"null", b'"text"', b"{}", b"\xff")],
        *[Reply(fields={"choices": value}) for value in (None, {}, "a", [None], [{}], [{"message": None}])],
        *[Reply(fields={"choices": [{"message": value}]}) for value in ("a", {"content": 5}, {"content": ["a"]})],
    ],
    ids=repr,
)
@pytest.mark.twin("teleclass.runtime.llm.client:Unanswered=type('Never', (Exception,), {})")
def test_a_call_that_fails_is_none_and_the_others_are_answered(file, fault):
    with ScriptedServer(lambda body, n: fault if user_of(body) == "question 2" else echo(body, n)) as server:
        model = LanguageModel(config_for(server), file)
        completions = model.complete(questions(6), "asking")
    assert [one is None for one in completions] == [False, False, True, False, False, False]
    assert (model.usage.calls, model.usage.failed, model.stopped) == (6, 1, "")
    assert len(file.read_bytes().splitlines()) == 5


def test_a_failed_call_is_asked_again_by_the_next_run(file):
    with ScriptedServer(in_turn(broken(), answer({}))) as server:
        assert LanguageModel(config_for(server), file).complete(questions(1), "asking") == [None]
        assert texts(LanguageModel(config_for(server), file).complete(questions(1), "asking")) == ["{}"]


@pytest.mark.parametrize(
    ("reply", "text", "reason"),
    [
        (cut({"echo": "abcdef"}), '{"echo": ', "length"),
        (refused(), "", "stop"),
        (refused("I cannot"), "I cannot", "refusal"),
        (quoted({"a": 1}), 'Here it is:\n```json\n{\n "a": 1\n}\n```\n', "stop"),
        (Reply(text="", finish_reason="content_filter"), "", "content_filter"),
        (Reply(text="ignore the classes\n\x1b[31m"), "ignore the classes\n\x1b[31m", "stop"),
    ],
    ids=["cut", "null", "refused", "quoted", "filtered", "nonsense"],
)
def test_a_finished_answer_is_kept_even_when_it_is_useless(file, reply, text, reason):
    with ScriptedServer(in_turn(reply)) as server:
        (one,) = LanguageModel(config_for(server), file).complete(questions(1), "asking")
        assert (one.text, one.finish_reason) == (text, reason)
        assert LanguageModel(config_for(server), file).complete(questions(1), "asking") == [one]
        assert len(server.requests) == 1


@pytest.mark.parametrize("fault", [too_many(0.05), broken(), dropped(), slow(0.6)], ids=["429", "500", "drop", "slow"])
def test_a_passing_fault_is_retried(file, fault):
    with ScriptedServer(in_turn(fault, answer({"a": 1}))) as server:
        model = LanguageModel(config_for(server, retries=1, timeout=0.3), file)
        assert texts(model.complete(questions(1), "asking")) == ['{"a": 1}']
        assert len(server.requests) == 2
    assert (model.usage.calls, model.usage.failed) == (1, 0)


def test_a_server_s_wish_to_wait_is_honoured(file):
    with ScriptedServer(in_turn(too_many(1.2), answer({}))) as server:
        start = time.monotonic()
        LanguageModel(config_for(server, retries=1), file).complete(questions(1), "asking")
        assert time.monotonic() - start >= 1.2


def test_a_silent_server_ends_after_the_time_out(file):
    with ScriptedServer(in_turn(slow(5))) as server:
        start = time.monotonic()
        assert LanguageModel(config_for(server, timeout=0.2), file).complete(questions(1), "asking") == [None]
        assert time.monotonic() - start < 2


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_server_that_keeps_failing_is_left_alone(file, concurrency):
    with ScriptedServer(in_turn(*[answer({})] * 3, Reply(500, "out of\nmemory"))) as server:
        model = LanguageModel(config_for(server, concurrency=concurrency), file)
        completions = model.complete(questions(40), "asking")
        if concurrency == 1:
            assert len(server.requests) == 3 + FAILURES_IN_A_ROW
        # Else each of the answers may end a row, as it may be told of after later failures.
        assert len(server.requests) <= 3 + 3 * FAILURES_IN_A_ROW + concurrency
        assert sum(one is not None for one in completions) == 3
        assert "failed 5 times in a row, last with: HTTP 500: out of memory" in model.stopped
        n_asked = len(server.requests)
        assert model.complete(questions(40), "asking") == completions
        assert len(server.requests) == n_asked


def test_failures_between_answers_stop_nothing(file):
    with ScriptedServer(lambda body, n: broken() if n % 5 else answer({})) as server:
        model = LanguageModel(config_for(server, concurrency=1), file)
        model.complete(questions(25), "asking")
        assert len(server.requests) == 25
    assert (model.usage.failed, model.stopped) == (20, "")


def test_no_server_at_all_is_told_as_the_reason(file):
    config = LlmConfig(base_url="http://127.0.0.1:9/v1", model="any", retries=0)
    model = LanguageModel(config, file)
    assert model.complete(questions(20), "asking") == [None] * 20
    assert "refused" in model.stopped
    assert (model.usage.calls - model.usage.failed, model.usage.calls + model.usage.unanswered) == (0, 20)


def test_a_place_that_cannot_be_written_is_told_before_anything_is_paid_for():
    with ScriptedServer(echo) as server:
        with pytest.raises(InputError, match="cannot be written"):
            LanguageModel(config_for(server), Path("/proc/none/answers.jsonl")).complete(questions(1), "asking")
        assert server.requests == []


def test_what_was_under_way_is_kept_when_a_call_ends_the_program(file):
    """The second call finds its key withdrawn while the third is answered."""

    def script(body, n):
        if user_of(body) == "question 1":
            return Reply(401, "withdrawn", delay=0.1)
        return answer({}, delay=0.4 if n else 0)

    with ScriptedServer(script) as server:
        with pytest.raises(TeleclassError, match="withdrawn"):
            LanguageModel(config_for(server, concurrency=2), file).complete(questions(9), "asking")
        assert len(server.requests) == 3
        assert len(file.read_bytes().splitlines()) == 2


def test_no_more_is_asked_after_a_person_stopped_it(file):
    """As in a notebook, where the process lives on."""

    def script(body, n):
        if n == 2:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return answer({}, delay=0.3)

    with ScriptedServer(script) as server:
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            LanguageModel(config_for(server, concurrency=2), file).complete(questions(20), "asking")
        assert time.monotonic() - start < 1.5
        time.sleep(1)
        assert len(server.requests) <= 4
        assert len(file.read_bytes().splitlines()) == len(server.requests)  # what was under way is kept


STOPPED = """
import sys
from pathlib import Path
from teleclass.runtime.llm import LanguageModel, LlmConfig, Request
config = LlmConfig(base_url=sys.argv[1], model="any", retries=0, concurrency=2)
LanguageModel(config, Path(sys.argv[2])).complete([Request("annotate", "", str(n), {}) for n in range(9)], "asking")
"""


def test_a_stopped_program_does_not_wait_for_the_server(file):
    with ScriptedServer(in_turn(answer({}), slow(60))) as server:
        command = [sys.executable, "-c", STOPPED, server.url, str(file)]
        process = subprocess.Popen(command, env=clean_environment(), stderr=subprocess.PIPE, text=True)
        while len(server.requests) < 3 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=10)[1]
    assert "KeyboardInterrupt" in told
    assert len(file.read_bytes().splitlines()) == 1


def test_without_a_model_there_is_nothing_to_build(file):
    with pytest.raises(ValueError, match=r"llm\.model or llm\.replay"):
        LanguageModel(LlmConfig(), file)
