"""A question to a language model, its identity, and what comes back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Request:
    """One question.

    Attributes
    ----------
    task : the step that asks, such as ``annotate``; letters, digits, ``_`` and ``-``.
    system, user : the two messages.
    schema : JSON schema that the answer should follow.
    max_tokens : tokens of the answer at most; 0 takes the configuration's.
    """

    task: str
    system: str
    user: str
    schema: dict[str, Any]
    max_tokens: int = 0

    def key(self, model: str) -> str:
        """SHA-256 over the model's name and all that it is asked; with no name, over the question alone.

        Neither address nor prices are part of it: the answers of one machine serve another. The order of the schema's
        properties is, as a model answers in that order.
        """
        asked = [model, self.task, self.system, self.user, self.schema, self.max_tokens]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()

    def system_with_schema(self) -> str:
        """The system message with the schema in words, for a model that cannot be held to one."""
        schema = json.dumps(self.schema, ensure_ascii=False)
        return f"{self.system}\n\nAnswer with one JSON object alone, of this JSON schema:\n{schema}".strip()

    def estimated_tokens(self) -> int:
        """Tokens of the prompt, at three bytes a token: English has about four, and CJK characters have three bytes."""
        return tokens_of(self.system_with_schema() + self.user)


@dataclass(frozen=True)
class Completion:
    """A finished answer, useful or not.

    Attributes
    ----------
    finish_reason : why the model ended: ``stop``, ``length`` where the answer is cut, ``refusal``, or the server's own.
    """

    text: str
    input_tokens: int
    output_tokens: int
    finish_reason: str


class Unanswered(Exception):
    """A question that got no answer, though another may; the message is one line without secrets."""


class Provider(Protocol):
    """What answers: a server or a model in this process."""

    concurrency: int

    def ask(self, request: Request) -> Completion:
        """Answer one question; called from several threads.

        Raises
        ------
        Unanswered : this question failed.
        TeleclassError : every question would.
        """


def tokens_of(text: str) -> int:
    """A cautious estimate of a text's tokens."""
    return len(text.encode("utf-8", "replace")) // 3 + 1
