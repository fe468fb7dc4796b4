"""What counts as the beginning of a prompt, in each dialect's words, and that no more than it is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.gateway.call import Abort, Call, Principal, Sealing
from app.gateway.stickiness import stickiness_of

LONG = "x" * 4_096
CHAT = [{"role": "system", "content": LONG}]


def bond(body: dict[str, Any], operation: str = "chat", **members: Any) -> str | None:
    """Return the name of what keeps a call with others."""
    found = stickiness_of(make(body, operation, **members), by_prompt=True)
    return found and found.name


def make(body: dict[str, Any], operation: str = "chat", tenant: str = "red", **members: Any) -> Call:
    sealing = Sealing(lambda signature: "", lambda text: None)
    principal = Principal("ann", tenant)
    return Call("req", operation, "chat", body, "m", ("m",), principal, Abort(), sealing, 0.0, **members)


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("chat", {"messages": CHAT}),
        ("chat", {"system": [{"type": "text", "text": LONG}], "messages": []}),
        ("chat", {"system_instruction": {"parts": [{"text": LONG}]}, "contents": []}),
        ("chat", {"contents": [{"role": "user", "parts": [{"text": LONG[:4_000]}, {"text": LONG}]}]}),
        ("chat", {"toolConfig": {"tools": [{"toolSpec": {"description": LONG}}]}, "messages": []}),
        ("responses", {"instructions": LONG, "input": "hi"}),
        ("responses", {"input": LONG}),
        ("completion", {"prompt": LONG}),
    ],
)
def test_each_dialects_prompt_has_a_beginning(operation: str, body: dict[str, Any]) -> None:
    assert bond(body, operation) == "the beginning of its prompt"


def test_what_is_no_prompt_has_none() -> None:
    assert bond({"messages": [{"role": "system", "content": LONG[1:]}]}) is None
    assert bond({"input": LONG}, "embedding") is None
    assert bond({"metadata": {"a": LONG}, "user": LONG, "messages": []}) is None
    assert stickiness_of(make({"messages": CHAT})) is None  # where the operator did not ask for it


def test_members_that_nobody_reads_do_not_count_and_texts_do() -> None:
    def of(*items: dict[str, Any], **members: Any) -> Any:
        return stickiness_of(make({"input": list(items)}, "responses", **members), by_prompt=True)

    plain = {"role": "user", "content": LONG}
    stored = {"id": "msg_1", "type": "message", "status": "completed", **plain}
    assert of(plain) == of(stored) == of(plain, {"role": "user", "content": "more"})
    assert of(plain) != of({"role": "user", "content": "y" + LONG})
    assert of(plain) != of(plain, tenant="blue")
    assert of({"content": LONG[:10]}, {"content": LONG}) != of({"content": LONG[:20]}, {"content": LONG})


def test_a_thread_counts_where_the_prompt_is_short() -> None:
    assert bond({"messages": []}, thread="resp_1") == "its thread"
    assert bond({"messages": CHAT}, thread="resp_1") == "the beginning of its prompt"
    assert bond({"messages": CHAT, "prompt_cache_key": "k"}, thread="resp_1") == "prompt_cache_key"


def test_no_more_than_the_beginning_is_read() -> None:
    class Counted(list[Any]):
        read = 0

        def __iter__(self) -> Iterator[Any]:
            for value in super().__iter__():
                Counted.read += 1
                yield value

    assert bond({"messages": Counted([*CHAT, *CHAT * 1_000])}) == "the beginning of its prompt"
    assert Counted.read == 1
