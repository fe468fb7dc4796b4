"""The surfaces, as the tests of behaviour see them: what is asked, and how answers are read."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import gevent

from app.wire.eventstream import EventMessage, EventStreamDecoder, encode_event
from tests.behaviour.world import PATHS, PROMPTS, Answer, World, raw_request
from tests.traffic.frames import sse


@dataclass(frozen=True)
class Surface:
    """One surface. ``path`` may hold the model, and ``stream_path`` is another where a stream has its own;
    ``prompt`` are the members of a body beside its model; ``word`` reads the word by which an error is known
    here, ``text`` the text of a whole answer, ``delta`` that of an event, ``broken`` the words of the event
    that ends a broken stream. ``words`` are those of errors by their status, ``statuses`` the statuses that
    differ here, ``home`` a model to which this surface's bodies pass, ``silence`` what keeps a stream open; ``opening`` stands
    in a stream's first event, where that holds no content yet, ``ending`` in what ends one well."""

    name: str
    path: str
    prompt: Mapping[str, Any]
    word: Callable[[Any], Any]
    text: Callable[[Any], str]
    delta: Callable[[Any], str]
    broken: Callable[[Any], str | None]
    stream_path: str | None = None
    words: Mapping[int, Any] = field(default_factory=dict)
    statuses: Mapping[int, int] = field(default_factory=dict)
    home: str = "openai/x"
    silence: bytes = b": keep-alive\n\n"
    opening: bytes | None = None
    ending: bytes = b"[DONE]"

    @property
    def own(self) -> str:
        """A model's name that no other surface asks for: surfaces that ask at the same time know their own by it."""
        return f"x-{self.name.replace(' ', '-')}"

    def place(self, model: str = "groq/x", *, stream: bool = False) -> str:
        """Return the path that asks for ``model``."""
        path = self.stream_path if stream and self.stream_path is not None else self.path
        return path.format(model=quote(model, safe=""))

    def ask(self, world: World, model: str, *, stream: bool = False, **members: Any) -> Answer:
        """Put one prompt to this surface."""
        headers = members.pop("headers", None)
        place, body = self.place(model, stream=stream), self.body(model, stream=stream, **members)
        return world.send("POST", place, body, headers)

    def body(self, model: str, *, stream: bool = False, **members: Any) -> dict[str, Any]:
        """Return the body of one prompt."""
        asked = {} if "{model}" in self.path else {"model": model, **({"stream": True} if stream else {})}
        return {**asked, **self.prompt, **members}

    def open(self, world: World, model: str, *, stream: bool = True, **members: Any) -> socket.socket:
        """Put one prompt over a bare connection and leave its answer unread."""
        body = json.dumps(self.body(model, stream=stream, **members)).encode()
        connection = world.connect()
        connection.sendall(raw_request("POST", self.place(model, stream=stream), body, world.key))
        return connection

    def ended_well(self, answer: Answer) -> bool:
        """Tell whether a stream ended without an error, and in the order of this surface's events where we know it."""
        if any(self.broken(event) for event in events(answer)):
            return False
        return self.name not in PATHS or answer.broken(self.name) == []

    def ended_in_words(self, answer: Answer) -> bool:
        """Tell whether a stream's last words, and none before them, are an error."""
        told = [bool(self.broken(event)) for event in events(answer)]
        if self is RESPONSES:  # says it twice: an event ``error``, then the failed response
            told[-2:] = [told[-2] and told[-1]]
        in_order = self.name not in PATHS or answer.broken(self.name) == []
        return in_order and told == [False] * (len(told) - 1) + [True]

    def text_of(self, answer: Answer) -> str:
        """Return the text of an answer of either kind."""
        if answer.headers["content-type"] == "application/json":
            return self.text(answer.json)
        return "".join(map(self.delta, events(answer)))


def at_each(check: Callable[[Surface], object], surfaces: Sequence[Surface] | None = None) -> None:
    """Run one check at all surfaces at the same time; what failed is raised with its surface's name."""
    running = {surface.name: gevent.spawn(_noted, check, surface) for surface in surfaces or EVERY}
    gevent.joinall(running.values())
    failed = [error for greenlet in running.values() if (error := greenlet.value) is not None]
    if failed:
        raise ExceptionGroup("at surfaces", failed)


def _noted(check: Callable[[Surface], object], surface: Surface) -> Exception | None:
    try:
        check(surface)
    except Exception as error:
        error.add_note(f"at the surface {surface.name}")
        return error
    return None


def events(answer: Answer) -> list[Any]:
    """Return the events of a stream, without ``[DONE]``; AWS's by their names, exceptions with a ``!``."""
    if answer.headers["content-type"] == "application/vnd.amazon.eventstream":
        return [_with_type(message) for message in EventStreamDecoder().feed(answer.body)]
    if answer.headers["content-type"].startswith("application/json"):
        array: list[Any] = json.loads(answer.body)
        return array
    return [json.loads(frame.data) for frame in sse(answer.body) if frame.data != "[DONE]"]


