"""The file of kept answers: cut, torn, shared, foreign."""

from __future__ import annotations

import json
import multiprocessing
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleclass.errors import InputError
from teleclass.runtime.llm import AnswerFile, Completion, Request

MODEL = "m"


def question(user: str = "hello") -> Request:
    return Request("annotate", "be brief", user, {"type": "object"}, 16)


def answer(text: str = "{}") -> Completion:
    return Completion(text, 7, 2, "stop")


def reopened(path: Path) -> AnswerFile:
    answers = AnswerFile(path)
    answers.refresh()
    return answers


@pytest.mark.parametrize(
    "other",
    [
        Request("enrich", "s", "u", {"a": 1}, 5),
        Request("annotate", "S", "u", {"a": 1}, 5),
        Request("annotate", "s", "U", {"a": 1}, 5),
        Request("annotate", "s", "u", {"a": 2}, 5),
        Request("annotate", "s", "u", {"a": 1}, 6),
        Request("annotate", "su", "", {"a": 1}, 5),
    ],
)
def test_the_key_changes_with_each_part_of_the_question(other):
    one = Request("annotate", "s", "u", {"a": 1}, 5)
    assert one.key("m") == Request("annotate", "s", "u", {"a": 1}, 5).key("m")
    assert len({one.key("m"), one.key("n"), one.key(""), other.key("m"), other.key("n"), other.key("")}) == 6


def test_an_answer_is_found_under_its_key_and_under_its_question_alone(tmp_path):
    path = tmp_path / "deep" / "answers.jsonl"
    answers = AnswerFile(path)
    answers.prepare()
    given = answer("äöü \u2028 😀 \ud800 \n")
    assert answers.add(question(), MODEL, given) == given
    again = reopened(path)
    assert again.get(question().key(MODEL)) == given
    assert again.get(question().key("")) == given
    assert again.get(question().key("another")) is None
    (record,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert list(record) == [
        "key", "request", "model", "task", "text", "finish_reason", "input_tokens", "output_tokens",
    ]  # fmt: skip


def test_the_file_is_the_owners_alone(tmp_path):
    answers = AnswerFile(tmp_path / "answers.jsonl")
    answers.add(question(), MODEL, answer())
    assert stat.S_IMODE(answers.path.stat().st_mode) == 0o600


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4, unique=True), st.data())
@settings(max_examples=60, deadline=None)
@pytest.mark.twin("teleclass.runtime.llm.answers:AnswerFile._catch_up=lambda self, _: self._answers")
def test_cut_anywhere_the_whole_answers_are_read_and_the_file_is_mended(tmp_path_factory, texts, data):
    path = tmp_path_factory.mktemp("cut") / "answers.jsonl"
    whole = AnswerFile(path)
    for text in texts:
        whole.add(question(text), MODEL, answer(text))
    content = path.read_bytes()
    length = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:length])
    ends = [len(b"\n".join(content.split(b"\n")[: n + 1])) for n in range(len(texts))]
    survivors = sum(end <= length for end in ends)

    cut = reopened(path)
    found = [cut.get(question(text).key(MODEL)) for text in texts]
    assert found == [answer(text) for text in texts[:survivors]] + [None] * (len(texts) - survivors)
    for text in texts[survivors:]:
        cut.add(question(text), MODEL, answer(text))
    cut.add(question("one more \n"), MODEL, answer("more"))
    assert path.read_bytes().startswith(content)
    assert [json.loads(line)["text"] for line in path.read_bytes().splitlines()] == [*texts, "more"]
    assert reopened(path).get(question(texts[-1]).key(MODEL)) == answer(texts[-1])


