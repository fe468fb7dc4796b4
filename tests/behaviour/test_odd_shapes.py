"""Answers bent at random: never a fault of ours, whatever JSON a provider sends (reliability.md 3).

Recorded good answers have a few of their members replaced, dropped or added, by a fixed seed. The
gateway may pass the thing on, read it or refuse it as 502; it may not break.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.wire.eventstream import EventStreamDecoder, encode_event, encode_message
from tests.behaviour.surfaces import EVERY, Surface
from tests.behaviour.world import (
    EVERY_WIRE,
    ROLE,
    ResponsesStream,
    World,
    chat_end,
    chat_text,
    event_frame,
)
from tests.traffic.frames import sse
from tests.traffic.load import EVENT_STREAM, Exchange, exchanges, require
from tests.traffic.replay import Reply

VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 10**30, "", "x", "a\nb: c"),
    *([], {}, [None], [[]], [{}], ["x"], {"a": 1}, {"type": 5}, {"type": "text"}),
)
NAMES = ("type", "index", "id", "delta", "content", "role", "error")
BENDS = 250
WIRES = {
    "openai.chat": (("chat", "groq/x"), ("responses", "groq/x"), ("chat", "openai/x")),
    "openai.responses": (("responses", "openai/x"), ("chat", "responder/x")),
    "anthropic.messages": (("chat", "anthropic/x"), ("responses", "anthropic/x")),
    "cohere.v2.chat": (("chat", "cohere/x"), ("responses", "cohere/x")),
    "gemini.*": (("chat", "gemini/x"), ("responses", "gemini/x")),
    "bedrock.converse": (("chat", "bedrock/x"), ("responses", "bedrock/x")),
}
PROMPTED = ("", ".generateContent", ".streamGenerateContent")  # ends of the names of APIs

SETTING = EVERY_WIRE


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every member below ``value``."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, member in members:
        yield (*at, name)
        yield from places(member, (*at, name))


def bent(value: Any, chance: random.Random) -> Any:
    """Return a copy with one to three changes."""
    value = copy.deepcopy(value)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        paths = list(places(value))
        if not paths:
            break
        *way, name = chance.choice(paths)
        holder = value
        for step in way:
            holder = holder[step]
        odd = copy.deepcopy(chance.choice(VALUES))
        match chance.randrange(10):
            case 0 | 1:
                del holder[name]
            case 2 if isinstance(holder, dict):
                holder[chance.choice(NAMES)] = odd
            case 2:
                holder.insert(name, odd)
            case _:
                holder[name] = odd
    return value


def reply_of(recording: Exchange, chance: random.Random) -> Reply:
    if not recording.streamed:
        return Reply.json(bent(recording.json(), chance))
    if recording.content_type.startswith(EVENT_STREAM):
        return _aws_reply(recording, chance)
    frames = sse(recording.content())
    chosen = chance.randrange(len(frames))
    body = ""
    for number, frame in enumerate(frames):
        data = frame.data
        if number == chosen and data.startswith("{"):
            data = json.dumps(bent(json.loads(data), chance))
        body += (f"event: {frame.event}\n" if frame.event else "") + f"data: {data}\n\n"
    return Reply.sse(body, chunk=chance.choice((0, 0, 700)))


def _aws_reply(recording: Exchange, chance: random.Random) -> Reply:
    messages = list(EventStreamDecoder().feed(recording.content()))
    chosen = chance.randrange(len(messages))
    body = b"".join(
        encode_message(
            message.headers,
            json.dumps(bent(json.loads(message.payload), chance)).encode()
            if number == chosen
            else message.payload,
        )
        for number, message in enumerate(messages)
    )
    return Reply(200, body, {"content-type": EVENT_STREAM})


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("api", WIRES)
def test_no_answer_breaks_the_gateway(api: str, streamed: bool, world: World) -> None:
    require()
    chance = random.Random(f"{api}-{streamed}")
    prompted = {api.removesuffix(".*") + end for end in PROMPTED}
    found = [e for e in exchanges([api]) if e.status == 200 and e.streamed is streamed and e.api in prompted]
    assert found
    for number in range(BENDS // 2):
        recording = chance.choice(found)
        operation, model = WIRES[api][number % len(WIRES[api])]
        reply = reply_of(recording, chance)
        world.fresh().upstream.add(reply)

        answer = world.ask(operation, model=model, stream=streamed)

        where = (number, recording.id, operation, model, answer.status, answer.body[-300:])
        assert b"internal_error" not in answer.body, where
        assert answer.status in (200, 502) or "error" in answer.json, where
        assert "event: c" not in answer.body.decode(), where


@pytest.mark.parametrize(
    "kind",
    ["response.x\nevent: response.completed", "a\rb", "", 5, None, [], {"a": 1}, "x" * 5000],
    ids=lambda kind: repr(kind)[:30],
)
def test_an_event_of_an_odd_type_neither_breaks_nor_injects(kind: Any, world: World) -> None:
    stream = ResponsesStream()
    odd = event_frame({"type": "response.odd", "x": 1}).replace(
        b'"type": "response.odd"', b'"type": ' + json.dumps(kind).encode()
    )
    world.upstream.add(Reply.sse(stream.opening() + stream.text("good") + odd + stream.end("good")))

    answer = world.ask("responses", model="openai/x", stream=True)

    events = answer.events
    assert (answer.status, answer.text, events[-1]["type"]) == (200, "good", "response.completed")
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [frame.event for frame in sse(answer.body)] == [event["type"] for event in events]
    assert [event["type"] for event in events].count("response.completed") == 1


def cohere_stream(index: Any) -> Reply:
    content = {"type": "text", "text": ""}
    frames = (
        {"type": "message-start", "id": "msg"},
        {"type": "content-start", "index": index, "delta": {"message": {"content": content}}},
        {"type": "content-delta", "index": index, "delta": {"message": {"content": {"text": "good"}}}},
        {"type": "content-end", "index": index},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}},
    )
    return Reply.sse(b"".join(map(event_frame, frames)))


def bedrock_stream(index: Any, *start: Any) -> Reply:
    frames = (
        ("messageStart", {"role": "assistant"}),
        *(("contentBlockStart", {"contentBlockIndex": index, "start": one}) for one in start),
        ("contentBlockDelta", {"contentBlockIndex": index, "delta": {"text": "good"}}),
        ("contentBlockStop", {"contentBlockIndex": index}),
        ("messageStop", {"stopReason": "end_turn"}),
    )
    body = b"".join(encode_event(name, json.dumps(data).encode()) for name, data in frames)
    return Reply(200, body, {"content-type": EVENT_STREAM})


@pytest.mark.parametrize("index", [[], {}], ids=repr)
@pytest.mark.parametrize(
    ("model", "stream"),
    [("cohere/x", cohere_stream), ("bedrock/x", bedrock_stream)],
    ids=["cohere", "bedrock"],
)
def test_an_index_that_is_no_number_breaks_nothing(
    model: str, stream: Callable[[Any], Reply], index: Any, world: World
) -> None:
    world.upstream.add(stream(index))

    answer = world.ask(model=model, stream=True)

    assert (answer.status, answer.text) == (200, "good")


def bedrock_with_null() -> Reply:
    whole = bedrock_stream(0)
    assert isinstance(whole.body, bytes)
    return Reply(200, encode_event("messageStart", b"null") + whole.body, whole.headers)


@pytest.mark.parametrize(
    ("model", "reply"),
    [
        ("groq/x", Reply.sse(ROLE + b"data: null\n\n" + chat_text("good") + chat_end())),
        ("openai/x", Reply.sse(ROLE + b"data: null\n\n" + chat_text("good") + chat_end())),
        ("cohere/x", Reply.sse(b"event: x\ndata: null\n\n" + bytes(cohere_stream(0).body))),
        ("bedrock/x", bedrock_with_null()),
    ],
    ids=["groq", "openai", "cohere", "bedrock"],
)
def test_an_event_of_null_does_not_end_a_stream(model: str, reply: Reply, world: World) -> None:
    world.upstream.add(reply)

    answer = world.ask(model=model, stream=True)

    assert (answer.status, answer.text) == (200, "good")
    assert answer.broken("chat") == []


@pytest.mark.parametrize("start", [{}, {"text": ""}, {"reasoningContent": {}}, None], ids=repr)
def test_a_text_of_bedrock_may_be_announced(start: Any, world: World) -> None:
    world.upstream.add(bedrock_stream(0, start))

    answer = world.ask(model="bedrock/x", stream=True)

    assert (answer.status, answer.text) == (200, "good")


@pytest.mark.parametrize("member", ["message", "Message"])
def test_an_exception_of_bedrock_is_told_in_its_words(member: str, world: World) -> None:
    exception = encode_event("exception:throttlingException", json.dumps({member: "slow down"}).encode())
    world.upstream.add(Reply(200, exception, {"content-type": EVENT_STREAM}), times=9)

    answer = world.ask(model="bedrock/x", stream=True)

    assert (answer.status, answer.error["message"]) == (429, "slow down")


TRANSLATED = [surface for surface in EVERY if surface.name != "bedrock"]


@pytest.mark.parametrize("surface", TRANSLATED, ids=lambda surface: surface.name)
def test_what_comes_after_bedrocks_stop_is_dropped(surface: Surface, world: World) -> None:
    more = {"contentBlockIndex": 1, "delta": {"text": " and more"}}
    late = (("contentBlockDelta", more), ("contentBlockStop", {"contentBlockIndex": 1}))
    ends = (*late, ("messageStop", {"stopReason": "max_tokens"}), ("metadata", {"usage": {"inputTokens": 3}}))
    tail = b"".join(encode_event(name, json.dumps(data).encode()) for name, data in ends)
    stream = bedrock_stream(0)
    world.upstream.add(Reply(200, stream.body + tail, stream.headers))

    answer = surface.ask(world, "bedrock/x", stream=True)

    assert (answer.status, surface.text_of(answer)) == (200, "good")
    assert surface.ended_well(answer)
