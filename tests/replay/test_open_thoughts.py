"""Thoughts that a server shows openly: sealed when asked for, told as a summary when asked for, and
sent back where the server takes them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.world import World, chat_body, chat_chunk
from tests.traffic.replay import Reply

Json = dict[str, Any]
RESPONSES = "/v1/responses"
ENCRYPTED = ["reasoning.encrypted_content"]
GO = {"role": "user", "content": "Go"}
SLOTS = {"sgl/x": "reasoning_content", "groq/openai/gpt-oss-20b": "reasoning", "ollama/x": "reasoning"}


@pytest.fixture
def world(world: World) -> World:
    return world.fresh()


def ask(world: World, stream: bool, slot: str = "reasoning_content", **members: Any) -> Json:
    """Ask once; the provider thinks "hm so" and says "good"."""
    if stream:
        deltas = [{"role": "assistant", slot: "hm "}, {slot: "so"}, {"content": "good"}]
        frames = b"".join(map(chat_chunk, deltas)) + chat_chunk({}, "stop") + b"data: [DONE]\n\n"
        world.upstream.add(Reply.sse(frames))
    else:
        message = {"role": "assistant", slot: "hm so", "content": "good"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        world.upstream.add(Reply.json(chat_body(choices=[choice])))
    body = {"model": "sgl/x", "input": [GO], "stream": stream, **members}
    answer = world.send("POST", RESPONSES, body)
    assert answer.status == 200, answer.body
    if stream:
        assert answer.broken("responses") == []
    told: Json = answer.events[-1]["response"] if stream else answer.json
    return told


BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@BOTH
@pytest.mark.parametrize("model", SLOTS)
def test_a_client_that_keeps_the_cipher_alone_sends_the_thoughts_back(
    world: World, model: str, stream: bool
) -> None:
    slot = SLOTS[model]
    first = ask(world, stream, slot, model=model, store=False, include=ENCRYPTED)
    thought, said = first["output"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "hm so"}]
    assert "hm so" not in thought["encrypted_content"]
    bare = {"type": "reasoning", "summary": [], "encrypted_content": thought["encrypted_content"]}
    second = ask(world, stream, slot, model=model, store=False, input=[GO, bare, said, GO], include=ENCRYPTED)
    assert world.upstream.requests[-1].json()["messages"][1][slot] == "hm so"
    assert second["status"] == "completed"


@BOTH
def test_the_cipher_is_not_given_unasked(world: World, stream: bool) -> None:
    assert "encrypted_content" not in ask(world, stream)["output"][0]


@BOTH
def test_thoughts_are_told_as_a_summary_when_one_is_asked_for(world: World, stream: bool) -> None:
    first = ask(world, stream, reasoning={"effort": "high", "summary": "auto"})
    thought = first["output"][0]
    assert thought["content"] == [{"type": "reasoning_text", "text": "hm so"}]
    assert thought["summary"] == [{"type": "summary_text", "text": "hm so"}]
    assert ask(world, stream)["output"][0]["summary"] == []
    ask(world, stream, input=[GO, *first["output"], GO])
    assert world.upstream.requests[-1].json()["messages"][1]["reasoning_content"] == "hm so", "said once"


def test_a_summary_streams_as_the_thoughts_do(world: World) -> None:
    frames = (
        chat_chunk({"role": "assistant", "reasoning": "hm"})
        + chat_chunk({"content": "x"})
        + chat_chunk({}, "stop")
    )
    world.upstream.add(Reply.sse(frames + b"data: [DONE]\n\n"))
    body = {"model": "sgl/x", "input": "Go", "stream": True, "reasoning": {"summary": "detailed"}}
    kinds = [event["type"] for event in world.send("POST", RESPONSES, body).events]
    summary = [kind.removeprefix("response.reasoning_summary_") for kind in kinds if "summary" in kind]
    assert summary == ["part.added", "text.delta", "text.done", "part.done"]


@BOTH
@pytest.mark.parametrize("model", SLOTS)
def test_a_plain_chat_client_brings_the_thoughts_of_a_call_back(
    world: World, model: str, stream: bool
) -> None:
    slot, call_id = SLOTS[model], f"call_{model[:3]}_{stream}"
    call = {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body: Json = {"model": model, "messages": [GO], "stream": stream}
    if stream:
        deltas: list[Json] = [{"role": "assistant", slot: "hm so"}, {"tool_calls": [{"index": 0, **call}]}]
        frames = b"".join(map(chat_chunk, deltas)) + chat_chunk({}, "tool_calls") + b"data: [DONE]\n\n"
        world.upstream.add(Reply.sse(frames))
    else:
        message = {"role": "assistant", slot: "hm so", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        world.upstream.add(Reply.json(chat_body(choices=[choice])))
    assert world.send("POST", "/v1/chat/completions", body).status == 200
    world.upstream.add(Reply.json(chat_body()))
    again = [
        GO,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": "A"},
    ]
    answer = world.send("POST", "/v1/chat/completions", {"model": model, "messages": again})
    assert answer.status == 200
    assert world.upstream.requests[-1].json()["messages"][1][slot] == "hm so"
    assert "warnings" not in answer.json["extra_fields"]
