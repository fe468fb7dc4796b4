"""A gateway that runs, the fake provider behind it, and a client that hides nothing.

``running_world`` starts both; ``World.fresh`` empties the provider's queue between tests, so that one
gateway serves a whole module. The client is ``http.client`` or a bare socket: no retries, no redirects.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.running import ROOT, Gateway, running_gateway
from tests.traffic.chat_grammar import check_chat_stream
from tests.traffic.frames import sse
from tests.traffic.grammar import check_responses_frames
from tests.traffic.replay import Reply, Request, Upstream

DONE = "[DONE]"
HEAD = b"\r\n\r\n"
OPERATIONS = ("chat", "responses")
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}
PROMPTS: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "hi"}]},
    "responses": {"input": "hi"},
}


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer. ``headers`` has lower-case names, repeated ones joined by a comma."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The parsed body; an error unless it is declared as JSON."""
        assert self.headers["content-type"] == "application/json", self.body[:300]
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The ``error`` member of a JSON error."""
        error: dict[str, Any] = self.json["error"]
        assert {"message", "type", "param", "code"} <= set(error), error
        return error

    @property
    def events(self) -> list[Any]:
        """The parsed data of each frame of a stream, ``"[DONE]"`` as it is."""
        assert self.headers["content-type"] == "text/event-stream; charset=utf-8", self.body[:300]
        return [f.data if f.data == DONE else json.loads(f.data) for f in sse(self.body)]

    def broken(self, operation: str) -> list[str]:
        """Name the rules of the stream grammar that this stream breaks."""
        if operation == "chat":
            events = self.events
            failed = events[-1] != DONE and "error" in events[-1]  # ends without [DONE], which says success
            return check_chat_stream([*events, DONE] if failed else events)
        return check_responses_frames(sse(self.body), ours=True)

    @property
    def stream_error(self) -> dict[str, Any] | None:
        """The error that ended a stream, of either operation; None where it ended well."""
        for event in self.events:
            if event != DONE and isinstance(event.get("error"), dict):
                found: dict[str, Any] = event["error"]
                return found
        return None

    @property
    def text(self) -> str:
        """The text of a chat or Responses answer, JSON or stream."""
        if self.headers["content-type"].startswith("text/event-stream"):
            return "".join(_delta(event) for event in self.events if event != DONE)
        body = self.json
        assert "error" not in body or self.status == 200, body["error"]
        if "choices" in body:
            return str(body["choices"][0]["message"]["content"])
        return "".join(p["text"] for i in body["output"] if i["type"] == "message" for p in i["content"])


def _delta(event: Mapping[str, Any]) -> str:
    if event.get("type") == "response.output_text.delta":
        return str(event["delta"])
    return "".join(c["delta"].get("content") or "" for c in event.get("choices", ()))


@dataclass
class World:
    """A gateway and the provider behind it."""

    gateway: Gateway
    upstream: Upstream
    key: str | None = None

    def fresh(self) -> World:
        """Forget what was queued for, and asked of, the provider."""
        self.upstream.forget()
        return self

    def ask(
        self,
        operation: str = "chat",
        *,
        model: str = "groq/x",
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        path: str | None = None,
        **members: Any,
    ) -> Answer:
        """Send one prompt to an operation of ``/v1``."""
        body = {"model": model, **PROMPTS[operation], **({"stream": True} if stream else {}), **members}
        return self.send("POST", path or PATHS[operation], body, headers)

    def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"content-type": "application/json"} if data is not None else {}
        sent |= {"authorization": f"Bearer {self.key}"} if self.key else {}
        sent |= headers or {}
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=30)
        try:
            connection.request(method, path, data, sent)
            return whole(connection.getresponse())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """Open a bare connection to the gateway."""
        return socket.create_connection(("127.0.0.1", self.gateway.port), timeout=20)

    def open(
        self, operation: str = "chat", *, model: str = "groq/x", stream: bool = True, **members: Any
    ) -> socket.socket:
        """Send a prompt over a bare connection and leave its answer unread."""
        body = {"model": model, **PROMPTS[operation], **({"stream": True} if stream else {}), **members}
        connection = self.connect()
        connection.sendall(raw_request("POST", PATHS[operation], json.dumps(body).encode(), self.key))
        return connection


def whole(response: http.client.HTTPResponse) -> Answer:
    """Read an answer to its end."""
    body = response.read()
    headers: dict[str, str] = {}
    for name, value in response.getheaders():
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Answer(response.status, headers, body)


def answer_of(data: bytes) -> Answer:
    """Return the Answer of a raw chunked one."""
    head = data.partition(HEAD)[0].decode("latin-1")
    headers = {n.lower(): v for n, v in re.findall(r"^([^:\r\n]+): ([^\r\n]*)", head, re.MULTILINE)}
    return Answer(int(head.split()[1]), headers, b"".join(writes(data)))


def writes(data: bytes) -> list[bytes]:
    """Return the chunks of a raw chunked answer: one for each write of the gateway."""
    found, at = [], len(data) - len(data.partition(HEAD)[2])
    while at < len(data):
        size, _, _ = data[at : at + 20].partition(b"\r\n")
        at += len(size) + 2
        found.append(data[at : at + int(size, 16)])
        at += int(size, 16) + 2
    return [piece for piece in found if piece]


def to_the_end(connection: socket.socket) -> bytes:
    """Read a chunked answer to its last chunk."""
    return received(connection, b"\r\n0\r\n\r\n")


def raw_request(
    method: str, path: str, body: bytes = b"", key: str | None = None, headers: Iterable[str] = ()
) -> bytes:
    """Return the bytes of a request with a length."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    lines += [*headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def received(connection: socket.socket, until: bytes, seconds: float = 30.0) -> bytes:
    """Read until ``until`` was seen or the connection ends; ``TimeoutError`` after ``seconds``."""
    data, seen = bytearray(), 0
    limit = time.monotonic() + seconds
    while data.find(until, seen) < 0:
        seen = max(0, len(data) - len(until) + 1)
        connection.settimeout(max(0.01, limit - time.monotonic()))
        piece = connection.recv(65536)
        if not piece:
            break
        data += piece
    return bytes(data)


