"""What makes two requests the same, and how the memory of answers stays within its bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.config import Alias, CacheSettings, Settings
from app.gateway.cache.identity import Digests, form_of
from app.gateway.cache.memory import Entry, Memory
from app.gateway.cache.policy import Policies
from app.gateway.call import Abort, Call, Principal, Sealing

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5}


@pytest.mark.parametrize(
    "other",
    [
        dict(reversed(CHAT.items())),
        {**CHAT, "stream": True, "stream_options": {"include_usage": True}},
        {**CHAT, "user": "u", "metadata": {"a": "b"}, "safety_identifier": "s", "store": True},
        {**CHAT, "n": 1, "top_p": 1.0, "tools": [], "parallel_tool_calls": True, "seed": None},
    ],
)
def test_order_defaults_and_who_asks_do_not_matter(other: dict[str, Any]) -> None:
    assert form_of("chat", other) == form_of("chat", CHAT)


@pytest.mark.parametrize(
    "other",
    [
        {**CHAT, "temperature": 0},
        {**CHAT, "n": 2},
        {**CHAT, "seed": 1},
        {**CHAT, "unheard_of": 1},
        {**CHAT, "messages": [*CHAT["messages"], {"role": "assistant", "content": "yes"}]},
        {**CHAT, "logprobs": True},
    ],
)
def test_what_the_answer_depends_on_matters(other: dict[str, Any]) -> None:
    assert form_of("chat", other) != form_of("chat", CHAT)


@pytest.mark.parametrize(
    "members",
    [
        {"may_leave_out": frozenset({"logprobs"})},
        {"prefer": ("chat", "responses")},
        {"strict": True},
        {"default_provider": "groq"},
        {"client_headers": {"anthropic-beta": "x"}},
        {"principal": Principal("ann", "south")},
    ],
    ids=lambda members: next(iter(members)),
)
def test_what_a_call_says_beside_its_body_matters(members: dict[str, Any]) -> None:
    call = a_call(CHAT)
    assert Digests(Settings()).of(replace(call, **members), "") != Digests(Settings()).of(call, "")
    assert Digests(Settings()).of(replace(call, id="other"), "") == Digests(Settings()).of(call, "")


@pytest.mark.parametrize(
    "others", [("\ud800", "\udbff", "\ufffd"), (2**80, 2**81), ("é", "e\u0301")], ids=repr
)
def test_halves_of_characters_and_wide_numbers_matter(others: tuple[Any, ...]) -> None:
    names = {Digests(Settings()).of(a_call({**CHAT, "seed": other}), "") for other in others}
    assert len(names) == len(others)


def a_call(body: dict[str, Any]) -> Call:
    """Return a chat call."""
    sealing = Sealing(lambda signature: "", lambda token: None)
    principal, abort = Principal("ann", "north"), Abort()
    return Call("req", "chat", "chat", body, "m", ("m",), principal, abort, sealing, 0.0)


def test_defaults_of_another_wire_are_not_openais() -> None:
    assert form_of("cohere", {"temperature": 1}) != form_of("cohere", {})


def test_a_true_is_no_one() -> None:
    assert form_of("chat", {"n": True}) != form_of("chat", {})


def test_ids_of_earlier_outputs_do_not_matter_but_those_of_references_do() -> None:
    first, second = ({"input": [{"type": "message", "id": i, "role": "user", "content": "x"}]} for i in "ab")
    assert form_of("responses", first) == form_of("responses", second)
    first, second = ({"input": [{"type": "item_reference", "id": i}]} for i in "ab")
    assert form_of("responses", first) != form_of("responses", second)


def entry(name: str, size: int = 1000) -> Entry:
    return Entry(name, "red", "groq/x", b"x" * size)


def test_an_entry_ends_with_its_time() -> None:
    now = [0.0]
    memory = Memory(clock=lambda: now[0])
    memory.put(entry("a"), 10)
    now[0] = 9.9
    assert memory.get("a") is not None
    now[0] = 10
    assert memory.get("a") is None


def test_what_was_used_longest_ago_makes_room() -> None:
    memory = Memory(most=7000)
    for name in "ab":
        memory.put(entry(name), 10)
    memory.get("a")
    memory.put(entry("c"), 10)
    assert [name for name in "abc" if memory.get(name)] == ["a", "c"]


def test_room_comes_back_when_an_entry_is_replaced() -> None:
    memory = Memory(most=7000)
    for _ in range(50):
        memory.put(entry("a"), 10)
    memory.put(entry("b"), 10)
    assert memory.get("a") is not None
    assert memory.get("b") is not None


def test_an_answer_that_is_too_large_is_not_kept() -> None:
    memory = Memory()
    memory.put(entry("a", 1024 * 1024 + 1), 10)
    assert memory.get("a") is None


def test_without_a_table_that_turns_it_on_there_is_no_layer() -> None:
    off = CacheSettings(on=False)
    assert not Policies(Settings())
    assert not Policies(Settings(cache=off, aliases={"fast": Alias((("groq/x", 1.0),), (), off)}))
    assert Policies(Settings(aliases={"fast": Alias((("groq/x", 1.0),), (), CacheSettings())}))