def test_reading_alone_leaves_a_cut_file_as_it_is(tmp_path):
    path = tmp_path / "answers.jsonl"
    AnswerFile(path).add(question(), MODEL, answer())
    content = path.read_bytes() + b'{"key": "ab'
    path.write_bytes(content)
    reopened(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "line",
    [
        b"not JSON",
        b"[]",
        b"{}",
        b'{"key": "ab", "text": "cut in the mi',
        b'{"key": "ab", "text": null, "finish_reason": "stop", "input_tokens": 1, "output_tokens": 1}',
        b'{"key": "ab", "text": "", "finish_reason": "stop", "input_tokens": -1, "output_tokens": 1}',
        b'{"key": "ab", "text": "", "finish_reason": "stop", "input_tokens": true, "output_tokens": 1}',
        b'{"key": "ab", "text": "", "finish_reason": "stop", "output_tokens": 1}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"key": ' + b"9" * 5_000 + b"}",
    ],
    ids=lambda line: repr(line[:30]),
)
def test_a_broken_line_is_told_with_file_and_line(tmp_path, line):
    path = tmp_path / "answers.jsonl"
    AnswerFile(path).add(question(), MODEL, answer())
    good = path.read_bytes()
    path.write_bytes(good + b"\n" + line + b"\n" + good)
    with pytest.raises(InputError, match="no kept answer") as fault:
        reopened(path)
    assert (fault.value.file, fault.value.line) == (str(path), 3)


def test_a_file_of_another_kind_is_never_cut(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes")
    for use in (lambda: reopened(path), lambda: AnswerFile(path).add(question(), MODEL, answer())):
        with pytest.raises(InputError, match="no kept answer"):
            use()
    assert path.read_text() == "my notes"


def test_a_line_without_question_or_from_an_editor_is_read(tmp_path):
    path = tmp_path / "answers.jsonl"
    record = {"key": "k", "text": "t", "finish_reason": "stop", "input_tokens": 1, "output_tokens": 2}
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(record).encode() + b"\r\n\r\n")
    assert reopened(path).get("k") == Completion("t", 1, 2, "stop")


def test_the_first_of_two_answers_counts(tmp_path):
    path = tmp_path / "answers.jsonl"
    one, other = reopened(path), reopened(path)
    assert one.add(question(), MODEL, answer("first")).text == "first"
    assert other.add(question(), MODEL, answer("second")).text == "first"
    assert reopened(path).get(question().key(MODEL)).text == "first"
    assert len(path.read_bytes().splitlines()) == 1


def test_what_another_process_adds_is_seen(tmp_path):
    path = tmp_path / "answers.jsonl"
    one = reopened(path)
    AnswerFile(path).add(question(), MODEL, answer())
    assert one.get(question().key(MODEL)) is None
    one.refresh()
    assert one.get(question().key(MODEL)) == answer()


def test_threads_never_mix_their_lines(tmp_path):
    answers = AnswerFile(tmp_path / "answers.jsonl")

    def add(thread: int) -> None:
        for number in range(20):
            answers.add(question(f"{thread} {number}"), MODEL, answer("x" * 5_000))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = answers.path.read_bytes().splitlines()
    assert len({json.loads(line)["key"] for line in lines}) == len(lines) == 160


def _add_many(path: Path, process: int) -> None:
    answers = AnswerFile(path)
    for number in range(30):
        answers.add(question(f"{process} {number}"), MODEL, answer("x" * 20_000))


def test_processes_never_mix_their_lines(tmp_path):
    path = tmp_path / "answers.jsonl"
    AnswerFile(path).add(question("cut"), MODEL, answer("x" * 1_000))
    path.write_bytes(path.read_bytes()[:500])  # each of them may find the cut line first
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_add_many, args=(path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len({json.loads(line)["key"] for line in path.read_bytes().splitlines()}) == 90


@pytest.mark.parametrize("place", ["a folder", "below a file"])
def test_a_place_that_cannot_be_written_is_told(tmp_path, place):
    path = tmp_path
    if place == "below a file":
        (tmp_path / "file").write_text("")
        path = tmp_path / "file" / "answers.jsonl"
    with pytest.raises(InputError, match="cannot be written") as fault:
        AnswerFile(path).prepare()
    assert fault.value.file == str(path)


def test_a_full_disk_is_told_and_the_next_answer_is_whole(tmp_path, monkeypatch):
    answers = AnswerFile(tmp_path / "answers.jsonl")
    answers.add(question("a"), MODEL, answer())
    import os

    write = os.write

    def full(descriptor: int, content: bytes) -> int:
        if len(content) < 50:
            raise OSError(28, "No space left on device")
        return write(descriptor, bytes(content)[:50])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        answers.add(question("b"), MODEL, answer())
    monkeypatch.undo()
    answers.add(question("c"), MODEL, answer())
    again = reopened(answers.path)
    assert [again.get(question(user).key(MODEL)) for user in "abc"] == [answer(), None, answer()]
