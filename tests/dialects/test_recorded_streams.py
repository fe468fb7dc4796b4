"""What holds for every recorded stream of every wire: the order of events, and that neither
the cuts between reads nor the ends of lines change what is read."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from app.canonical.response import Response, Usage
from app.dialects.base import Frame
from app.errors import GatewayError
from tests.dialects import generic
from tests.dialects.recorded import WIRES, Wire, sse
from tests.dialects.served import essence
from tests.traffic.load import Exchange, require

STREAMS = [
    pytest.param(wire, exchange, id=f"{name}-{exchange.id}")
    for name, wire in WIRES.items()
    for exchange in wire.streams
]
# Each stream at one cut and one end of lines, in turn: tests/wire/test_sse.py has every pair over every stream.
CUTS = [
    pytest.param(*stream.values, size, lines if stream.values[0].cut is sse else b"\n", id=stream.id)
    for stream, (size, lines) in zip(
        STREAMS,
        itertools.cycle(itertools.product(generic.CHUNK_SIZES, (b"\n", b"\r\n", b"\r"))),
        strict=False,
    )
]


def test_every_wire_was_recorded_as_streams() -> None:
    require()
    assert [name for name, wire in WIRES.items() if not wire.streams] == []


@pytest.mark.parametrize(("wire", "exchange"), STREAMS)
def test_events_keep_their_order(wire: Wire, exchange: Exchange) -> None:
    generic.assert_order(wire.events(exchange))


@pytest.mark.parametrize(("wire", "exchange", "size", "lines"), CUTS)
def test_a_stream_reads_the_same_however_it_is_cut_and_its_lines_end(
    wire: Wire, exchange: Exchange, size: int, lines: bytes
) -> None:
    assert wire.frames(exchange, size, lines=lines) == wire.frames(exchange)


@pytest.mark.parametrize(("wire", "exchange"), STREAMS)
def test_what_follows_the_end_says_nothing(wire: Wire, exchange: Exchange) -> None:
    decoder, frames = wire.decoder(exchange), wire.frames(exchange)
    generic.decoded(decoder, frames)
    assert generic.decoded(decoder, frames) == []


OPTIONAL = (
    *("refusal", "tool_calls", "function_call", "audio", "reasoning", "reasoning_content", "images", "usage"),
    *("logprobs", "error", "citation", "citations", "signature", "stop_sequence", "stop_details", "text"),
    *("thought", "thoughtSignature", "functionCall", "inlineData", "executableCode", "groundingMetadata"),
    *(
        "redactedContent",
        "thinking",
        "content_index",
        "summary_index",
        "detail",
        "message",
        "thought_signature",
    ),
    *("toolUse", "toolResult", "reasoningContent", "image", "encrypted_content", "incomplete_details"),
)
"""Members that some wire may leave out."""
VALUES = ("arguments", "args", "input", "json")  # of tools: their members are nobody's

BENDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "reversed": lambda members: dict(reversed(members.items())),
    "new members": lambda members: {"a_new": {"type": "x"}, **members, "new": [1], "new_null": None},
    "nulls": lambda members: {**dict.fromkeys(OPTIONAL), **members},
}
"""What changes no meaning of an object on a wire."""


def bent(value: Any, bend: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    if isinstance(value, list):
        return [bent(item, bend) for item in value]
    if not isinstance(value, dict):
        return value
    members = {name: item if name in VALUES else bent(item, bend) for name, item in value.items()}
    return bend(members)


def meaning(response: Response) -> list[Any]:
    usage = response.usage or Usage()
    counts = usage.input_tokens, usage.output_tokens, usage.total, usage.cached_tokens, usage.reasoning_tokens
    return [counts, usage.details, usage.missing, *map(essence, response.choices)]


def in_turn(answers: list[Any]) -> list[Any]:
    """Each answer with one bend, in turn."""
    pairs = zip(answers, itertools.cycle(BENDS), strict=False)
    return [pytest.param(*answer.values, bend, id=f"{answer.id}-{bend}") for answer, bend in pairs]


ANSWERS = ("chat", "responses", "messages", "gemini", "converse", "cohere")
BENT = in_turn(STREAMS)
BENT_BODIES = in_turn(
    [
        pytest.param(wire, exchange, id=f"{name}-{exchange.id}")
        for name, wire in WIRES.items()
        if name in ANSWERS
        for exchange in wire.bodies
        if exchange.kind == "json"
    ]
)


@pytest.mark.parametrize(("wire", "exchange", "bend"), BENT)
def test_nulls_new_members_and_another_order_change_no_meaning(
    wire: Wire, exchange: Exchange, bend: str
) -> None:
    frames = wire.frames(exchange)
    others = [Frame(frame.event, bent(frame.data, BENDS[bend])) for frame in frames]
    read = generic.fold(generic.decoded(wire.decoder(exchange), others)).response()
    assert meaning(read) == meaning(wire.response(exchange))


def outcome(wire: Wire, exchange: Exchange, body: Any) -> Any:
    try:
        return meaning(wire.dialect.decode_response(body, wire.context(exchange)))
    except GatewayError as error:
        return error.kind.name, error.message


@pytest.mark.parametrize(("wire", "exchange", "bend"), BENT_BODIES)
def test_neither_do_they_in_a_whole_answer(wire: Wire, exchange: Exchange, bend: str) -> None:
    body = exchange.json()
    assert outcome(wire, exchange, bent(body, BENDS[bend])) == outcome(wire, exchange, body)
