"""Answers that lack a member which clients read unasked: it is there, whichever way the answer takes.

Each chunk has id, object, created, model and choices; the first tells the role.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic import Anthropic
from openai import OpenAI

from tests.behaviour.surfaces import EVERY, Surface
from tests.behaviour.world import (
    CHAT_DONE,
    DONE,
    World,
    chat_body,
    chat_chunk,
    chat_end,
    chat_stream,
    data_frame,
    event_frame,
    responses_body,
)
from tests.traffic.replay import Reply

WAYS = ("openai/x", "groq/x")  # the first passes, the second is translated


def bare(delta: dict[str, Any], finish: str | None = None) -> bytes:
    return data_frame({"choices": [{"delta": delta, "finish_reason": finish}]})


STREAMS = {
    "without names": bare({"content": "go"}) + bare({"content": "od"}) + bare({}, "stop"),
    "without delta": chat_stream("good").replace(b'"delta": {}, ', b""),
    "behind a chunk without choices": data_frame({"id": "up-1"}) + chat_stream("good"),
    "among chunks of other forms": data_frame({}) + data_frame({"type": "ping"}) + chat_stream("good"),
    "with null choices": data_frame({"id": "up-1", "choices": None}) + chat_stream("good"),
}


@pytest.mark.parametrize("model", WAYS)
@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
def test_a_chunk_has_what_every_chunk_has(model: str, stream: bytes, world: World) -> None:
    world.upstream.add(Reply.sse(stream + CHAT_DONE))
    answer = world.ask(model=model, stream=True)
    assert (answer.text, answer.broken("chat")) == ("good", [])
    chunks = [event for event in answer.events if event != DONE]
    assert all(choice["delta"] is not None for chunk in chunks for choice in chunk["choices"])
    spoken = [choice for chunk in chunks for choice in chunk["choices"]]
    assert spoken[0]["delta"]["role"] == "assistant"


def fragment(arguments: Any = None, name: str | None = None, **members: Any) -> dict[str, Any]:
    named = {} if name is None else {"name": name}
    return {**members, "function": {**named, **({} if arguments is None else {"arguments": arguments})}}


CALLS = {
    "without index": [
        fragment('{"a": 1}', "add", id="call_1"),
        fragment('{"a": 2}', "sub", id="call_2"),
    ],
    "under one index": [
        fragment('{"a": 1}', "add", id="call_1", index=0),
        fragment('{"a": 2}', "sub", id="call_2", index=0),
    ],
    "with gaps": [
        fragment('{"a": 1}', "add", id="call_1", index=3),
        fragment('{"a": 2}', "sub", id="call_2", index=7),
    ],
    "without ids": [fragment('{"a": 1}', "add", index=0), fragment('{"a": 2}', "sub", index=1)],
    "with objects": [
        fragment({"a": 1}, "add", id="call_1", index=0),
        fragment({"a": 2}, "sub", id="call_2", index=1),
    ],
    "that say their names again": [
        fragment('{"a":', "add", id="call_1", index=0),
        fragment('{"a":', "sub", id="call_2", index=1),
        fragment(" 1}", "add", id="call_1", index=0),
        fragment(" 2}", "sub", id="call_2", index=1),
    ],
}


@pytest.mark.parametrize("model", WAYS)
@pytest.mark.parametrize("fragments", CALLS.values(), ids=CALLS.keys())
def test_the_library_puts_calls_together(model: str, fragments: list[dict[str, Any]], world: World) -> None:
    deltas = b"".join(chat_chunk({"tool_calls": [one]}) for one in fragments)
    world.upstream.add(Reply.sse(deltas + chat_end().replace(b'"stop"', b'"tool_calls"')))
    client = OpenAI(base_url=f"{world.gateway.url}/v1", api_key="none", max_retries=0)
    said: Any = [{"role": "user", "content": "hi"}]
    with client.chat.completions.stream(model=model, messages=said) as stream:
        message = stream.get_final_completion().choices[0].message
    calls = message.tool_calls or []
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("add", {"a": 1}),
        ("sub", {"a": 2}),
    ]
    assert len({call.id for call in calls if call.id}) == 2


@pytest.mark.parametrize("model", WAYS)
def test_the_library_reads_a_bare_stream(model: str, world: World) -> None:
    world.upstream.add(Reply.sse(data_frame({"type": "ping"}) + STREAMS["without names"] + CHAT_DONE))
    client = OpenAI(base_url=f"{world.gateway.url}/v1", api_key="none", max_retries=0)
    chunks = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "hi"}], stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "good"


@pytest.mark.parametrize("model", WAYS)
def test_a_whole_answer_has_what_every_answer_has(model: str, world: World) -> None:
    told = chat_body("good", id=None, created=None)
    del told["object"], told["model"], told["choices"][0]["index"], told["choices"][0]["message"]["role"]
    world.upstream.add(Reply.json(told))
    answer = world.ask(model=model).json
    assert answer["id"].startswith("chatcmpl-")
    assert (answer["object"], answer["model"]) == ("chat.completion", "x")
    assert isinstance(answer["created"], int)
    assert (answer["choices"][0]["index"], answer["choices"][0]["message"]["role"]) == (0, "assistant")


MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "c", "stop_reason": None}
EVENTS: tuple[dict[str, Any], ...] = (
    {
        "type": "message_start",
        "message": {**MESSAGE, "content": [], "usage": {"input_tokens": 3, "output_tokens": 1}},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "good"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)
BARE_EVENTS = {
    "without names": b"".join(map(data_frame, EVENTS)),
    "with a bare start": b"".join(map(event_frame, ({**EVENTS[0], "message": {}}, *EVENTS[1:]))),
    "without usage": b"".join(map(event_frame, (*EVENTS[:4], {**EVENTS[4], "usage": None}, EVENTS[5]))),
}


@pytest.mark.parametrize("stream", BARE_EVENTS.values(), ids=BARE_EVENTS.keys())
def test_the_library_of_messages_reads_a_bare_stream(stream: bytes, world: World) -> None:
    world.upstream.add(Reply.sse(stream))
    client = Anthropic(base_url=f"{world.gateway.url}/anthropic", api_key="none", max_retries=0)
    said: Any = [{"role": "user", "content": "hi"}]
    with client.messages.stream(model="anthropic/claude-x", max_tokens=9, messages=said) as answer:
        message = answer.get_final_message()
    assert [block.text for block in message.content if block.type == "text"] == ["good"]
    assert (message.role, message.stop_reason) == ("assistant", "end_turn")
    assert message.id
    assert message.model
    assert message.usage.output_tokens in (1, 2)


ODD_STARTS = {
    "twice": (EVENTS[0], *EVENTS),
    "late": (EVENTS[1], EVENTS[0], *EVENTS[2:]),
    "never": EVENTS[1:],
}


@pytest.mark.parametrize("surface", EVERY, ids=lambda surface: surface.name)
@pytest.mark.parametrize("events", ODD_STARTS.values(), ids=ODD_STARTS.keys())
def test_an_answer_may_start_twice_late_or_never(
    events: tuple[dict[str, Any], ...], surface: Surface, world: World
) -> None:
    world.upstream.add(Reply.sse(b"".join(map(event_frame, events))))
    model = "anthropic/claude-x"
    answer = surface.ask(world, model, stream=True)
    assert surface.text_of(answer) == "good"
    assert surface.ended_well(answer)
    assert "Traceback" not in world.gateway.log


def test_a_whole_message_has_what_every_message_has(world: World) -> None:
    world.upstream.add(Reply.json({"content": [{"type": "text", "text": "good"}]}))
    body = {"model": "anthropic/claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    message = world.send("POST", "/anthropic/v1/messages", body).json
    assert message["id"].startswith("msg_")
    assert (message["type"], message["role"], message["model"]) == ("message", "assistant", "claude-x")
    assert message["usage"]["output_tokens"] > 0


def test_a_thought_that_a_cut_left_alone_stays_out_of_the_next_turn(world: World) -> None:
    # OpenAI tells no status of it, and refuses a thought that nothing follows
    thought = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "secret"}
    cut = responses_body(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    world.upstream.add(Reply.json({**cut, "output": [thought]}))
    world.upstream.add(Reply.json(responses_body()))
    first = world.ask("responses", model="openai/x").json
    assert world.ask("responses", model="openai/x", previous_response_id=first["id"]).status == 200
    sent = world.upstream.requests[-1].json()["input"]
    assert [item["type"] for item in sent] == ["message", "message"]
