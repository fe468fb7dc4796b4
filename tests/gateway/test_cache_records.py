"""Entries as bytes: what was kept in one process is the same in another."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.canonical.request import (
    Item,
    Message,
    OpaquePart,
    ReasoningPart,
    Signature,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Billing, Choice, Finish, Response, Usage
from app.canonical.serialization import pack, unpack
from app.gateway.cache.memory import Entry
from app.gateway.cache.records import bytes_of, entry_of_bytes

PARTS = (
    ReasoningPart(
        "so", "summary", Signature("s", "messages", "anthropic/k"), ("messages", {"a": [1, [2.5]]})
    ),
    TextPart("hi \u2028 \U0001f600", ({"type": "url_citation", "n": 1},), ({"token": "x", "bytes": [1]},)),
    ToolCallPart("c", "f", '{"a":1}', native=("chat", {"()": ["()", {}], "x": None})),
    OpaquePart("search", ("messages", {"list": [], "deep": {"of": [["Finish", {}]]}})),
)
RESPONSE = Response(
    "id",
    "m",
    (Choice(0, (Message("assistant", PARTS, Item("i", "completed")),), Finish("stop", "end_turn")),),
    Usage(3, 2, cached_tokens=1, details={"input.audio_tokens": 1}, billing=Billing({"web_searches": 1})),
    service_tier="default",
    native=("chat", {"system_fingerprint": "f"}),
)
ENTRY = Entry(
    "cache_1",
    "red",
    "groq/x",
    b'{"a":"\xc3\xa9"}',
    RESPONSE,
    RESPONSE.usage,
    Finish("stop"),
    {"total_cost": 0.1},
    "resp_1",
)


def test_an_entry_comes_back_as_it_was() -> None:
    assert entry_of_bytes(bytes_of(ENTRY)) == ENTRY


def test_an_entry_without_a_decoded_answer_comes_back_as_it_was() -> None:
    entry = Entry("cache_1", "red", "groq/x", b"{}")
    assert entry_of_bytes(bytes_of(entry)) == entry


def test_the_form_of_another_version_is_no_entry() -> None:
    members = {**json.loads(bytes_of(ENTRY)), "form": 99}
    assert entry_of_bytes(json.dumps(members).encode()) is None


@pytest.mark.parametrize(
    "value", [[], [[]], ["os.system", {}], ["Finish"], ["Finish", {"no": 1}], ["Finish", []]]
)
def test_what_was_never_packed_is_refused(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        unpack(value)


def test_what_is_no_part_of_an_answer_is_not_packed() -> None:
    with pytest.raises(TypeError):
        pack(object())
