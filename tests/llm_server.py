"""A scripted OpenAI-compatible server on a real socket, for the real SDK to talk to.

>>> with ScriptedServer(lambda body, n: answer({"class": "fruit"})) as server:
...     options = ["--llm.base_url", server.url, "--llm.model", "any"]
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What the server sends.

    Parameters
    ----------
    text : the answer's content, None for null; with another status than 200 the error's message, in which ``{key}``
        is replaced by the key that the client sent.
    delay : seconds of silence before the reply.
    raw : a body to send as it is, in place of one made from ``text``.
    drop : close the connection without a reply.
    fields : replaces fields of the answer's body, such as ``choices`` or ``usage``.
    """

    status: int = 200
    text: str | None = ""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    finish_reason: str = "stop"
    raw: bytes | None = None
    drop: bool = False
    refusal: str | None = None
    input_tokens: int = 100
    output_tokens: int = 10
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Received:
    """One request that reached the server."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def user(self) -> str:
        """The user's message."""
        return next(one["content"] for one in self.body["messages"] if one["role"] == "user")

    @property
    def form(self) -> str:
        """The type of the response format asked for; empty where none was."""
        return self.body.get("response_format", {}).get("type", "")


Script = Callable[[dict[str, Any], int], Reply]
"""Takes a request's body and its number, counted from 0; called from several threads."""


class ScriptedServer:
    """Serves while its ``with`` block runs; ``url`` is its address and ``requests`` what it has received."""

    def __init__(self, script: Script):
        self.script = script
        self.requests: list[Received] = []
        self.under_way = 0
        self.most_under_way = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> ScriptedServer:
        self._http = _Http(("127.0.0.1", 0), type("Handler", (_Handler,), {"scripted": self}))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def reply_to(self, received: Received) -> Reply:
        with self._lock:
            n = len(self.requests)
            self.requests.append(received)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        reply = self.script(received.body, n)
        self._closing.wait(reply.delay)
        with self._lock:
            self.under_way -= 1
        return reply


def answer(value: Any, **more: Any) -> Reply:
    """A good answer: a value as JSON."""
    return Reply(text=json.dumps(value), **more)


def quoted(value: Any) -> Reply:
    """A good answer in a Markdown fence, as small models write."""
    return Reply(text=f"Here it is:\n```json\n{json.dumps(value, indent=1)}\n```\n")


def cut(value: Any) -> Reply:
    """JSON that ended at the limit of tokens."""
    text = json.dumps(value)
    return Reply(text=text[: len(text) // 2], finish_reason="length")


def too_many(retry_after: float) -> Reply:
    return Reply(429, "Rate limit reached", {"Retry-After": str(retry_after)})


def broken() -> Reply:
    return Reply(500, "The server had an error")


def slow(seconds: float) -> Reply:
    return answer({}, delay=seconds)


def dropped() -> Reply:
    return Reply(drop=True)


def no_json() -> Reply:
    return Reply(raw=b"<html>Bad gateway</html>")


def no_choices() -> Reply:
    return Reply(fields={"choices": []})


def refused(words: str | None = None) -> Reply:
    """Content null; with ``words`` the refusal says them."""
    return Reply(text=None, refusal=words)


def key_refused() -> Reply:
    """401, echoing the key."""
    return Reply(401, "Incorrect API key provided: {key}.")


def unknown_model() -> Reply:
    return Reply(404, "The model `any` does not exist.")


def without_forms(script: Script, *forms: str) -> Script:
    """A server that refuses some types of response format with 400."""

    def first_the_form(body: dict[str, Any], n: int) -> Reply:
        form = body.get("response_format", {}).get("type", "")
        return Reply(400, f"response_format {form} is not supported") if form in forms else script(body, n)

    return first_the_form


def in_turn(*replies: Reply) -> Script:
    """One reply after the other; the last one for ever."""
    return lambda body, n: replies[min(n, len(replies) - 1)]


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is part of the play."""


class _Handler(BaseHTTPRequestHandler):
    scripted: ScriptedServer
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.scripted.reply_to(Received(self.path, headers, body))
        if reply.drop:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        content = reply.raw if reply.raw is not None else self._content(reply, body, headers)
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _content(self, reply: Reply, body: dict[str, Any], headers: dict[str, str]) -> bytes:
        if reply.status != 200:
            key = headers.get("authorization", "").removeprefix("Bearer ")
            error = {"message": (reply.text or "").replace("{key}", key), "type": "error", "param": None, "code": None}
            return json.dumps({"error": error}).encode()
        message = {"role": "assistant", "content": reply.text, "refusal": reply.refusal}
        tokens = {"prompt_tokens": reply.input_tokens, "completion_tokens": reply.output_tokens}
        return json.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 0,
                "model": body.get("model"),
                "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason}],
                "usage": {**tokens, "total_tokens": sum(tokens.values())},
                **reply.fields,
            }
        ).encode()

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""
