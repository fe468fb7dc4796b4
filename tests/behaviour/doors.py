"""The doors that are not OpenAI's, as the tests of behaviour see them: what is asked, and how answers are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.behaviour.world import Answer, World
from tests.traffic.frames import sse


@dataclass(frozen=True)
class Door:
    """One door. ``prompt`` are the members of a body beside its model; ``word`` reads the word by which an
    error is known here, ``text`` the text of a whole answer, ``delta`` that of an event, ``broken`` the
    words of the event that ends a broken stream."""

    name: str
    path: str
    prompt: Mapping[str, Any]
    word: Callable[[Any], Any]
    text: Callable[[Any], str]
    delta: Callable[[Any], str]
    broken: Callable[[Any], str | None]

    def ask(self, world: World, model: str, *, stream: bool = False, **members: Any) -> Answer:
        """Put one prompt to this door."""
        headers = members.pop("headers", None)
        body = {"model": model, **self.prompt, **({"stream": True} if stream else {}), **members}
        return world.send("POST", self.path, body, headers)

    def said(self, answer: Answer) -> str:
        """Return the text of an answer of either kind."""
        if answer.headers["content-type"].startswith("text/event-stream"):
            return "".join(map(self.delta, events(answer)))
        return self.text(answer.json)


def events(answer: Answer) -> list[Any]:
    """Return the events of a stream, without ``[DONE]``."""
    return [json.loads(frame.data) for frame in sse(answer.body) if frame.data != "[DONE]"]


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
)