def _with_type(message: EventMessage) -> dict[str, Any]:
    kind = message.headers[":message-type"]
    sign = "!" if kind == "exception" else ""
    return {sign + message.headers[f":{kind}-type"]: json.loads(message.payload)}


def _google_text(body: Any) -> str:
    parts = [part for one in body.get("candidates", ()) for part in one["content"]["parts"]]
    return "".join(part.get("text", "") for part in parts)


GOOGLE_WORDS = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
ANTHROPIC_WORDS = {
    400: "invalid_request_error",
    404: "not_found_error",
    409: "invalid_request_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
STATUSES = tuple(GOOGLE_WORDS)


def _google(name: str, stream_path: str) -> Surface:
    return Surface(
        name,
        "/v1beta/models/{model}:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        word=lambda body: body["error"]["status"],
        text=_google_text,
        delta=_google_text,
        broken=lambda event: event.get("error", {}).get("message"),
        stream_path=stream_path,
        words=GOOGLE_WORDS,
        home="gemini/gemini-3-pro-preview",
        silence=b"\n",
        ending=b"finishReason",
    )


def _chat_delta(event: Any) -> str:
    return "".join(choice.get("delta", {}).get("content") or "" for choice in event.get("choices", ()))


def _responses_broken(event: Any) -> str | None:
    error = event.get("error") or event.get("response", {}).get("error") or {}
    return error.get("message")


CHAT = Surface(
    "chat",
    PATHS["chat"],
    PROMPTS["chat"],
    word=lambda body: body["error"]["type"],
    text=lambda body: body["choices"][0]["message"]["content"],
    delta=_chat_delta,
    broken=lambda event: (event.get("error") or {}).get("message"),
    opening=b'"role"',
)
RESPONSES = Surface(
    "responses",
    PATHS["responses"],
    PROMPTS["responses"],
    word=lambda body: body["error"]["type"],
    text=lambda body: "".join(
        part["text"] for item in body["output"] if item["type"] == "message" for part in item["content"]
    ),
    delta=lambda event: event["delta"] if event["type"] == "response.output_text.delta" else "",
    broken=_responses_broken,
    opening=b"response.created",
    ending=b"response.completed",
)
SAID = [{"role": "user", "content": "hi"}]
SURFACES = (
    Surface(
        "anthropic",
        "/anthropic/v1/messages",
        {"max_tokens": 99, "messages": SAID},
        word=lambda body: body["error"]["type"],
        text=lambda body: "".join(block.get("text", "") for block in body["content"]),
        delta=lambda event: event.get("delta", {}).get("text", ""),
        broken=lambda event: event["error"]["message"] if event["type"] == "error" else None,
        words=ANTHROPIC_WORDS,
        statuses={503: 529},
        home="anthropic/claude-x",
        silence=b'event: ping\ndata: {"type":"ping"}\n\n',
        opening=b"message_start",
        ending=b"message_stop",
    ),
    Surface(
        "cohere",
        "/cohere/v2/chat",
        {"messages": SAID},
        word=lambda body: sorted(body),
        text=lambda body: "".join(block.get("text", "") for block in body["message"]["content"]),
        delta=lambda event: (
            event["delta"]["message"]["content"]["text"] if event["type"] == "content-delta" else ""
        ),
        broken=lambda event: event.get("delta", {}).get("error"),
        words={status: ["id", "message"] for status in STATUSES},
        home="cohere/command-x",
        opening=b"message-start",
        ending=b'"finish_reason":"COMPLETE"',
    ),
    _google("gemini", "/v1beta/models/{model}:streamGenerateContent?alt=sse"),
    _google("gemini array", "/genai/v1/models/{model}:streamGenerateContent"),
    Surface(
        "bedrock",
        "/bedrock/model/{model}/converse",
        {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
        word=sorted,
        text=lambda body: "".join(block.get("text", "") for block in body["output"]["message"]["content"]),
        delta=lambda event: event.get("contentBlockDelta", {}).get("delta", {}).get("text", ""),
        broken=lambda event: next((e["message"] for name, e in event.items() if name[0] == "!"), None),
        stream_path="/bedrock/model/{model}/converse-stream",
        words={status: ["message"] for status in STATUSES},
        home="bedrock/us.amazon.nova-pro-v1:0",
        silence=encode_event("ping", b"{}"),
        opening=b"messageStart",
        ending=b"messageStop",
    ),
)
"""The surfaces that are not OpenAI's."""

EVERY = (CHAT, RESPONSES, *SURFACES)
"""Every surface at which a prompt is answered."""
