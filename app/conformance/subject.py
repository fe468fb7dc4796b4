"""The server under test, what several checks send to it, and rules for its answers.

The prompts are instructions for a model and directives of the sandbox (docs/sandbox.md) at the same time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.conformance.client import Client, Skip, expect, expect_shape

_NO_CHAT: Final = ("embed", "tts", "whisper", "speech", "transcri", "image", "dall", "rerank", "moderation")


@dataclass(slots=True)
class Subject:
    """One server. A model that is None becomes the first of its list whose name fits."""

    client: Client
    chat_model: str | None = None
    vector_model: str | None = None

    @property
    def model(self) -> str:
        """Return the model for chat and responses; raise ``Skip`` if none is known."""
        if self.chat_model is None:
            missing = "no model is known; name one by --model"
            self.chat_model = self._first_model(
                lambda name: not any(word in name for word in _NO_CHAT), missing
            )
        return self.chat_model

    @property
    def embedding_model(self) -> str:
        """Return the model for embeddings; raise ``Skip`` if none is known."""
        if self.vector_model is None:
            missing = "no model for embeddings is known; name one by --embedding-model"
            self.vector_model = self._first_model(lambda name: "embed" in name, missing)
        return self.vector_model

    def chat(self, text: str, **members: Any) -> dict[str, Any]:
        """Return the body of a chat request."""
        return {"model": self.model, "messages": [{"role": "user", "content": text}], **members}

    def response(self, content: Any, **members: Any) -> dict[str, Any]:
        """Return the body of a Responses request."""
        return {"model": self.model, "input": content, **members}

    def _first_model(self, fits: Callable[[str], bool], missing: str) -> str:
        for entry in self.client.get("/models")["data"]:
            if fits(entry["id"].lower()):
                return str(entry["id"])
        raise Skip(missing)


HELLO: Final = "say exactly: Hello there, how are you today?"
WEATHER: Final = "What is the weather in Paris? call tool get_weather with city=Paris"
FILL: Final = "Name a city. fill city=Paris"
CITY_SCHEMA: Final = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER_TOOL: Final = {
    "name": "get_weather",
    "description": "Tell the weather of a city.",
    "parameters": CITY_SCHEMA,
}
UNKNOWN_MODEL: Final = "no-such-model-at-all"


def expect_city(text: str) -> None:
    """Raise ``Violation`` unless ``text`` is JSON that fits ``CITY_SCHEMA``."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    expect(
        isinstance(value, dict) and isinstance(value.get("city"), str),
        f"no JSON of the schema: {text[:80]!r}",
    )


def expect_usage(usage: Any, names: Sequence[str]) -> None:
    """Raise ``Violation`` unless ``usage`` has the counts ``names``: input, output and a total that covers both."""
    expect_shape(usage, dict.fromkeys(names, int), "usage")
    expect(usage[names[0]] > 0, f"usage.{names[0]} is 0")
    expect(usage[names[0]] + usage[names[1]] <= usage[names[2]], "the total of usage is less than its parts")


def expect_unknown_model(error: dict[str, Any]) -> None:
    """Raise ``Violation`` unless the error has the code of an unknown model."""
    expect(error["code"] == "model_not_found", f"the code is {error['code']!r}, not 'model_not_found'")


def expect_member(error: dict[str, Any], member: str) -> None:
    """Raise ``Violation`` unless the error names ``member``, in ``param`` or in its message."""
    expect(member in f"{error['param']} {error['message']}", f"the error does not name {member!r}")
