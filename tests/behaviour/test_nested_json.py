"""JSON within texts, a little too much in all of them together: refused for a request, and a fault of a provider's answer."""

from __future__ import annotations

from typing import Any

import pytest

from app.canonical.request import Message, TextPart, ToolCallPart, ToolResultPart
from app.gateway import nested_json
from tests.behaviour.world import World, chat_body
from tests.traffic.replay import Reply

HI = {"role": "user", "content": "Hi"}
SENTENCE = (
    "The JSON within the texts of the tool calls and tool results has more than 1000000 members and elements."
)


def holders(count: int) -> str:
    """Return an object of ``2 * count`` members and elements."""
    return '{"a":[' + "{}," * count + "0]}"


def chat_messages(texts: list[str], kind: str) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [HI]
    for number, text in enumerate(texts):
        arguments = text if kind == "calls" else "{}"
        call = {"id": f"c{number}", "type": "function", "function": {"name": "f", "arguments": arguments}}
        messages.append({"role": "assistant", "tool_calls": [call]})
        result = text if kind == "results" else "ok"
        messages.append({"role": "tool", "tool_call_id": f"c{number}", "content": result})
    return messages


@pytest.mark.parametrize("kind", ["calls", "results"])
def test_texts_of_too_much_json_together_are_refused(kind: str, world: World) -> None:
    texts = [holders(240_000)] * 3  # each is within what a text may have
    answer = world.ask(model="anthropic/x", max_tokens=9, messages=chat_messages(texts, kind))
    error = answer.json["error"]
    assert (answer.status, error["type"], error["message"]) == (400, "invalid_request_error", SENTENCE)
    assert not world.upstream.requests


def test_they_are_refused_in_the_form_of_the_surface(world: World) -> None:
    turns: list[dict[str, Any]] = [HI]
    for number in range(3):
        use = {"type": "tool_use", "id": f"c{number}", "name": "f", "input": {}}
        result = {"type": "tool_result", "tool_use_id": f"c{number}", "content": holders(240_000)}
        turns += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    answer = world.send("POST", "/v1/messages", {"model": "groq/x", "max_tokens": 9, "messages": turns})
    assert (answer.status, answer.json["type"]) == (400, "error")
    assert answer.json["error"] == {"type": "invalid_request_error", "message": SENTENCE}


def test_calls_of_too_much_json_in_an_answer_are_the_providers_fault(world: World) -> None:
    body = chat_body("")
    function = {"name": "f", "arguments": holders(240_000)}
    calls = [{"id": f"c{n}", "type": "function", "function": function} for n in range(3)]
    body["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": calls}
    world.upstream.add(Reply.json(body))
    answer = world.send("POST", "/v1/messages", {"model": "groq/x", "max_tokens": 9, "messages": [HI]})
    assert (answer.status, answer.json["type"]) == (502, "error")


PROSE = "as it is, " * 3_000


@pytest.mark.parametrize(
    ("texts", "is_much"),
    [
        ([holders(900)] * 5, False),
        ([holders(900)] * 6, True),
        ([PROSE] * 10, False),
        ([f'["{PROSE}"]'] * 10, False),
        ([" \n" + holders(900)] * 6, True),
        ([holders(300_000)] * 3, False),  # too much for one text each: none is read
        (["{}"] * 9_000, True),
    ],
)
def test_only_what_is_read_as_json_counts(
    texts: list[str], is_much: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nested_json, "MAX_NESTED", 10_000 if len(texts) < 9_000 else 8_000)
    results = [Message("tool", (ToolResultPart("c", (TextPart(text),)),)) for text in texts]
    calls = [Message("assistant", (ToolCallPart("c", "f", text),)) for text in texts]
    assert nested_json.has_too_much(results) == nested_json.has_too_much(calls) == is_much
