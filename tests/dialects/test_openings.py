"""What each dialect knows of its bodies and streams without decoding them."""

from __future__ import annotations

from typing import Any

import pytest

from app.dialects import dialect
from app.dialects.base import Frame

BODIES: list[tuple[str, dict[str, Any]]] = [
    ("chat", {"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}, {"id": "d"}]}]}),
    ("cohere", {"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}, {"id": "d"}]}]}),
    (
        "responses",
        {"input": [{"type": "function_call", "call_id": "c"}, {"type": "function_call", "call_id": "d"}]},
    ),
    (
        "messages",
        {
            "messages": [
                {"content": [{"type": "tool_use", "id": "c"}]},
                {"content": [{"type": "tool_use", "id": "d"}]},
            ]
        },
    ),
    (
        "converse",
        {"messages": [{"content": [{"toolUse": {"toolUseId": "c"}}, {"toolUse": {"toolUseId": "d"}}]}]},
    ),
    ("gemini", {"contents": [{"parts": [{"functionCall": {"id": "c"}}, {"functionCall": {"id": "d"}}]}]}),
    ("gemini", {"contents": {"parts": [{"function_call": {"id": "c"}}, {"function_call": {"id": "d"}}]}}),
]


@pytest.mark.parametrize(("name", "body"), BODIES)
def test_the_ids_of_earlier_calls_are_told_by_the_body(name: str, body: dict[str, Any]) -> None:
    assert [*dict.fromkeys(dialect(name).call_ids(body))] == ["c", "d"]


@pytest.mark.parametrize("name", ["chat", "cohere", "responses", "messages", "converse", "gemini"])
@pytest.mark.parametrize("junk", [None, 5, "x", [], [[5]], {"id": 5}, [{"content": 5}], [None]])
def test_no_shape_of_a_body_is_a_fault_here(name: str, junk: Any) -> None:
    body = {"messages": junk, "input": junk, "contents": junk}
    assert [*dict.fromkeys(dialect(name).call_ids(body))] == []


OPENINGS: list[tuple[str, Frame]] = [
    ("messages", Frame("message_start", {"type": "message_start"})),
    ("messages", Frame("ping", {"type": "ping"})),
    ("converse", Frame("messageStart", {"role": "assistant"})),
    ("cohere", Frame("message-start", {"type": "message-start"})),
]


@pytest.mark.parametrize(("name", "frame"), OPENINGS)
def test_a_frame_that_only_opens_is_known(name: str, frame: Frame) -> None:
    assert dialect(name).is_opening(frame)
    assert not dialect(name).is_opening(Frame("other", {}))


def test_chunks_of_gemini_have_their_names_alike() -> None:
    frame = Frame(None, {"candidates": [], "responseId": "r", "modelVersion": "m"})
    assert dialect("gemini").identity(frame) == {"responseId": "r", "modelVersion": "m"}


@pytest.mark.parametrize("name", ["chat", "cohere", "responses", "messages", "converse", "gemini"])
@pytest.mark.parametrize(
    "junk",
    [
        None,
        5,
        "x",
        [],
        [5],
        [None],
        ["role"],
        {"a": 1},
        [{"delta": 1}],
        [{"delta": "role"}],
        [{"delta": ["role"]}],
    ],
)
def test_no_shape_of_a_frame_is_a_fault_here(name: str, junk: Any) -> None:
    for data in (junk, {"choices": junk, "delta": junk, "message": junk, "response": junk, "id": junk}):
        assert not dialect(name).is_opening(Frame(None, data))
        dialect(name).identity(Frame(None, data))
