"""The input of a tool call where a wire has JSON objects alone: the same whole and streamed, whatever a model said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.behaviour.surfaces import EVERY, events
from tests.behaviour.world import CHAT_DONE, EVERY_WIRE, Answer, World, chat_body, chat_chunk
from tests.traffic.replay import Reply

FREE = 'print("hi")\n\\ \u2028 {"'
CALLS: dict[str, tuple[dict[str, Any], Any]] = {
    "free text": ({"type": "custom", "custom": {"name": "run", "input": FREE}}, {"input": FREE}),
    "no free text": ({"type": "custom", "custom": {"name": "run", "input": ""}}, {"input": ""}),
    "an object": ({"type": "function", "function": {"name": "run", "arguments": ' {"a": 1}'}}, {"a": 1}),
    "nothing": ({"type": "function", "function": {"name": "run", "arguments": ""}}, {}),
    "blanks": ({"type": "function", "function": {"name": "run", "arguments": " \n"}}, {}),
    "null": ({"type": "function", "function": {"name": "run", "arguments": "null"}}, {}),
    "a list": ({"type": "function", "function": {"name": "run", "arguments": "[1]"}}, {"input": [1]}),
    "no JSON": ({"type": "function", "function": {"name": "run", "arguments": "ls -l"}}, {"input": "ls -l"}),
}

SETTING = EVERY_WIRE


def stream_of(call: dict[str, Any]) -> bytes:
    """Return a stream that says a call letter by letter."""
    kind = call["type"]
    member = "input" if kind == "custom" else "arguments"
    opening = {"index": 0, "id": "call_1", "type": kind, kind: {"name": "run", member: ""}}
    deltas = [{"index": 0, kind: {member: letter}} for letter in call[kind][member]]
    chunks = b"".join(chat_chunk({"tool_calls": [one]}) for one in [opening, *deltas])
    return chunks + chat_chunk({}, "tool_calls") + CHAT_DONE


def anthropic(answer: Answer, stream: bool) -> Any:
    if not stream:
        return answer.json["content"][0]["input"]
    pieces = [event["delta"].get("partial_json", "") for event in events(answer) if "delta" in event]
    return json.loads("".join(pieces))


def bedrock(answer: Answer, stream: bool) -> Any:
    if not stream:
        return answer.json["output"]["message"]["content"][0]["toolUse"]["input"]
    deltas = [event["contentBlockDelta"]["delta"] for event in events(answer) if "contentBlockDelta" in event]
    return json.loads("".join(delta["toolUse"]["input"] for delta in deltas))


def cohere(answer: Answer, stream: bool) -> Any:
    if not stream:
        return json.loads(answer.json["message"]["tool_calls"][0]["function"]["arguments"])
    calls = [
        event["delta"]["message"]["tool_calls"]
        for event in events(answer)
        if "tool-call" in event["type"] and "delta" in event
    ]
    return json.loads("".join(call["function"]["arguments"] for call in calls))


def gemini(answer: Answer, stream: bool) -> Any:
    bodies = events(answer) if stream else [answer.json]
    parts = [part for body in bodies for one in body["candidates"] for part in one["content"]["parts"]]
    (call,) = [part["functionCall"] for part in parts if "functionCall" in part]
    return call["args"]


READERS = {
    "anthropic": anthropic,
    "bedrock": bedrock,
    "cohere": cohere,
    "gemini": gemini,
    "gemini array": gemini,
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("said", CALLS)
@pytest.mark.parametrize("name", READERS)
def test_the_input_of_a_call_is_an_object(name: str, said: str, stream: bool, world: World) -> None:
    call, wanted = CALLS[said]
    surface = next(surface for surface in EVERY if surface.name == name)
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", **call}]}
    whole = chat_body(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}])
    world.upstream.add(Reply.sse(stream_of(call)) if stream else Reply.json(whole))

    answer = surface.ask(world, "groq/x", stream=stream)

    assert (answer.status, READERS[name](answer, stream)) == (200, wanted)
