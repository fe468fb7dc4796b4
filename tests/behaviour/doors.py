"""The doors, as the tests of behaviour see them: what is asked, and how answers are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from app.wire.eventstream import EventMessage, EventStreamDecoder
from tests.behaviour.world import PATHS, PROMPTS, Answer, World
from tests.traffic.frames import sse


@dataclass(frozen=True)
class Door:
    """One door. ``path`` may hold the model, and ``stream_path`` is another where a stream has its own;
    ``prompt`` are the members of a body beside its model; ``word`` reads the word by which an error is known
    here, ``text`` the text of a whole answer, ``delta`` that of an event, ``broken`` the words of the event
    that ends a broken stream."""

    name: str
    path: str
    prompt: Mapping[str, Any]
    word: Callable[[Any], Any]
    text: Callable[[Any], str]
    delta: Callable[[Any], str]
    broken: Callable[[Any], str | None]
    stream_path: str | None = None

    def place(self, model: str = "groq/x", *, stream: bool = False) -> str:
        """Return the path that asks for ``model``."""
        path = self.stream_path if stream and self.stream_path is not None else self.path
        return path.format(model=quote(model, safe=""))

    def ask(self, world: World, model: str, *, stream: bool = False, **members: Any) -> Answer:
        """Put one prompt to this door."""
        headers = members.pop("headers", None)
        asked = {} if "{model}" in self.path else {"model": model, **({"stream": True} if stream else {})}
        return world.send(
            "POST", self.place(model, stream=stream), {**asked, **self.prompt, **members}, headers
        )

    def said(self, answer: Answer) -> str:
        """Return the text of an answer of either kind."""
        if answer.headers["content-type"] == "application/json":
            return self.text(answer.json)
        return "".join(map(self.delta, events(answer)))


def events(answer: Answer) -> list[Any]:
    """Return the events of a stream, without ``[DONE]``; AWS's by their names, exceptions with a ``!``."""
    if answer.headers["content-type"] == "application/vnd.amazon.eventstream":
        return [_named(message) for message in EventStreamDecoder().feed(answer.body)]
    if answer.headers["content-type"].startswith("application/json"):
        array: list[Any] = json.loads(answer.body)
        return array
    return [json.loads(frame.data) for frame in sse(answer.body) if frame.data != "[DONE]"]


def _named(message: EventMessage) -> dict[str, Any]:
    kind = message.headers[":message-type"]
    sign = "!" if kind == "exception" else ""
    return {sign + message.headers[f":{kind}-type"]: json.loads(message.payload)}


def _google_text(body: Any) -> str:
    parts = [part for one in body.get("candidates", ()) for part in one["content"]["parts"]]
    return "".join(part.get("text", "") for part in parts)


def _google(name: str, stream_path: str) -> Door:
    return Door(
        name,
        "/v1beta/models/{model}:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        word=lambda body: body["error"]["status"],
        text=_google_text,
        delta=_google_text,
        broken=lambda event: event.get("error", {}).get("message"),
        stream_path=stream_path,
    )


def _chat_delta(event: Any) -> str:
    return "".join(choice.get("delta", {}).get("content") or "" for choice in event.get("choices", ()))


def _responses_broken(event: Any) -> str | None:
    error = event.get("error") or event.get("response", {}).get("error") or {}
    return error.get("message")


CHAT = Door(
    "chat",
    PATHS["chat"],
    PROMPTS["chat"],
    word=lambda body: body["error"]["type"],
    text=lambda body: body["choices"][0]["message"]["content"],
    delta=_chat_delta,
    broken=lambda event: (event.get("error") or {}).get("message"),
)
RESPONSES = Door(
    "responses",
    PATHS["responses"],
    PROMPTS["responses"],
    word=lambda body: body["error"]["type"],
    text=lambda body: "".join(
        part["text"] for item in body["output"] if item["type"] == "message" for part in item["content"]
    ),
    delta=lambda event: event["delta"] if event["type"] == "response.output_text.delta" else "",
    broken=_responses_broken,
)
SAID = [{"role": "user", "content": "hi"}]
DOORS = (
    Door(
        "anthropic",
        "/anthropic/v1/messages",
        {"max_tokens": 99, "messages": SAID},
        word=lambda body: body["error"]["type"],
        text=lambda body: "".join(block.get("text", "") for block in body["content"]),
        delta=lambda event: event.get("delta", {}).get("text", ""),
        broken=lambda event: event["error"]["message"] if event["type"] == "error" else None,
    ),
    Door(
        "cohere",
        "/cohere/v2/chat",
        {"messages": SAID},
        word=lambda body: sorted(body),
        text=lambda body: "".join(block.get("text", "") for block in body["message"]["content"]),
        delta=lambda event: (
            event["delta"]["message"]["content"]["text"] if event["type"] == "content-delta" else ""
        ),
        broken=lambda event: event.get("delta", {}).get("error"),
    ),
    _google("gemini", "/v1beta/models/{model}:streamGenerateContent?alt=sse"),
    _google("gemini array", "/genai/v1/models/{model}:streamGenerateContent"),
    Door(
        "bedrock",
        "/bedrock/model/{model}/converse",
        {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
        word=sorted,
        text=lambda body: "".join(block.get("text", "") for block in body["output"]["message"]["content"]),
        delta=lambda event: event.get("contentBlockDelta", {}).get("delta", {}).get("text", ""),
        broken=lambda event: next((e["message"] for name, e in event.items() if name[0] == "!"), None),
        stream_path="/bedrock/model/{model}/converse-stream",
    ),
)
"""The doors that are not OpenAI's."""

EVERY = (CHAT, RESPONSES, *DOORS)
"""Every door at which a prompt is answered."""
