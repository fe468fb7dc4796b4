"""Calls and results: each result directly behind its calls, on every wire and in bodies that pass."""

from __future__ import annotations

from typing import Any

import pytest

from app.canonical.request import Message, Origin, Request, TextPart, ToolCallPart, ToolResultPart
from app.dialects.shared.losses import Losses
from app.dialects.shared.tool_results import pair_chat, pair_items, pair_results

Json = dict[str, Any]


def message(word: str) -> Message:
    """``user``, ``call c1``, ``call c1 {"a": 1}``, ``out c1``, ``out c1=B`` …"""
    role, _, rest = word.partition(" ")
    if role == "call":
        call_id, _, arguments = rest.partition(" ")
        return Message("assistant", (ToolCallPart(call_id, "look", arguments),))
    if role == "out":
        call_id, _, text = rest.partition("=")
        return Message("tool", (ToolResultPart(call_id, (TextPart(text or "A"),)),))
    return Message(role, (TextPart(rest or role),))  # type: ignore[arg-type]


def role_of(one: Message) -> str:
    part = one.parts[0]
    if isinstance(part, ToolCallPart):
        return f"call {part.id} {part.arguments}".rstrip()
    if isinstance(part, ToolResultPart):
        text = part.content[0].text  # type: ignore[union-attr]
        return f"out {part.call_id}" + ("" if text == "A" else f"={text}")
    return one.role


