"""What single providers demand, over real sockets: refusals before the call, signatures of later turns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.world import OPERATIONS, World, good, running_world
from tests.traffic.replay import Reply

Json = dict[str, Any]
PICTURE = "https://example.com/a.png"


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    env = {
        "GEMINI_BASE_URL": "{upstream}/v1beta",
        "GEMINI_API_KEY": "k",
        "VERTEX_BASE_URL": "{upstream}",
        "VERTEX_PROJECT": "p",
        "VERTEX_LOCATION": "us-east5",
        "VERTEX_ACCESS_TOKEN": "t",
    }
    with running_world(env) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    return _world.fresh()


def seeing(operation: str) -> Json:
    """A prompt with a picture by its address."""
    if operation == "chat":
        part = {"type": "image_url", "image_url": {"url": PICTURE}}
        return {"messages": [{"role": "user", "content": [part]}]}
    return {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": PICTURE}]}]}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("model", ["vertex/claude-sonnet-4-5"])
def test_an_address_that_the_host_does_not_fetch_goes_to_the_next_target(
    model: str, operation: str, stream: bool, world: World
) -> None:
    world.upstream.add(good(operation, "openai/y", stream))

    answer = world.ask(operation, model=model, stream=stream, fallbacks=["openai/y"], **seeing(operation))

    assert (answer.status, answer.text) == (200, "good")
    assert len(world.upstream.requests) == 1
    alone = world.ask(operation, model=model, stream=stream, **seeing(operation))
    assert (alone.status, alone.error["code"]) == (400, "unsupported_parameter")


def thought_call(number: int) -> list[Json]:
    """A model's turn of Gemini's: a thought, and a call with its signature."""
    call = {"id": f"c{number}", "name": "f", "args": {"a": number}}
    return [
        {"text": f"hm{number}", "thought": True},
        {"functionCall": call, "thoughtSignature": f"U0lHTjA{number}"},
    ]


def spoken(parts: list[Json], stream: bool) -> Reply:
    """One answer of Gemini's with these parts, a chunk each where it streams."""
    turns = [[part] for part in parts] if stream else [parts]
    bodies: list[Json] = [{"candidates": [{"content": {"role": "model", "parts": turn}}]} for turn in turns]
    bodies[-1]["candidates"][0]["finishReason"] = "STOP"
    if not stream:
        return Reply.json(bodies[0])
    frames = b"".join(b"data: " + json.dumps(body).encode() + b"\n\n" for body in bodies)
    return Reply(200, frames, {"content-type": "text/event-stream"})


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("by_id", [False, True])
def test_the_calls_of_each_turn_keep_their_signatures(by_id: bool, stream: bool, world: World) -> None:
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]
    common: Json = {
        "model": "gemini/gemini-3.8-flash",
        "tools": tools,
        "reasoning": {"effort": "high", "summary": "auto"},
    }
    history: list[Json] = [{"role": "user", "content": "hi"}]
    asked: Json = {"input": history}
    for number in (1, 2, 3):
        world.upstream.add(spoken(thought_call(number), stream))
        answer = world.ask("responses", stream=stream, **common, **asked)
        body = answer.events[-1]["response"] if stream else answer.json
        result = {"type": "function_call_output", "call_id": f"c{number}", "output": "x"}
        history = [*history, *body["output"], result]
        asked = {"input": [result], "previous_response_id": body["id"]} if by_id else {"input": history}

    turns = [
        turn for turn in json.loads(world.upstream.requests[-1].body)["contents"] if turn["role"] == "model"
    ]
    assert [turn["parts"] for turn in turns] == [thought_call(1), thought_call(2)]