EVERY_WIRE: Final[Mapping[str, Any]] = {
    "env": {"SLUICE_MAX_RETRIES": "0"},
    "config": """
[providers.cohere]
api_key = "some-key-of-cohere"
base_url = "{upstream}"

[providers.gemini]
api_key = "some-key-of-gemini"
base_url = "{upstream}/v1beta"

[providers.bedrock]
api_key = "some-key-of-bedrock"
base_url = "{upstream}"

[providers.responder]
dialect = "responses"
base_url = "{upstream}/v1"
api_key = "some-key-of-ours"
""",
}
"""A provider of each dialect, and no retries: what a module may have as its ``SETTING``."""


@contextmanager
def running_world(
    env: Mapping[str, str] | None = None,
    *,
    config: str | None = None,
    key: str | None = None,
    arguments: tuple[str, ...] = (),
    root: Path = ROOT,
) -> Iterator[World]:
    """Run the gateway of the checkout ``root``, whose groq, openai and anthropic are one fake provider.

    ``{upstream}`` in ``config`` and in the values of ``env`` stands for the provider's URL,
    ``{upstream_host}`` in ``config`` for its host and port.
    """
    with Upstream() as upstream:
        variables = {
            "GROQ_API_KEY": "groq-key",
            "GROQ_BASE_URL": f"{upstream.url}/groq",
            "OPENAI_API_KEY": "openai-key",
            "OPENAI_BASE_URL": f"{upstream.url}/openai",
            "ANTHROPIC_API_KEY": "anthropic-key",
            "ANTHROPIC_BASE_URL": f"{upstream.url}/anthropic",
            **{name: value.replace("{upstream}", upstream.url) for name, value in (env or {}).items()},
        }
        text = None if config is None else config.replace("{upstream}", upstream.url)
        if text is not None:
            text = text.replace("{upstream_host}", f"127.0.0.1:{upstream.port}")
        with running_gateway(variables, config=text, arguments=arguments, root=root) as gateway:
            yield World(gateway, upstream, key)


# --- what a provider says ---------------------------------------------------------------------


