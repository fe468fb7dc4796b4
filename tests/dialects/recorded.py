"""The wires that were recorded: their exchanges, how a body becomes frames, what comes of it.

Each module of a wire tells the wire's own facts; what holds for all of them is told once, in
``test_recorded_streams``. A new wire is a row here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.canonical.events import Event
from app.canonical.response import Response
from app.dialects import dialect, dialect_of
from app.dialects.base import Frame, Row
from app.wire.eventstream import EventStreamDecoder
from tests.dialects import generic
from tests.traffic import exclusions, load
from tests.traffic.answers import Answer, extract
from tests.traffic.load import Exchange

WHOLE: Final = 1 << 30
Cut = Callable[[Exchange, bytes, int], Iterator[Frame]]


def reading_of(exchange: Exchange) -> Answer:
    """What the extractor reads in a recording; an error for one that is no answer."""
    answer = extract(exchange)
    assert isinstance(answer, Answer)
    return answer


def sse(exchange: Exchange, body: bytes, size: int) -> Iterator[Frame]:
    """Server-sent events, fed ``size`` bytes at a time."""
    return generic.sse_frames(body, size)


def eventstream(exchange: Exchange, body: bytes, size: int) -> Iterator[Frame]:
    """Messages of an AWS event stream."""
    decoder = EventStreamDecoder()
    for start in range(0, len(body), size):
        for message in decoder.feed(body[start : start + size]):
            yield Frame(message.headers[":event-type"], json.loads(message.payload))


def wrapped(exchange: Exchange, body: bytes, size: int) -> Iterator[Frame]:
    """Anthropic's events: on Bedrock each is wrapped in base64 inside an AWS event stream."""
    if not exchange.content_type.startswith(load.EVENT_STREAM):
        yield from sse(exchange, body, size)
        return
    for frame in eventstream(exchange, body, size):
        inner = json.loads(base64.b64decode(frame.data["bytes"]))
        yield Frame(inner["type"], inner)


@dataclass(frozen=True)
class Wire:
    """The recordings that one dialect reads. ``named``: its decoder asks for the model."""

    dialect: Any
    found: list[Exchange]
    cut: Cut = sse
    named: bool = False

    @property
    def answers(self) -> list[Exchange]:
        """The recordings of success."""
        return [exchange for exchange in self.found if exchange.status == 200]

    @property
    def streams(self) -> list[Exchange]:
        """The answers that came as frames."""
        return [exchange for exchange in self.answers if exchange.streamed]

    @property
    def bodies(self) -> list[Exchange]:
        """The answers that came whole."""
        return [exchange for exchange in self.answers if not exchange.streamed]

    @property
    def errors(self) -> list[Exchange]:
        """The answers that were no success."""
        return [exchange for exchange in self.found if exchange.status >= 400]

    def frames(self, exchange: Exchange, size: int = WHOLE, *, lines: bytes = b"\n") -> list[Frame]:
        """The frames of a stream fed ``size`` bytes at a time, its lines ended by ``lines``."""
        body = exchange.content()
        return list(self.cut(exchange, body if lines == b"\n" else body.replace(b"\n", lines), size))

    def told_frames(self, exchange: Exchange) -> list[Frame]:
        """The frames of a stream without the ``[DONE]`` that some servers send."""
        return [frame for frame in self.frames(exchange) if frame.data is not None]

    def events(self, exchange: Exchange, size: int = WHOLE, *, lines: bytes = b"\n") -> list[Event]:
        """The events of a stream."""
        return generic.decoded(self.decoder(exchange), self.frames(exchange, size, lines=lines))

    def decoder(self, exchange: Exchange) -> Any:
        """A decoder for one stream, its minted ids counted anew."""
        return self.dialect.stream_decoder(self.context(exchange))

    def context(self, exchange: Exchange) -> Any:
        """The context of one answer."""
        return generic.client_context(str(exchange.model)) if self.named else generic.client_context()

    def response(self, exchange: Exchange) -> Response:
        """The answer of a recording, folded where it came as a stream."""
        if exchange.streamed:
            return generic.fold(self.events(exchange)).response()
        response: Response = self.dialect.decode_response(exchange.json(), self.context(exchange))
        return response


def _exchanges(*apis: str) -> list[Exchange]:
    return [exchange for exchange in load.exchanges(apis) if exclusions.reason(exchange) is None]


def _is_messages(exchange: Exchange) -> bool:
    """Bedrock's older Claudes were asked for text completions by InvokeModel, another wire."""
    return "prompt" not in (exchange.request["body"] or {})


def _is_text(exchange: Exchange) -> bool:
    """Prompts alone; vectors are another dialect's."""
    body = exchange.response["body"]
    return exchange.operation != "embedding" and not (isinstance(body, dict) and "embedding" in body)


CHAT: Final = Wire(
    dialect("chat"),
    _exchanges(
        *("openai.chat", "azure.openai.chat", "azure.inference.chat", "groq.openai.chat"),
        *("cerebras.openai.chat", "openrouter.openai.chat", "perplexity.openai.chat", "sgl.openai.chat"),
        *("parasail.openai.chat", "ollama.openai.chat", "mistral.chat", "gemini.openai_compat.chat"),
    ),
)
COMPLETIONS: Final = Wire(
    dialect_of(Row, "completions"),
    _exchanges("openai.completions", "azure.openai.completions", "sgl.openai.completions"),
)
RESPONSES: Final = Wire(
    dialect("responses"),
    _exchanges(
        *("openai.responses", "azure.openai.responses", "openrouter.openai.responses"),
        "openai.responses.retrieve",
    ),
)
MESSAGES: Final = Wire(
    dialect("messages"),
    [
        exchange
        for exchange in load.exchanges(
            (
                *("anthropic.messages", "azure.anthropic.messages"),
                *("vertex.anthropic.messages", "bedrock.invoke.anthropic"),
            )
        )
        if _is_messages(exchange)
    ],
    wrapped,
)
GEMINI: Final = Wire(
    dialect("gemini"), load.exchanges(("gemini.generateContent", "gemini.streamGenerateContent"))
)
CONVERSE: Final = Wire(dialect("converse"), load.exchanges(("bedrock.converse",)), eventstream)
COHERE: Final = Wire(dialect("cohere"), load.exchanges(("cohere.v2.chat",)))
INVOKE: Final = Wire(
    dialect_of(Row, "bedrock_invoke"),
    [exchange for exchange in _exchanges("bedrock.invoke.*") if _is_text(exchange)],
    eventstream,
    named=True,
)

WIRES: Final[Mapping[str, Wire]] = {
    "chat": CHAT,
    "completions": COMPLETIONS,
    "responses": RESPONSES,
    "messages": MESSAGES,
    "gemini": GEMINI,
    "converse": CONVERSE,
    "cohere": COHERE,
    "bedrock_invoke": INVOKE,
}