ORDERS: list[tuple[str, list[str], list[str]]] = [
    (
        "what stands well stays",
        ["user", "call c1", "call c2", "out c2", "out c1", "assistant", "user", "call c3", "out c3"],
        ["user", "call c1", "call c2", "out c2", "out c1", "assistant", "user", "call c3", "out c3"],
    ),
    ("a user between", ["user", "call c1", "user", "out c1"], ["user", "call c1", "out c1", "user"]),
    ("a developer between", ["call c1", "developer", "out c1"], ["call c1", "out c1", "developer"]),
    (
        "between two parallel outputs",
        ["user", "call c1", "call c2", "out c1", "developer", "out c2"],
        ["user", "call c1", "call c2", "out c1", "out c2", "developer"],
    ),
    (
        "between call and call",
        ["call c1", "user", "call c2", "out c1", "out c2"],
        ["call c1", "out c1", "user", "call c2", "out c2"],
    ),
    (
        "two turns answered late",
        ["call c1", "system", "user", "call c2", "out c2", "user", "out c1"],
        ["call c1", "out c1", "system", "user", "call c2", "out c2", "user"],
    ),
    (
        "all earlier outputs again",
        ["call c1", "out c1", "call c2", "out c1", "out c2", "call c3", "out c1", "out c2", "out c3"],
        ["call c1", "out c1", "call c2", "out c2", "call c3", "out c3"],
    ),
    ("an output before its call", ["out c1", "user", "call c1"], ["user", "call c1", "out c1"]),
    ("an output without a call", ["user", "out c9", "user"], ["user", "out c9", "user"]),
    ("a call without an output", ["call c1", "user"], ["call c1", "user"]),
    ("a call said again", ["user", "call c1", "call c1", "out c1"], ["user", "call c1", "out c1"]),
    ("a call said again later", ["call c1", "user", "call c1", "out c1"], ["call c1", "out c1", "user"]),
    (
        "an id that returns",
        ["call call_0", "out call_0", "user", "call call_0", "out call_0=B", "call call_0", "out call_0=C"],
        ["call call_0", "out call_0", "user", "call call_0_2", "out call_0_2=B", "call call_0_3", "out call_0_3=C"],
    ),
    (
        "an id that returns beside one of that name",
        ["call x", "out x", "call x_2", "out x_2", "call x", "out x=B"],
        ["call x", "out x", "call x_2", "out x_2", "call x_3", "out x_3=B"],
    ),
    (
        "one id for two parallel calls",
        ["call c1 1", "call c1 2", "out c1=A", "out c1=B"],
        ["call c1 1", "call c1_2 2", "out c1", "out c1_2=B"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("given", "wanted"), [row[1:] for row in ORDERS], ids=[row[0] for row in ORDERS])
def test_a_result_stands_directly_behind_its_calls(given: list[str], wanted: list[str]) -> None:
    losses = Losses("responses")
    request = pair_results(Request("m", tuple(map(message, given)), origin=Origin("responses", {})), losses)
    assert [role_of(one) for one in request.messages] == wanted
    assert losses.items == []


def test_a_chat_message_is_a_turn_of_its_own() -> None:
    two = ["call c1", "call c2", "out c1", "out c2"]
    request = Request("m", tuple(map(message, two)), origin=Origin("chat", {}))
    assert [role_of(one) for one in pair_results(request, Losses()).messages] == [
        "call c1", "out c1", "call c2", "out c2",
    ]  # fmt: skip


def test_of_two_different_results_the_later_is_sent_and_told() -> None:
    losses = Losses("responses")
    given = ["call c1", "out c1=early", "user", "out c1=late"]
    request = pair_results(Request("m", tuple(map(message, given)), origin=Origin("responses", {})), losses)
    assert [role_of(one) for one in request.messages] == ["call c1", "out c1=late", "user"]
    assert [(loss.param, "'c1'" in loss.message) for loss in losses.items] == [("input", True)]


def test_results_of_one_message_find_their_calls() -> None:
    results = Message(
        "tool", (ToolResultPart("c1", (TextPart("A"),)), ToolResultPart("c2", (TextPart("B"),)))
    )
    given = (message("call c1"), message("user"), message("call c2"), results)
    expected = ["call c1", "out c1", "user", "call c2", "out c2=B"]
    assert [role_of(one) for one in pair_results(Request("m", given), Losses()).messages] == expected


def item(word: str) -> Json:
    role, _, rest = word.partition(" ")
    if role == "call":
        return {"type": "function_call", "call_id": rest, "name": "look", "arguments": "{}"}
    if role == "custom":
        return {"type": "custom_tool_call", "call_id": rest, "name": "look", "input": ""}
    if role == "out":
        call_id, _, text = rest.partition("=")
        return {"type": "function_call_output", "call_id": call_id, "output": text}
    if role == "reasoning":
        return {"type": "reasoning", "summary": []}
    return {"role": role, "content": "hi"}


ITEMS: list[tuple[list[str], list[str]]] = [
    (
        ["user", "reasoning", "call c1", "developer", "out c1"],
        ["user", "reasoning", "call c1", "out c1", "developer"],
    ),
    (["custom c1", "user", "call c2", "out c2", "out c1"], ["custom c1", "out c1", "user", "call c2", "out c2"]),
    (["call c1", "out c1", "call c2", "out c1", "out c2"], ["call c1", "out c1", "call c2", "out c2"]),
    (["call c1", "call c1", "out c1"], ["call c1", "out c1"]),
    (["out c1", "user"], ["out c1", "user"]),
    (
        ["call c1", "out c1=A", "user", "call c1", "out c1=B", "custom c1", "out c1=C"],
        ["call c1", "out c1=A", "user", "call c1_2", "out c1_2=B", "custom c1_3", "out c1_3=C"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("given", "wanted"), ITEMS)
def test_items_that_pass_are_put_in_the_same_order(given: list[str], wanted: list[str]) -> None:
    assert pair_items([item(word) for word in given], Losses()) == [item(word) for word in wanted]


def turn(word: str) -> Json:
    role, _, rest = word.partition(" ")
    if role == "calls":
        calls = [
            {"id": i, "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in rest.split()
        ]
        return {"role": "assistant", "content": None, "tool_calls": calls}
    if role == "tool":
        return {"role": "tool", "tool_call_id": rest, "content": "A"}
    return {"role": role, "content": "hi"}


TURNS: list[tuple[list[str], list[str]]] = [
    (
        ["user", "calls c1 c2", "tool c2", "user", "tool c1"],
        ["user", "calls c1 c2", "tool c2", "tool c1", "user"],
    ),
    (["calls c1", "assistant", "tool c1"], ["calls c1", "tool c1", "assistant"]),
    (["calls c1", "tool c1", "tool c1", "user"], ["calls c1", "tool c1", "user"]),
    (["calls c1", "calls c1 c2", "tool c1", "tool c2"], ["calls c1", "tool c1", "calls c2", "tool c2"]),
    (["user", "tool c9"], ["user", "tool c9"]),
    (
        ["calls c0 c1", "tool c0", "tool c1", "user", "calls c1 c2", "tool c2", "tool c1"],
        ["calls c0 c1", "tool c0", "tool c1", "user", "calls c1_2 c2", "tool c2", "tool c1_2"],
    ),
]


@pytest.mark.parametrize(("given", "wanted"), TURNS)
def test_chat_messages_that_pass_are_put_in_the_same_order(given: list[str], wanted: list[str]) -> None:
    assert pair_chat([turn(word) for word in given], Losses()) == [turn(word) for word in wanted]
