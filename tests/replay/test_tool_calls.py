"""Calls and results that agents write out of order, repeat or cut: what each provider is sent.

The provider only notes what it is asked and refuses; its request is what these tests look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.behaviour.world import World, chat_body, chat_chunk
from tests.traffic.replay import NEVER, Reply

Json = dict[str, Any]
RESPONSES, CHAT = "/v1/responses", "/v1/chat/completions"
SEEN = {"error": {"message": "seen", "type": "seen"}, "message": "seen"}
TOOLS = [{"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}]
CHAT_TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


@pytest.fixture
def world(world: World) -> World:
    world = world.fresh()
    world.upstream.script = lambda request: Reply.json(SEEN, 400)
    return world


# --- what was sent, in words: ``user``, ``call ID``, ``out ID`` ------------------------------


def chat_words(sent: Json) -> Iterator[str]:
    for message in sent["messages"]:
        if message["role"] == "tool":
            yield f"out {message['tool_call_id']}"
            continue
        calls = message.get("tool_calls") or []
        yield from [f"call {call['id']}" for call in calls] or [message["role"]]


def message_words(sent: Json) -> Iterator[str]:
    names = {"tool_use": ("call", "id"), "tool_result": ("out", "tool_use_id")}
    for message in sent["messages"]:
        for block in message["content"]:
            word, slot = names.get(block["type"], (message["role"], ""))
            yield f"{word} {block[slot]}" if slot else word


def converse_words(sent: Json) -> Iterator[str]:
    for message in sent["messages"]:
        for block in message["content"]:
            if "toolUse" in block:
                yield f"call {block['toolUse']['toolUseId']}"
            elif "toolResult" in block:
                yield f"out {block['toolResult']['toolUseId']}"
            else:
                yield message["role"]


def gemini_words(sent: Json) -> Iterator[str]:
    for content in sent["contents"]:
        for part in content["parts"]:
            if "functionCall" in part:
                yield f"call {part['functionCall']['id']}"
            elif "functionResponse" in part:
                yield f"out {part['functionResponse']['id']}"
            else:
                yield content["role"]


def item_words(sent: Json) -> Iterator[str]:
    for item in sent["input"]:
        kind = item.get("type", "message")
        if kind == "message":
            yield item["role"]
        else:
            yield f"{'out' if kind.endswith('_output') else 'call'} {item['call_id']}"


WIRES: Mapping[str, Callable[[Json], Iterator[str]]] = {
    "groq/x": chat_words,
    "cerebras/x": chat_words,
    "ollama/x": chat_words,
    "sgl/x": chat_words,
    "cohere/command-a-03-2025": chat_words,
    "anthropic/claude-sonnet-4-5": message_words,
    "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0": converse_words,
    "gemini/gemini-2.5-flash": gemini_words,
    "openai/gpt-4.1": item_words,
}
PASSING = {"openai/gpt-4.1": chat_words, "openrouter/x": chat_words, "azure/gpt": chat_words}


def item(word: str) -> Json:
    role, _, rest = word.partition(" ")
    call_id, _, text = rest.partition("=")
    if role == "call":
        return {"type": "function_call", "call_id": call_id, "name": "look", "arguments": text or "{}"}
    if role == "out":
        return {"type": "function_call_output", "call_id": call_id, "output": text or "A"}
    return {"role": role, "content": "hi"}


def turn(word: str) -> Json:
    role, _, rest = word.partition(" ")
    call_id, _, text = rest.partition("=")
    if role == "call":
        call = {"id": call_id, "type": "function", "function": {"name": "look", "arguments": text or "{}"}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    if role == "out":
        return {"role": "tool", "tool_call_id": call_id, "content": text or "A"}
    return {"role": role, "content": "hi"}


def words_at(
    world: World, model: str, words: list[str], surface: str = RESPONSES, **members: Any
) -> list[str]:
    """What the provider of ``model`` is sent of a conversation given at a surface, in words."""
    if surface == RESPONSES:
        body: Json = {"model": model, "input": list(map(item, words)), "tools": TOOLS, **members}
    else:
        body = {"model": model, "messages": list(map(turn, words)), "tools": CHAT_TOOLS, **members}
    answer = world.send("POST", surface, body)
    assert (answer.status, answer.json["error"]["message"][:4]) == (400, "seen"), answer.body
    wire = WIRES[model] if surface == RESPONSES or model not in PASSING else PASSING[model]
    return list(wire(world.upstream.requests[-1].json()))


GIVEN = ["user", "call c1", "user", "call c2", "out c1", "user", "out c2", "out c1"]
WANTED = ["user", "call c1", "out c1", "user", "call c2", "out c2", "user"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", WIRES)
def test_each_output_stands_directly_behind_its_call(world: World, model: str, stream: bool) -> None:
    assert words_at(world, model, GIVEN, stream=stream) == WANTED


@pytest.mark.parametrize("model", [*WIRES, "openrouter/x", "azure/gpt"])
def test_so_do_the_results_of_chat(world: World, model: str) -> None:
    assert words_at(world, model, GIVEN, CHAT) == WANTED


@pytest.mark.parametrize("surface", [RESPONSES, CHAT])
@pytest.mark.parametrize("model", WIRES)
def test_ids_that_return_are_made_unique_and_stay_paired(world: World, model: str, surface: str) -> None:
    given = ["user", "call call_0", "out call_0", "user", "call call_0", "out call_0=B"]
    words = words_at(world, model, given, surface)
    assert words == ["user", "call call_0", "out call_0", "user", "call call_0_2", "out call_0_2"]


def test_an_output_without_a_call_is_refused_in_openais_words(world: World) -> None:
    for model in WIRES:
        answer = world.send("POST", RESPONSES, {"model": model, "input": [item("user"), item("out c9")]})
        assert answer.status == 400
        assert answer.error | {"type": ""} == {
            "message": "No tool call found for function call output with call_id c9.",
            "type": "",
            "param": "input",
            "code": None,
        }
    assert world.upstream.requests == []


@pytest.mark.parametrize("model", PASSING | {"groq/x": chat_words})
def test_a_chat_result_without_a_call_is_left_to_the_provider(world: World, model: str) -> None:
    body = {"model": model, "messages": [turn("user"), turn("out c9")]}
    assert world.send("POST", CHAT, body).error["message"].startswith("seen")


TEXTS = {
    "not a number": '{"x": NaN}',
    "too large": '{"x": 1e999}',
    "brackets": "[" * 1500 + "]" * 1500,
    "open brackets": "[" * 1500,
    "twice": '{"x": 1, "x": 2}',
    "exact": '{"x": 1.10}',
    "bare": "1.10",
    "lone": '{"x": "\\ud800"}',
    "cut": '{"city": "Par',
    "long": '{"x": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("model", WIRES)
@pytest.mark.parametrize("name", TEXTS)
def test_no_text_of_a_model_or_tool_fails_a_call(world: World, model: str, name: str) -> None:
    text = TEXTS[name]
    words = words_at(world, model, ["user", "call c1=" + text, "out c1=" + text])
    assert words == ["user", "call c1", "out c1"]
    assert text in list(strings(world.upstream.requests[-1].json())), "the tool's own text stays text"


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(one)


def cut_call(text: str, stream: bool) -> Reply:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": text}}
    if stream:
        chunks = chat_chunk({"tool_calls": [{"index": 0, **call}]}) + chat_chunk({}, "length")
        return Reply.sse(chunks + b"data: [DONE]\n\n")
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return Reply.json(chat_body(choices=[{"index": 0, "message": message, "finish_reason": "length"}]))


def cut(world: World, text: str, stream: bool, tools: list[Json]) -> Json:
    """A response whose only call was cut off."""
    world.upstream.add(cut_call(text, stream), times=1)
    body = {"model": "groq/x", "input": "Go", "tools": tools, "stream": stream}
    answer = world.send("POST", RESPONSES, body)
    response: Json = answer.events[-1]["response"] if stream else answer.json
    assert (response["status"], response["output"][0]["status"]) == ("incomplete", "incomplete")
    return response


@pytest.mark.parametrize("by_id", [True, False], ids=["by-id", "by-hand"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", WIRES)
def test_a_cut_call_goes_on_with_its_output(world: World, model: str, stream: bool, by_id: bool) -> None:
    first = cut(world, '{"city": "Par', stream, TOOLS)
    (call,) = first["output"]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "too short"}
    more: Json = {"input": [result], "previous_response_id": first["id"]}
    if not by_id:
        more = {"input": [{"role": "user", "content": "Go"}, call, result]}
    answer = world.send("POST", RESPONSES, {"model": model, "tools": TOOLS, **more})
    assert answer.error["message"].startswith("seen"), answer.body
    body = world.upstream.requests[-1].json()
    assert list(WIRES[model](body))[1:] == ["call c1", "out c1"]
    assert ('{"city": "Par' in list(strings(body))) == (WIRES[model] is item_words), "only text goes cut"


def test_a_cut_calls_arguments_are_an_empty_object_and_told(world: World) -> None:
    world.upstream.add(Reply.json(chat_body()), times=NEVER, path="*/chat/completions")
    words = ["user", 'call c1={"city": "Par', "out c1"]
    answer = world.send("POST", RESPONSES, {"model": "groq/x", "input": list(map(item, words))})
    sent = world.upstream.requests[-1].json()["messages"][1]["tool_calls"][0]["function"]
    assert sent["arguments"] == "{}"
    (warning,) = answer.json["extra_fields"]["warnings"]
    assert (warning["param"], "'c1'" in warning["message"]) == ("input", True)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"input": "*** Begin \\"Pat', '*** Begin "Pat'),
        ('{"input": "a\\nb\\', "a\nb"),
        ('{"input": "x\\u00e', "x"),
        ('{"inp', ""),
        ("*** Begin", "*** Begin"),
    ],
)
def test_a_cut_custom_call_shows_its_text(world: World, stream: bool, text: str, shown: str) -> None:
    response = cut(world, text, stream, [{"type": "custom", "name": "look"}])
    assert response["output"][0]["input"] == shown
