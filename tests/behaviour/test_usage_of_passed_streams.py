"""Streams that pass and tell no usage, or none that can be one: each surface tells ours where its wire has it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.wire.eventstream import encode_event
from tests.behaviour.surfaces import EVERY, events
from tests.behaviour.world import EVERY_WIRE, World, data_frame, event_frame
from tests.traffic.load import EVENT_STREAM
from tests.traffic.replay import Reply

TEXT = "four words are good"
ODD: dict[str, Any] = {"absent": None, "negative": -5, "strings": "3", "an object": {}, "no counts": 1.5}

SETTING = EVERY_WIRE


def counts(*names: str, odd: Any) -> dict[str, Any]:
    return {} if odd is None else dict.fromkeys(names, odd)


def anthropic(odd: Any) -> Reply:
    usage = counts("input_tokens", "output_tokens", odd=odd)
    told = {"usage": usage} if usage else {}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [], **told}
    frames = (
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, **told},
        {"type": "message_stop"},
    )
    return Reply.sse(b"".join(map(event_frame, frames)))


def gemini(odd: Any) -> Reply:
    usage = counts("promptTokenCount", "candidatesTokenCount", "totalTokenCount", odd=odd)
    told = {"usageMetadata": usage} if usage else {}
    content = {"role": "model", "parts": [{"text": TEXT}]}
    begun = {"candidates": [{"index": 0, "content": content}], **told}
    silent = {"role": "model", "parts": [{"text": ""}]}
    ended = {"candidates": [{"index": 0, "content": silent, "finishReason": "STOP"}], **told}
    return Reply.sse(data_frame(begun) + data_frame(ended))


def bedrock(odd: Any) -> Reply:
    usage = counts("inputTokens", "outputTokens", "totalTokens", odd=odd)
    told: tuple[tuple[str, dict[str, Any]], ...] = (("metadata", {"usage": usage}),) if usage else ()
    parts: tuple[tuple[str, dict[str, Any]], ...] = (
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": TEXT}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
    )
    body = b"".join(encode_event(name, json.dumps(data).encode()) for name, data in parts + told)
    return Reply(200, body, {"content-type": EVENT_STREAM})


def cohere(odd: Any) -> Reply:
    usage = counts("input_tokens", "output_tokens", odd=odd)
    told = {"usage": {"tokens": usage}} if usage else {}
    content: dict[str, Any] = {"type": "text", "text": ""}
    frames = (
        {"type": "message-start", "id": "m"},
        {"type": "content-start", "index": 0, "delta": {"message": {"content": content}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": TEXT}}}},
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", **told}},
    )
    return Reply.sse(b"".join(map(event_frame, frames)))


HOMES = {
    "anthropic": (anthropic, "anthropic/claude-x", ("usage",), ("input_tokens", "output_tokens")),
    "gemini": (gemini, "gemini/x", ("usageMetadata",), ("promptTokenCount", "candidatesTokenCount")),
    "gemini array": (gemini, "gemini/x", ("usageMetadata",), ("promptTokenCount", "candidatesTokenCount")),
    "bedrock": (bedrock, "bedrock/x", ("metadata", "usage"), ("inputTokens", "outputTokens")),
    "cohere": (cohere, "cohere/x", ("delta", "usage", "tokens"), ("input_tokens", "output_tokens")),
}


def at(value: Any, way: tuple[str, ...]) -> Any:
    for name in way:
        value = value.get(name) if isinstance(value, dict) else None
    return value


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("name", HOMES)
def test_a_passed_stream_tells_a_usage(name: str, odd: Any, world: World) -> None:
    reply, model, way, names = HOMES[name]
    surface = next(surface for surface in EVERY if surface.name == name)
    world.upstream.add(reply(odd))

    answer = surface.ask(world, model, stream=True)

    assert (answer.status, surface.text_of(answer), surface.ended_well(answer)) == (200, TEXT, True)
    told = [usage for event in events(answer) if (usage := at(event, way)) is not None]
    assert told
    opened = [usage for event in events(answer) if (usage := at(event, ("message", "usage"))) is not None]
    assert all(type(count) is int and count >= 0 for usage in opened for count in usage.values())
    assert all(type(count) is int and count >= 0 for usage in told for count in usage.values())
    assert all(told[-1][count] > 0 for count in names), told


@pytest.mark.parametrize("name", HOMES)
def test_a_usage_that_is_told_passes_as_it_is(name: str, world: World) -> None:
    reply, model, way, names = HOMES[name]
    surface = next(surface for surface in EVERY if surface.name == name)
    world.upstream.add(reply(7))

    answer = surface.ask(world, model, stream=True)

    told = [usage for event in events(answer) if (usage := at(event, way)) is not None]
    assert [usage[names[-1]] for usage in told] == [7] * len(told)
    assert len(told) == (2 if name.startswith("gemini") else 1)
