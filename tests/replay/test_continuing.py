"""The next turn: what a provider wants back with a tool's result comes back to it, whatever the client kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.world import World, chat_body, chat_chunk
from tests.replay import asking
from tests.replay.asking import CHAT, RESPONSES
from tests.replay.setting import replaying_world
from tests.traffic.answers import Answer, extract
from tests.traffic.load import Exchange, absent, exchanges, require
from tests.traffic.replay import NEVER, Reply

Json = dict[str, Any]

TOOL = {"type": "object", "properties": {}}


def signed(api: str) -> list[Any]:
    """The recordings whose answer calls tools and holds signatures."""
    found = []
    for one in exchanges(apis=(api,)):
        expected = extract(one)
        if isinstance(expected, Answer) and expected.choices and expected.choices[0].signatures:
            if expected.choices[0].tool_calls and "UNEXPECTED" not in str(expected.choices[0].finish_raw):
                found.append(pytest.param(one, id=one.id))
    return found


def ask_first(world: World, one: Exchange, path: str, **members: Any) -> tuple[Json, list[Json]]:
    """The first turn, whole; its answer and the tools that were offered."""
    expected = extract(one)
    assert isinstance(expected, Answer)
    names = sorted({call.name for call in expected.choices[0].tool_calls})
    functions = [{"name": name, "parameters": TOOL} for name in names]
    chat = path == CHAT
    tools = [{"type": "function", "function": f} if chat else {"type": "function", **f} for f in functions]
    prompt: Json = {"messages": [{"role": "user", "content": "Go"}]} if chat else {"input": "Go"}
    world.fresh().upstream.add(Reply.of(one, chunk=0), times=NEVER)
    body = {"model": asking.model_of(one), **prompt, "tools": tools, **members}
    http = world.send("POST", path, body)
    assert http.status == 200, http.body
    return (http.json if not members.get("stream") else {"events": http.events}), tools


def plain_calls(answer: Json) -> list[Json]:
    """What a plain chat client keeps of calls: id, type, name and arguments."""
    if "events" in answer:
        return _joined(answer["events"])
    calls = answer["choices"][0]["message"]["tool_calls"]
    return [{"id": c["id"], "type": "function", "function": c["function"]} for c in calls]


def _joined(events: list[Any]) -> list[Json]:
    calls: dict[int, Json] = {}
    for event in events:
        for choice in event["choices"] if event != "[DONE]" else ():
            for piece in choice["delta"].get("tool_calls") or ():
                empty = {"id": piece.get("id"), "type": "function", "function": {"name": "", "arguments": ""}}
                call = calls.setdefault(piece["index"], empty)
                call["function"]["name"] += piece["function"].get("name") or ""
                call["function"]["arguments"] += piece["function"].get("arguments") or ""
    return [calls[index] for index in sorted(calls)]


def continue_chat(world: World, one: Exchange, message: Json, tools: list[Json], **members: Any) -> Json:
    """Send the second turn of a chat; return what the provider got."""
    results = [{"role": "tool", "tool_call_id": c["id"], "content": "done"} for c in message["tool_calls"]]
    messages = [{"role": "user", "content": "Go"}, message, *results]
    body = {"model": asking.model_of(one), "messages": messages, "tools": tools, **members}
    world.fresh().upstream.add(Reply.of(one, chunk=0), times=NEVER)
    http = world.send("POST", CHAT, body)
    assert http.status == 200, http.body
    sent: Json = world.upstream.requests[-1].json()
    return sent


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from strings(item)


@pytest.mark.parametrize("api", ["gemini.generateContent", "gemini.streamGenerateContent"])
def test_thought_signatures_survive_a_plain_chat_client_and_a_restart(api: str, tmp_path: Path) -> None:
    kept = {"DATABASE_URL": f"sqlite:///{tmp_path / 'kept.db'}"}
    require()
    recordings = [param.values[0] for param in signed(api)]
    stream = {"stream": True} if "stream" in api else {}
    turns = []
    with replaying_world(**kept) as world:
        for one in recordings:
            answer, tools = ask_first(world, one, CHAT, **stream)
            turns.append((one, plain_calls(answer), tools))
    assert len(turns) >= 3
    with replaying_world(**kept) as world:
        for one, calls, tools in turns:
            expected = extract(one)
            assert isinstance(expected, Answer)
            message = {"role": "assistant", "content": None, "tool_calls": calls}
            sent = continue_chat(world, one, message, tools, **stream)
            parts = [part for content in sent["contents"] for part in content["parts"]]
            got = [p["thoughtSignature"] for p in parts if "functionCall" in p and "thoughtSignature" in p]
            first = expected.choices[0].signatures
            assert got == first[-len(got) :] != [], one.id
            assert [p["functionCall"]["name"] for p in parts if "functionCall" in p] == [
                call.name for call in expected.choices[0].tool_calls
            ]


MESSAGES = ("anthropic.messages", "azure.anthropic.messages", "vertex.anthropic.messages")
CLAUDES = [one for api in MESSAGES for one in signed(api)] or [absent()]


def blocks(sent: Json) -> list[Json]:
    """The assistant's blocks of a Messages body."""
    return [b for m in sent["messages"] if m["role"] == "assistant" for b in m["content"]]


