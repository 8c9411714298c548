"""The append-only file that paid answers are kept in: JSON lines, found again by the key of their question."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from threading import Lock
from typing import Any

from teleclass.errors import InputError
from teleclass.runtime.llm.request import Completion, Request

BEGINNING = b'{"key": "'
"""How each line of ours begins: a last line that begins so was cut by a crash, any other is somebody else's."""


class AnswerFile:
    """Kept answers. Threads and processes may share the file: each answer is one whole line, and the first one counts.

    Parameters
    ----------
    path : the file; a missing one is made, readable by its owner alone, when the first answer is kept.
    """

    def __init__(self, path: Path):
        self.path = path
        self._answers: dict[str, Completion] = {}
        self._lock = Lock()
        self._read_bytes = 0
        self._read_lines = 0

    def get(self, key: str) -> Completion | None:
        """The answer kept under ``Request.key(model)``, or under ``Request.key("")`` from whichever model."""
        return self._answers.get(key)

    def refresh(self, must_exist: bool = False) -> None:
        """Read what was added since the last time.

        Raises
        ------
        InputError : the file cannot be read, or a line of it is no answer.
        """
        try:
            with self._lock, self.path.open("rb") as stream:
                stream.seek(self._read_bytes)
                self._take(stream.read())
        except FileNotFoundError:
            if must_exist:
                raise InputError("the file does not exist; check llm.replay", self.path) from None
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", self.path) from None

    def prepare(self) -> None:
        """Make the file, so that a place that cannot be written is told before anything is paid for.

        Raises
        ------
        InputError : it cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(self._open())
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", self.path) from None

    def add(self, request: Request, model: str, completion: Completion) -> Completion:
        """Keep an answer on the disk; returns the one that counts, as another process may have been first.

        Raises
        ------
        InputError : the file cannot be written, or another process wrote into it what is no answer.
        """
        key = request.key(model)
        record = {
            "key": key,
            "request": request.key(""),
            "model": model,
            "task": request.task,
            "text": completion.text,
            "finish_reason": completion.finish_reason,
            "input_tokens": completion.input_tokens,
            "output_tokens": completion.output_tokens,
        }
        try:
            with self._lock:
                descriptor = self._open()
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                    if key not in self._catch_up(descriptor):
                        self._append(descriptor, json.dumps(record).encode() + b"\n")
                        self._keep(record)
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", self.path) from None
        return self._answers[key]

    def _open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)

    def _catch_up(self, descriptor: int) -> dict[str, Completion]:
        """Read what other processes added and mend the end of the file; the caller holds the lock on it."""
        size = os.fstat(descriptor).st_size
        tail = self._take(os.pread(descriptor, size - self._read_bytes, self._read_bytes))
        if tail and _record(tail) is None:
            os.ftruncate(descriptor, self._read_bytes)
        elif tail:
            self._append(descriptor, b"\n", before=len(tail))
        return self._answers

    def _append(self, descriptor: int, line: bytes, before: int = 0) -> None:
        view = memoryview(line)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
        self._read_bytes += before + len(line)
        self._read_lines += 1

    def _take(self, content: bytes) -> bytes:
        """Take in the whole lines of what follows the bytes read so far; returns what stands after the last one."""
        *whole, tail = content.split(b"\n")
        for line in whole:
            record = _record(line)
            if record is None and line.strip():
                problem = "is no kept answer of a language model; mend or remove the line"
                raise InputError(problem, self.path, self._read_lines + 1)
            if record is not None:
                self._keep(record)
            self._read_bytes += len(line) + 1
            self._read_lines += 1
        if tail and (record := _record(tail)):
            self._keep(record)
        elif not tail.startswith(BEGINNING[: len(tail)]):
            raise InputError("is no kept answer of a language model", self.path, self._read_lines + 1)
        return tail

    def _keep(self, record: dict[str, Any]) -> None:
        completion = Completion(
            record["text"], record["input_tokens"], record["output_tokens"], record["finish_reason"]
        )
        self._answers.setdefault(record["key"], completion)
        if isinstance(record.get("request"), str):
            self._answers.setdefault(record["request"], completion)


def _record(line: bytes) -> dict[str, Any] | None:
    """A line's content, or None where it is no kept answer."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None
    if not isinstance(record, dict):
        return None
    texts = all(isinstance(record.get(name), str) for name in ("key", "text", "finish_reason"))
    counts = all(type(record.get(name)) is int and record[name] >= 0 for name in ("input_tokens", "output_tokens"))
    return record if texts and counts else None
