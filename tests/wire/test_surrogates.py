"""Halves of characters in two frames."""

from __future__ import annotations

from typing import Any

import pytest

from app.gateway.framing import SSEReader
from app.wire.sse import SSEDecoder
from app.wire.surrogates import Halves


def chat(text: str, index: int = 0) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"content": text}}]}


def texts(*frames: dict[str, Any]) -> list[str]:
    return [frame["choices"][0]["delta"]["content"] for frame in joined(*frames)]


def joined(*frames: dict[str, Any]) -> list[Any]:
    halves = Halves()
    told = [one for frame in frames for one in halves.feed(None, frame)]
    return [frame for _, frame in (*told, *halves.end())]


def test_the_halves_of_two_frames_are_one_character() -> None:
    assert texts(chat("a\ud83d"), chat("\ude00b")) == ["a", "\U0001f600b"]
    assert texts(chat("\ud83d"), chat(""), chat("\ude00")) == ["", "", "\U0001f600"]


def test_each_text_of_a_stream_has_its_own_halves() -> None:
    told = texts(chat("\ud83d"), chat("\ud83c", 1), chat("\ude00"), chat("\udf89", 1))
    assert told == ["", "", "\U0001f600", "\U0001f389"]


def test_a_half_without_the_other_is_the_replacement_character() -> None:
    assert texts(chat("\ud83d"), chat("x")) == ["\ufffd", "x"]
    assert texts(chat("\ud83d"), chat("\ud83d"), chat("\ude00")) == ["\ufffd", "", "\U0001f600"]
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
    assert [str(frame).count("\U0001f600") for frame in joined(*frames)] == [0, 1]
    assert [str(frame).count("\ufffd") for frame in joined(frames[0])] == [1]


def test_a_half_that_ends_a_text_is_told_before_the_end() -> None:
    end: dict[str, Any] = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    halves = Halves()
    assert halves.feed(None, chat("a\ud83d")) == []
    assert halves.feed(None, end) == [(None, chat("a\ufffd")), (None, end)]
    assert joined({"type": "response.output_text.done", "text": "a\ud83d"})[0]["text"] == "a\ufffd"


def test_frames_wait_for_a_half_no_longer_than_a_while() -> None:
    halves = Halves()
    counts = [len(halves.feed(None, chat("\ud83d")))]
    counts += [len(halves.feed(None, chat("x", 1))) for _ in range(20)]
    assert counts == [0] * 16 + [17] + [1] * 4


@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b"data: nonsense\n\n", b""])
def test_a_half_at_the_end_of_a_stream_goes_out(end: bytes) -> None:
    reader = SSEReader()
    assert list(reader.feed(b'data: {"delta": "a\\ud83d"}\n\n')) == []
    assert next(iter(reader.feed(end))) == (None, {"delta": "a\ufffd"})


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
