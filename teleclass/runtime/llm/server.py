"""An OpenAI-compatible server, by OpenAI's own SDK, which retries, backs off and times out."""

from __future__ import annotations

import os
import re
from typing import Any

from teleclass.errors import TeleclassError
from teleclass.runtime.llm.config import LlmConfig
from teleclass.runtime.llm.request import Completion, Request, Unanswered, tokens_of

KEY_VARIABLES = ("TELECLASS_LLM_API_KEY", "OPENAI_API_KEY")
PLACEHOLDER = "none"
"""Sent to servers that ask for no key, as the SDK insists on one."""

SHORTEST_SECRET = 6
"""Shorter keys are words such as EMPTY for a server without keys; struck out, they would spoil its answers."""

SEED = 42
FORMS = ("json_schema", "json_object", "")
"""Ways to ask for JSON, the strictest first."""

ABOUT_FORM = re.compile(r"response[_ ]?format|json[_ ]?(schema|object|mode)|structured|grammar|guided", re.IGNORECASE)
ABOUT_PARAMETER = re.compile(r"unsupported|not support", re.IGNORECASE)
PARAMETERS = ("max_tokens", "temperature", "seed")
"""Left out when a server says that it does not support them; reasoning models take max_completion_tokens instead."""


class Server:
    """The server of ``llm.base_url``, or OpenAI's; it remembers which form of question the server takes."""

    def __init__(self, config: LlmConfig):
        openai = import_openai()
        key = api_key(config)
        self.concurrency = config.concurrency
        self._config = config
        self._secret = key if len(key) >= SHORTEST_SECRET else ""
        self._errors = openai
        self._client = openai.OpenAI(
            api_key=key, base_url=config.base_url or None, timeout=config.timeout, max_retries=config.retries
        )
        self._form = 0
        self._left_out: frozenset[str] = frozenset()

    def ask(self, request: Request) -> Completion:
        """Ask one question, in the strictest form that the server takes.

        Raises
        ------
        Unanswered : the call failed, or what came back is no answer.
        TeleclassError : the server refused the key or does not know the model.
        """
        form, left_out = self._form, self._left_out
        while True:
            try:
                answer = self._client.chat.completions.create(**self._body(request, FORMS[form], left_out))
                break
            except self._errors.APIStatusError as error:
                message = self._told(error)
                if error.status_code in (401, 403, 404):
                    raise TeleclassError(self._advice(error.status_code, message)) from None
                parameter = _parameter_at_fault(message) if error.status_code in (400, 422) else ""
                if error.status_code in (400, 422) and ABOUT_FORM.search(message) and form + 1 < len(FORMS):
                    form += 1
                elif parameter and parameter not in left_out:
                    left_out |= {parameter}
                else:
                    raise Unanswered(f"HTTP {error.status_code}: {message}") from None
            except (self._errors.OpenAIError, ValueError, TypeError, AttributeError) as error:
                # A body that is no JSON, or JSON of another shape, ends in whichever error the SDK stumbles over.
                raise Unanswered(self._told(error)) from None
        self._form, self._left_out = form, left_out
        return self._completion(request, answer)

    def _body(self, request: Request, form: str, left_out: frozenset[str]) -> dict[str, Any]:
        system = request.system if form == "json_schema" else request.system_with_schema()
        body: dict[str, Any] = {
            "model": self._config.model,
            "messages": [
                {"role": role, "content": content.encode("utf-8", "replace").decode()}
                for role, content in (("system", system), ("user", request.user))
                if content
            ],
            "temperature": 0,
            "seed": SEED,
            "max_tokens": request.max_tokens,
        }
        body = {name: value for name, value in body.items() if name not in left_out}
        if "max_tokens" in left_out:
            body["max_completion_tokens"] = request.max_tokens
        if form == "json_schema":
            named = {"name": request.task, "strict": True, "schema": request.schema}
            body["response_format"] = {"type": form, form: named}
        elif form:
            body["response_format"] = {"type": form}
        return body

    def _completion(self, request: Request, answer: Any) -> Completion:
        choices = getattr(answer, "choices", None)
        choice = choices[0] if isinstance(choices, list) and choices else None
        message: Any = getattr(choice, "message", None)
        if not hasattr(message, "content"):
            fault = getattr(answer, "error", None)  # some servers send their faults as HTTP 200
            if isinstance(fault, dict) and fault.get("message"):
                raise Unanswered(self._line(str(fault["message"])))
            raise Unanswered("the server's answer holds no choice; check that llm.base_url ends in /v1")
        text, reason = message.content, str(getattr(choice, "finish_reason", None) or "stop")
        if text is None and getattr(message, "refusal", None):
            text, reason = message.refusal, "refusal"
        if not isinstance(text, str | None):
            raise Unanswered("the server's answer holds no text")
        text, reason = self._redact(text or ""), self._redact(reason)
        used = getattr(answer, "usage", None)
        return Completion(
            text,
            _count(getattr(used, "prompt_tokens", None), request.estimated_tokens()),
            _count(getattr(used, "completion_tokens", None), tokens_of(text)),
            reason,
        )

    def _told(self, error: Exception) -> str:
        """What a fault says, in one line without the key."""
        body = getattr(error, "body", None)
        said = body.get("message") or body.get("detail") if isinstance(body, dict) else None
        cause = error.__cause__ if isinstance(error, self._errors.APIConnectionError) else None
        return self._line(f"{said or error}" + (f" ({cause})" if cause else ""))

    def _line(self, text: str) -> str:
        """One line without the key, which is struck out before the line is cut."""
        text = self._redact(text)
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return line if len(line) <= 300 else line[:299] + "…"

    def _redact(self, text: str) -> str:
        return text.replace(self._secret, "[API key]") if self._secret else text

    def _advice(self, status: int, message: str) -> str:
        if status == 404:
            advice = f"check --llm.model {self._config.model} and --llm.base_url, which usually ends in /v1"
        else:
            advice = f"set {KEY_VARIABLES[0]} to a key that may use {self._config.model}"
        return f"the language model server answered HTTP {status}: {message.rstrip('.')}; {advice}"


def import_openai() -> Any:
    """The SDK, which is an optional extra.

    Raises
    ------
    TeleclassError : it is not installed.
    """
    try:
        import openai
    except ImportError:
        raise TeleclassError("--llm.model needs the package openai: pip install 'teleclass[llm]'") from None
    return openai


def api_key(config: LlmConfig) -> str:
    """The key from the environment, or a placeholder for a server of the user's own.

    Raises
    ------
    TeleclassError : OpenAI's own server without a key, or a key with characters that none has.
    """
    for name in KEY_VARIABLES:
        if key := os.environ.get(name, "").strip():
            if not re.fullmatch(r"[!-~]+", key):
                raise TeleclassError(f"the API key in {name} holds a blank or another character that no key has")
            return key
    if not config.base_url:
        names = " or ".join(KEY_VARIABLES)
        raise TeleclassError(f"--llm.model needs an API key in {names}, or --llm.base_url of a server without keys")
    return PLACEHOLDER


def _parameter_at_fault(message: str) -> str:
    if not ABOUT_PARAMETER.search(message):
        return ""
    return next((name for name in PARAMETERS if re.search(rf"\b{name}\b", message)), "")


def _count(value: Any, otherwise: int) -> int:
    return value if type(value) is int and value >= 0 else otherwise