def chat_chunk(delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """Return one chunk of a chat stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return data_frame(
        {
            "id": "up-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "up",
            "choices": [choice],
            **more,
        }
    )


def data_frame(value: Any) -> bytes:
    """Return one unnamed SSE frame."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def event_frame(value: Mapping[str, Any]) -> bytes:
    """Return one SSE frame named by its own type."""
    return f"event: {value['type']}\n".encode() + data_frame(value)


CHAT_DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
ROLE = chat_chunk({"role": "assistant", "content": ""})


def chat_text(*words: str) -> bytes:
    """Return the chunks of some text, without beginning or end."""
    return b"".join(chat_chunk({"content": word}) for word in words)


def chat_end(usage: Any = USAGE) -> bytes:
    """Return what ends a good chat stream: finish, usage, ``[DONE]``."""
    tail = {"id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": []}
    told = b"" if usage is None else data_frame({**tail, "usage": usage})
    return chat_chunk({}, "stop") + told + CHAT_DONE


def chat_stream(*words: str) -> bytes:
    """Return a whole good chat stream."""
    return ROLE + chat_text(*(words or ("good",))) + chat_end()


def chat_body(text: str = "good", **more: Any) -> dict[str, Any]:
    """Return a whole good chat answer."""
    message = {"role": "assistant", "content": text}
    return {
        "id": "up-1",
        "object": "chat.completion",
        "created": 1,
        "model": "up",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
        **more,
    }


def responses_body(text: str = "good", status: str = "completed", **more: Any) -> dict[str, Any]:
    """Return a whole Responses answer."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {"id": "msg_up", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    usage = {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5,
    }
    done = status == "completed"
    return {
        "id": "resp_up",
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": "up",
        "output": [item] if done else [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage if done else None,
        **more,
    }


class ResponsesStream:
    """Makes the frames of a Responses stream, numbered as they are asked for."""

    def __init__(self) -> None:
        self._number = 0

    def frame(self, kind: str, **members: Any) -> bytes:
        """Return the next event."""
        made = event_frame({"type": kind, "sequence_number": self._number, **members})
        self._number += 1
        return made

    def opening(self) -> bytes:
        """Return created and in_progress."""
        shell = responses_body(status="in_progress")
        return self.frame("response.created", response=shell) + self.frame(
            "response.in_progress", response=shell
        )

    def text(self, *words: str) -> bytes:
        """Return the opened message and its deltas."""
        place = {"item_id": "msg_up", "output_index": 0, "content_index": 0}
        item = {
            "id": "msg_up",
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        frames = self.frame("response.output_item.added", output_index=0, item=item)
        frames += self.frame("response.content_part.added", **place, part=part)
        for word in words:
            frames += self.frame("response.output_text.delta", **place, delta=word, logprobs=[])
        return frames

    def end(self, text: str, **more: Any) -> bytes:
        """Return what closes the message and the response."""
        place = {"item_id": "msg_up", "output_index": 0, "content_index": 0}
        final = responses_body(text, **more)
        item = final["output"][0]
        return (
            self.frame("response.output_text.done", **place, text=text, logprobs=[])
            + self.frame("response.content_part.done", **place, part=item["content"][0])
            + self.frame("response.output_item.done", output_index=0, item=item)
            + self.frame("response.completed", response=final)
        )


def responses_stream(*words: str, **more: Any) -> bytes:
    """Return a whole good Responses stream."""
    made, said = ResponsesStream(), words or ("good",)
    return made.opening() + made.text(*said) + made.end("".join(said), **more)


def speaks_responses(operation: str, model: str) -> bool:
    """Tell whether this call reaches the provider on its Responses wire."""
    return operation == "responses" and model.startswith("openai/")


def good(operation: str, model: str, stream: bool, text: str = "good") -> Reply:
    """Return a good answer on the wire that the call uses."""
    native = speaks_responses(operation, model)
    if stream:
        return Reply.sse(responses_stream(text) if native else chat_stream(text))
    return Reply.json(responses_body(text) if native else chat_body(text))


def upstream_requests(world: World) -> list[Request]:
    """Return the requests that reached the provider."""
    return list(world.upstream.requests)
