"""Every recorded answer of every wire, written as a Responses stream and as a response object:
the order grammar, the equality of both, Open Responses' schemas, and OpenAI's own SDK."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from app.canonical.events import Ended, Event, Failed, replay
from app.canonical.request import AudioPart, ReasoningPart, Request, TextPart
from app.canonical.response import Response, Usage
from app.dialects import dialect
from app.dialects.base import Frame
from app.dialects.responses.dialect import DIALECT
from app.errors import GatewayError
from tests.dialects import generic
from tests.dialects.generic import server_context
from tests.dialects.openresponses import faults_of_event, faults_of_response
from tests.traffic import frames, load
from tests.traffic.exclusions import reason
from tests.traffic.grammar import check_responses_stream
from tests.traffic.load import Exchange

WIRES = {
    "chat": ("*.openai.chat", "openai.chat", "mistral.chat", "azure.inference.chat"),
    "messages": ("anthropic.messages", "azure.anthropic.messages", "vertex.anthropic.messages"),
    "gemini": ("gemini.generateContent", "gemini.streamGenerateContent"),
    "cohere": ("cohere.v2.chat",),
    "converse": ("bedrock.converse",),
    "responses": ("openai.responses", "azure.openai.responses", "openrouter.openai.responses"),
}
_OF_THE_REQUEST = (
    "req:",
    "tool:",
    "tool_choice:",
    "tier:",
    "upstream:",
    "multi_turn",
    "system",
    "tools",
    "image_input",
)
APIS = {exchange.api for exchange in load.exchanges()}


def apis_of(patterns: tuple[str, ...]) -> list[str]:
    return [api for api in APIS for p in patterns if api == p or (p[0] == "*" and api.endswith(p[1:]))]


def shape(exchange: Exchange) -> tuple[Any, ...]:
    """What decides how an answer is written: its wire, and what the answer itself holds."""
    said = (f for f in exchange.features if not f.startswith(_OF_THE_REQUEST))
    return exchange.api, exchange.streamed, frozenset(said)


def sample_answers() -> list[Any]:
    """One answer of each shape on each wire."""
    shapes = {
        (name, shape(exchange)): exchange
        for name, patterns in WIRES.items()
        if find_spec(f"app.dialects.{name}") is not None
        for exchange in load.exchanges(apis_of(patterns))
        if exchange.status == 200 and reason(exchange) is None
    }
    return [pytest.param(name, exchange, id=exchange.id) for (name, _), exchange in shapes.items()] or [
        pytest.param("", None, id="traffic-missing", marks=load.absent().marks)
    ]


def wire_frames(exchange: Exchange) -> Iterator[Frame]:
    if "eventstream" not in exchange.content_type:
        yield from generic.sse_frames(exchange.content(), 1 << 30)
        return
    for message in frames.eventstream(exchange.content()):
        name = message.headers.get(":event-type") or message.headers.get(":exception-type")
        yield Frame(name, json.loads(message.payload))


def events_of(name: str, exchange: Exchange) -> list[Event]:
    half, context = dialect(name), generic.client_context()
    if exchange.streamed:
        return generic.decoded(half.stream_decoder(context), wire_frames(exchange))
    try:
        return list(replay(half.decode_response(exchange.json(), context)))
    except GatewayError as error:
        return [Failed(error)]


def counted(event: Event) -> Event:
    """The gateway estimates what the wire did not count."""
    if isinstance(event, Ended) and event.usage is None:
        return Ended(Usage(1, 1, estimated=True), event.native, event.service_tier)
    return event


def encode_stream(name: str, exchange: Exchange) -> tuple[list[dict[str, Any]], dict[str, Any], list[Event]]:
    events = [counted(event) for event in events_of(name, exchange)]
    encoder = DIALECT.stream_encoder(Request(model="some-model"), server_context(response_id="resp_1"))
    told = [frame.data for event in events for frame in encoder.feed(event)]
    assert encoder.final is not None
    return told, encoder.final, events


@pytest.mark.parametrize("name, exchange", sample_answers())
def test_a_stream_keeps_the_grammar_and_says_what_the_object_says(name: str, exchange: Exchange) -> None:
    told, final, events = encode_stream(name, exchange)
    assert check_responses_stream(told, ours=True) == []
    assert told[-1]["response"] == final
    folded = generic.fold(events)
    if folded.error is not None:
        assert final["status"] == "failed"
        return
    response = folded.response()
    whole = DIALECT.encode_response(
        response, Request(model="some-model"), server_context(response_id="resp_1")
    )
    assert whole == final
    assert text_of(final) == spoken(response)


def text_of(body: dict[str, Any]) -> dict[str, Any]:
    """What a reader of the output sees."""
    items = body["output"]
    texts = [p for i in items if i["type"] == "message" for p in i["content"] if p["type"] == "output_text"]
    thoughts = [
        p["text"] for i in items if i["type"] == "reasoning" for p in (*i.get("content", ()), *i["summary"])
    ]
    calls = [
        (i["name"], i.get("arguments", i.get("input")))
        for i in items
        if i["type"].endswith("n_call") and "call_id" in i
    ]
    calls += [(i["name"], i["input"]) for i in items if i["type"] == "custom_tool_call"]
    return {"text": "".join(p["text"] for p in texts), "thoughts": sorted(thoughts), "calls": sorted(calls)}


def spoken(response: Response) -> dict[str, Any]:
    parts = generic.parts_of(response.choices[0])
    texts = [
        p.text if isinstance(p, TextPart) else p.transcript or ""
        for p in parts
        if isinstance(p, TextPart | AudioPart)
    ]
    thoughts = [p.text for p in parts if isinstance(p, ReasoningPart) and p.form != "hidden"]
    calls = [
        (p.name, p.arguments or ("{}" if p.kind == "function" else ""))
        for p in parts
        if hasattr(p, "arguments")
    ]
    return {"text": "".join(texts), "thoughts": sorted(thoughts), "calls": sorted(calls)}


@pytest.mark.parametrize("name, exchange", sample_answers())
def test_objects_and_events_pass_the_schemas_of_open_responses(name: str, exchange: Exchange) -> None:
    told, final, _ = encode_stream(name, exchange)
    assert faults_of_response(final) == []
    assert [fault for event in told for fault in faults_of_event(event)] == []