def assert_thought(sent: Json, one: Exchange) -> None:
    expected = extract(one)
    assert isinstance(expected, Answer)
    thoughts = [block for block in blocks(sent) if block["type"] == "thinking"]
    assert [t["signature"] for t in thoughts] == expected.choices[0].signatures
    assert "".join(t["thinking"] for t in thoughts) == expected.choices[0].reasoning
    kinds = [block["type"] for block in blocks(sent)]
    assert kinds.index("thinking") < kinds.index("tool_use")
    assert sent["thinking"]["type"] != "disabled"


THINK = {"reasoning_effort": "low"}


@pytest.mark.parametrize("recording", CLAUDES)
def test_a_thinking_claude_goes_on_over_chat_with_its_details(world: World, recording: Exchange) -> None:
    answer, tools = ask_first(world, recording, CHAT, **THINK)
    message = answer["choices"][0]["message"]
    kept = {name: message[name] for name in ("role", "content", "tool_calls", "reasoning_details")}
    assert_thought(continue_chat(world, recording, kept, tools, **THINK), recording)


@pytest.mark.parametrize("recording", CLAUDES)
def test_a_thinking_claude_goes_on_over_a_plain_chat_client(world: World, recording: Exchange) -> None:
    answer, tools = ask_first(world, recording, CHAT, **THINK)
    message = {"role": "assistant", "content": None, "tool_calls": plain_calls(answer)}
    assert_thought(continue_chat(world, recording, message, tools, **THINK), recording)


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "stateless"])
@pytest.mark.parametrize("recording", CLAUDES)
def test_a_thinking_claude_goes_on_over_responses(world: World, recording: Exchange, stored: bool) -> None:
    think: Json = {"reasoning": {"effort": "low"}}
    if not stored:
        think |= {"store": False, "include": ["reasoning.encrypted_content"]}
    answer, tools = ask_first(world, recording, RESPONSES, **think)
    calls = [item for item in answer["output"] if item["type"] == "function_call"]
    results = [{"type": "function_call_output", "call_id": c["call_id"], "output": "done"} for c in calls]
    body = {"model": asking.model_of(recording), "tools": tools, **think, "input": results}
    if stored:
        body["previous_response_id"] = answer["id"]
    else:
        body["input"] = [{"role": "user", "content": "Go"}, *answer["output"], *results]
    http = world.send("POST", RESPONSES, body)
    assert http.status == 200, http.body
    assert_thought(world.upstream.requests[-1].json(), recording)


def test_mistral_gets_nine_letters_for_every_id_and_the_client_its_own(world: World) -> None:
    require()
    one = _mistral_call()
    answer, tools = ask_first(world, one, CHAT)
    calls = plain_calls(answer)
    expected = extract(one)
    assert isinstance(expected, Answer)
    assert [call["id"] for call in calls] == [call.id for call in expected.choices[0].tool_calls]
    foreign = [{**call, "id": f"call_{number}_of_another_provider"} for number, call in enumerate(calls)]
    for kept in (calls, foreign):
        message = {"role": "assistant", "content": "", "tool_calls": kept}
        sent = continue_chat(world, one, message, tools)
        (assistant,) = [m for m in sent["messages"] if m["role"] == "assistant"]
        ids = [call["id"] for call in assistant["tool_calls"]]
        assert [m["tool_call_id"] for m in sent["messages"] if m["role"] == "tool"] == ids
        assert all(re.fullmatch("[A-Za-z0-9]{9}", identifier) for identifier in ids)
        assert len(set(ids)) == len(ids)
    assert ids != [call["id"] for call in foreign]


def _mistral_call() -> Exchange:
    """A recorded answer of Mistral's that calls a tool."""
    found = exchanges(apis=("mistral.chat",), operations=("chat_completion",))
    return next(one for one in found if "tool_call" in one.features and one.status == 200)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_free_text_tool_works_on_a_wire_of_functions(world: World, stream: bool) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "shell", "arguments": '{"input": "ls -l"}'}}
    if stream:
        chunk = chat_chunk({"tool_calls": [{"index": 0, **call}]}) + chat_chunk({}, "tool_calls")
        reply = Reply.sse(chunk + b"data: [DONE]\n\n")
    else:
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        reply = Reply.json(
            chat_body(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}])
        )
    tools = [{"type": "custom", "name": "shell"}]
    body = {"model": "groq/x", "input": "Go", "tools": tools, "stream": stream}
    world.fresh().upstream.add(reply, times=NEVER)
    http = world.send("POST", RESPONSES, body)
    answer = http.events[-1]["response"] if stream else http.json
    (item,) = answer["output"]
    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "shell", "ls -l")
    if stream:
        assert http.broken("responses") == []
    result = {"type": "custom_tool_call_output", "call_id": item["call_id"], "output": "a file"}
    more = {**body, "input": [result], "previous_response_id": answer["id"]}
    assert world.send("POST", RESPONSES, more).status == 200
    sent = world.upstream.requests[-1].json()["messages"]
    assert json.loads(sent[1]["tool_calls"][0]["function"]["arguments"]) == {"input": "ls -l"}
    assert (sent[2]["tool_call_id"], sent[2]["content"]) == (sent[1]["tool_calls"][0]["id"], "a file")


def test_no_signature_of_a_provider_is_shown_bare_where_its_slot_is_not_its_own(world: World) -> None:
    for param in CLAUDES:
        one = param.values[0]
        if one is None:
            continue
        answer, _ = ask_first(world, one, CHAT, **THINK)
        expected = extract(one)
        assert isinstance(expected, Answer)
        assert not set(strings(answer)) & set(expected.choices[0].signatures), json.dumps(answer)[:300]
