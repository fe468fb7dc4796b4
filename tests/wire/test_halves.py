"""Halves of characters in two frames."""

from __future__ import annotations

from typing import Any

import pytest

from app.gateway.framing import SSEReader
from app.wire.halves import Halves
from app.wire.sse import SSEDecoder


def chat(text: str, index: int = 0) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"content": text}}]}


def texts(*frames: dict[str, Any]) -> list[str]:
    halves = Halves()
    return [halves.join(frame)["choices"][0]["delta"]["content"] for frame in frames]


def test_the_halves_of_two_frames_are_one_character() -> None:
    assert texts(chat("a\ud83d"), chat("\ude00b")) == ["a", "\U0001f600b"]
    assert texts(chat("\ud83d"), chat(""), chat("\ude00")) == ["", "", "\U0001f600"]


def test_each_text_of_a_stream_has_its_own_halves() -> None:
    told = texts(chat("\ud83d"), chat("\ud83c", 1), chat("\ude00"), chat("\udf89", 1))
    assert told == ["", "", "\U0001f600", "\U0001f389"]


def test_a_half_without_the_other_is_the_replacement_character() -> None:
    assert texts(chat("\ud83d"), chat("x")) == ["", "\ufffdx"]
    assert texts(chat("a\ude00b\ud83dc")) == ["a\ufffdb\ufffdc"]


@pytest.mark.parametrize(
    "frames",
    [
        [{"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": t} for t in "\ud83d\ude00"],
        [{"type": "content_block_delta", "index": 2, "delta": {"text": t}} for t in "\ud83d\ude00"],
        [{"candidates": [{"content": {"parts": [{"text": t}]}}]} for t in "\ud83d\ude00"],
    ],
    ids=["responses", "messages", "gemini"],
)  # fmt: skip
def test_every_wire_has_its_place(frames: list[dict[str, Any]]) -> None:
    halves = Halves()
    assert [str(halves.join(frame)).count("\U0001f600") for frame in frames] == [0, 1]


def test_events_are_read_with_whole_characters() -> None:
    reader = SSEReader()
    body = b'data: {"delta": "a\\ud83d"}\n\ndata: {"delta": "\\ude00b"}\n\n'
    assert [data["delta"] for _, data in reader.feed(body)] == ["a", "\U0001f600b"]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b'data: {"a": 1}', [{"a": 1}]),
        (b'data: {"a": 1}\n', [{"a": 1}]),
        (b'event: x\ndata: {"a": 1}\r\n', [{"a": 1}]),
        (b"data: [DONE]", [None]),
        (b'data: {"a": 1', []),
        (b'data: {"a": "\xe2\x82', []),
        (b"event: x\n", []),
        (b"", []),
    ],
)
def test_the_last_event_may_lack_its_blank_line_but_nothing_else(body: bytes, wanted: list[Any]) -> None:
    reader = SSEReader()
    first = list(reader.feed(body)) if body else []
    assert [data for _, data in (*first, *reader.feed(b""))] == wanted
    assert SSEDecoder().end() == []
