"""A tool call without a name, whoever makes it: no client could run it, so it is no answer (reliability.md 3)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.wire.eventstream import encode_event
from tests.behaviour.surfaces import EVERY
from tests.behaviour.world import (
    CHAT_DONE,
    EVERY_WIRE,
    World,
    chat_body,
    chat_chunk,
    chat_stream,
    event_frame,
    responses_body,
)
from tests.traffic.load import EVENT_STREAM
from tests.traffic.replay import Reply

NAMES: dict[str, dict[str, Any]] = {
    "absent": {},
    "null": {"name": None},
    "empty": {"name": ""},
    "a number": {"name": 5},
}

SETTING = EVERY_WIRE


def _frames(*frames: dict[str, Any]) -> Reply:
    return Reply.sse(b"".join(map(event_frame, frames)))


def chat(named: dict[str, Any]) -> tuple[Reply, Reply]:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {**named, "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    whole = chat_body(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}])
    return Reply.json(whole), Reply.sse(
        chat_chunk({"tool_calls": [call]}) + chat_chunk({}, "tool_calls") + CHAT_DONE
    )


def messages(named: dict[str, Any]) -> tuple[Reply, Reply]:
    block = {"type": "tool_use", "id": "toolu_1", "input": {}, **named}
    body = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "c",
        "content": [block],
        "stop_reason": "tool_use",
    }
    usage = {"input_tokens": 1, "output_tokens": 1}
    stream = _frames(
        {"type": "message_start", "message": {**body, "content": [], "stop_reason": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": usage},
        {"type": "message_stop"},
    )
    return Reply.json({**body, "usage": usage}), stream


def gemini(named: dict[str, Any]) -> tuple[Reply, Reply]:
    content = {"role": "model", "parts": [{"functionCall": {**named, "args": {}}}]}
    body = {"candidates": [{"index": 0, "content": content, "finishReason": "STOP"}]}
    return Reply.json(body), Reply.sse(b"data: " + json.dumps(body).encode() + b"\r\n\r\n")


def bedrock(named: dict[str, Any]) -> tuple[Reply, Reply]:
    use = {"toolUseId": "tooluse_1", **named}
    content = [{"toolUse": {**use, "input": {}}}]
    body = {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "tool_use"}
    events: tuple[tuple[str, dict[str, Any]], ...] = (
        ("messageStart", {"role": "assistant"}),
        ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": use}}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{}"}}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "tool_use"}),
    )
    stream = b"".join(encode_event(name, json.dumps(data).encode()) for name, data in events)
    return Reply.json(body), Reply(200, stream, {"content-type": EVENT_STREAM})


def cohere(named: dict[str, Any]) -> tuple[Reply, Reply]:
    call = {"id": "call_1", "type": "function", "function": {**named, "arguments": "{}"}}
    whole = {"id": "m", "finish_reason": "TOOL_CALL", "message": {"role": "assistant", "tool_calls": [call]}}
    stream = _frames(
        {"type": "message-start", "id": "m"},
        {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": call}}},
        {"type": "tool-call-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}},
    )
    return Reply.json(whole), stream


def responses(named: dict[str, Any]) -> tuple[Reply, Reply]:
    item = {
        "id": "fc_1",
        "type": "function_call",
        "call_id": "call_1",
        "arguments": "{}",
        "status": "completed",
        **named,
    }
    body = {**responses_body(), "output": [item]}
    kinds = (
        {"type": "response.created", "response": responses_body(status="in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": body},
    )
    return Reply.json(body), _frames(
        *({**one, "sequence_number": number} for number, one in enumerate(kinds))
    )


MAKERS = {
    "openai/x": chat,
    "groq/x": chat,
    "anthropic/claude-x": messages,
    "gemini/x": gemini,
    "bedrock/x": bedrock,
    "cohere/x": cohere,
    "responder/x": responses,
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("named", NAMES.values(), ids=NAMES.keys())
@pytest.mark.parametrize("model", MAKERS)
def test_a_call_without_a_name_is_no_answer(
    model: str, named: dict[str, Any], stream: bool, world: World
) -> None:
    for surface in EVERY:
        makes = responses if model == "openai/x" and surface.name == "responses" else MAKERS[model]
        world.fresh().upstream.add(makes(named)[stream])

        answer = surface.ask(world, model, stream=stream)

        assert answer.status == 502, (surface.name, answer.body[:300])
        assert b"call without a name" in answer.body
        assert len(world.upstream.requests) == 1


SAID = {"role": "user", "content": "x"}
CALL = {"id": "c", "type": "function", "function": {"arguments": "{}"}}
PAST: dict[str, dict[str, Any]] = {
    "chat": {"messages": [SAID, {"role": "assistant", "tool_calls": [CALL]}]},
    "responses": {"input": [SAID, {"type": "function_call", "call_id": "c", "arguments": "{}"}]},
    "anthropic": {
        "messages": [SAID, {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "input": {}}]}]
    },
    "cohere": {"messages": [SAID, {"role": "assistant", "tool_calls": [CALL]}]},
    "gemini": {"contents": [{"role": "model", "parts": [{"functionCall": {"args": {}}}]}]},
    "bedrock": {
        "messages": [
            {"role": "user", "content": [{"text": "x"}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "input": {}}}]},
        ]
    },
}


@pytest.mark.parametrize("name", PAST)
def test_a_clients_call_without_a_name_is_its_own_fault(name: str, world: World) -> None:
    # the same halves of some wires read what a client sends
    surface = next(surface for surface in EVERY if surface.name == name)

    answer = surface.ask(world, "groq/x", **PAST[name])

    assert (answer.status, world.upstream.requests) == (400, []), answer.body


@pytest.mark.parametrize("model", ["openai/x", "groq/x"])
def test_a_chunk_may_hold_a_message_in_the_place_of_its_delta(model: str, world: World) -> None:
    for surface in EVERY:
        stream = chat_stream("go", "od").replace(b'"delta": {', b'"message": {')
        world.fresh().upstream.add(Reply.sse(stream))

        answer = surface.ask(world, model, stream=True)

        if not (model == "openai/x" and surface.name == "responses"):  # another wire
            assert (answer.status, surface.text_of(answer), surface.ended_well(answer)) == (
                200,
                "good",
                True,
            ), surface.name


@pytest.mark.parametrize("model", ["openai/x", "groq/x"])
def test_a_message_beside_deltas_says_nothing_new(model: str, world: World) -> None:
    told = b'"delta": {}, "message": {"role": "assistant", "content": "good"}'
    world.upstream.add(Reply.sse(chat_stream("go", "od").replace(b'"delta": {}', told)))

    assert world.ask(model=model, stream=True).text == "good"
