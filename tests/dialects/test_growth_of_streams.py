"""Twice the answer, twice the work: streams of many choices, calls, items and blocks, for each wire and surface.

Work is counted in lines of ``app/`` that run, as in ``test_growth``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from app.canonical.events import Accumulator, BlockDelta, BlockEnded, BlockStarted, Event
from app.canonical.request import Request, ToolCallPart
from app.dialects import dialect
from app.dialects.shared.block_encoder import CallSequence
from tests.dialects import generic
from tests.dialects.test_growth import SERVERS, lines_run

SIZE = 100
Frames = list[Any]


def _chat(delta: Any, index: int = 0, finish: str | None = None) -> dict[str, Any]:
    return {"id": "x", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def _call(number: int, arguments: str, **members: Any) -> dict[str, Any]:
    function = {"name": "f", "arguments": arguments}
    return _chat({"tool_calls": [{"id": f"call_{number}", "function": function, **members}]})


def _detail(**members: Any) -> dict[str, Any]:
    return _chat({"reasoning_details": [members]})


def _chat_answer(*frames: Any) -> Frames:
    return [*frames, _chat({}, finish="stop")]


def _message(number: int) -> dict[str, Any]:
    return {"type": "message", "id": f"msg_{number}", "role": "assistant", "content": []}


def _answered(*frames: Any) -> Frames:
    made = {"type": "response.created", "response": {"id": "resp_1"}}
    return [made, *frames, {"type": "response.completed", "response": {"status": "completed", "output": []}}]


def _at(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": 0, **members}


def _part(place: int) -> list[dict[str, Any]]:
    part = {"type": "output_text", "text": "a"}
    return [
        _at("output_text.delta", content_index=place, delta="a"),
        _at("content_part.done", content_index=place, part=part),
    ]


def _summary(place: int) -> dict[str, Any]:
    return _at("reasoning_summary_text.delta", summary_index=place, delta="a")


def _cohere(number: int) -> list[dict[str, Any]]:
    opened, grown = {"type": "text", "text": ""}, {"text": "a"}
    return [
        {"type": "content-start", "index": number, "delta": {"message": {"content": opened}}},
        {"type": "content-delta", "index": number, "delta": {"message": {"content": grown}}},
    ]


def _gemini(*parts: Any, **members: Any) -> dict[str, Any]:
    return {"candidates": [{"index": 0, "content": {"parts": [*parts], "role": "model"}, **members}]}


def _code_between(n: int) -> list[dict[str, Any]]:
    """n texts of six bytes, with code after each."""
    return [part for _ in range(n) for part in ({"text": "a fact"}, {"executableCode": {"code": "1"}})]


def _support(place: int, text: str) -> dict[str, Any]:
    segment = {"startIndex": place, "endIndex": place + 6, "text": text}
    return {"segment": segment, "groundingChunkIndices": [0]}


def _grounded(n: int, text: str) -> dict[str, Any]:
    supports = [_support(6 * i, text) for i in range(n)]
    return {"groundingChunks": [{"web": {"uri": "https://a"}}], "groundingSupports": supports}


def _cited(place: int) -> dict[str, Any]:
    source = {"startIndex": place, "endIndex": place + 6, "uri": "https://a"}
    return {"citations": [source]}


def _gemini_answer(*frames: Any) -> Frames:
    return [*frames, _gemini(finishReason="STOP")]


def _message_block(place: int) -> list[dict[str, Any]]:
    citation = {"type": "web_search_result_location", "url": f"https://{place}", "cited_text": "a"}
    delta = {"type": "content_block_delta", "index": place}
    return [
        {"type": "content_block_start", "index": place, "content_block": {"type": "text", "text": ""}},
        {**delta, "delta": {"type": "text_delta", "text": "a"}},
        {**delta, "delta": {"type": "citations_delta", "citation": citation}},
        {"type": "content_block_stop", "index": place},
    ]


def _message_answer(*frames: Any) -> Frames:
    return [
        {"type": "message_start", "message": {"id": "msg_1", "model": "m"}},
        *frames,
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ]


STREAMS: dict[tuple[str, str], Callable[[int], Frames]] = {
    # wire, way of growing: the frames of an answer of size n
    ("chat", "choices"): lambda n: (
        [_chat({"content": "a"}, i) for i in range(n)] + [_chat({}, i, "stop") for i in range(n)]
    ),
    ("chat", "calls"): lambda n: _chat_answer(*[_call(i, "{}", index=i) for i in range(n)]),
    ("chat", "calls of one index"): lambda n: _chat_answer(*[_call(i, "{}", index=0) for i in range(n)]),
    ("chat", "calls without index"): lambda n: _chat_answer(*[_call(i, "{}") for i in range(n)]),
    ("chat", "calls left open"): lambda n: _chat_answer(
        *[one for i in range(n) for one in (_call(i, "{", index=i), _chat({"content": "a"}))]
    ),
    ("chat", "signed calls"): lambda n: _chat_answer(
        *[_call(i, "{}", index=i) for i in range(n)],
        *[_detail(type="reasoning.encrypted", data="c2ln", id=f"call_{i}") for i in range(n)],
    ),
    ("chat", "thoughts between texts"): lambda n: _chat_answer(
        *[
            one
            for i in range(n)
            for one in (_chat({"content": "a"}), _detail(type="reasoning.summary", summary="b", index=i))
        ]
    ),
    ("chat", "refusals between texts"): lambda n: _chat_answer(
        *[_chat({kind: "a"}) for _ in range(n) for kind in ("content", "refusal")]
    ),
    ("responses", "items"): lambda n: _answered(
        *[_at("output_item.added", item=_message(i)) | {"output_index": i} for i in range(n)]
    ),
    ("responses", "parts"): lambda n: _answered(
        _at("output_item.added", item=_message(0)), *[frame for i in range(n) for frame in _part(i)]
    ),
    ("responses", "summaries"): lambda n: _answered(*[_summary(i) for i in range(n)]),
    ("cohere", "contents left open"): lambda n: (
        [frame for i in range(n) for frame in _cohere(i)]
        + [{"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}]
    ),
    ("messages", "cited texts"): lambda n: _message_answer(*[f for i in range(n) for f in _message_block(i)]),
    ("gemini", "texts between code"): lambda n: _gemini_answer(*map(_gemini, _code_between(n))),
    ("gemini", "supports of many texts"): lambda n: _gemini_answer(
        _gemini(*_code_between(n), groundingMetadata=_grounded(n, "a fact"))
    ),
    ("gemini", "supports in no text"): lambda n: _gemini_answer(
        _gemini(*_code_between(n), groundingMetadata=_grounded(n, "no fact"))
    ),
    ("gemini", "citations of many texts"): lambda n: _gemini_answer(
        *[_gemini(*_code_between(1), **({"citationMetadata": _cited(6 * i)})) for i in range(n)]
    ),
    ("chat", "annotations"): lambda n: _chat_answer(
        *[
            _chat(
                {
                    "content": "a",
                    "annotations": [
                        {
                            "type": "url_citation",
                            "url_citation": {
                                "url": f"https://{i}",
                                "start_index": i,
                                "end_index": i + 1,
                                "title": "",
                            },
                        }
                    ],
                }
            )
            for i in range(n)
        ]
    ),
    ("chat", "sources"): lambda n: _chat_answer(
        *[_chat({"content": "a"}) | {"citations": [f"https://{k}" for k in range(i % 9)]} for i in range(n)]
    ),
}


def _read(wire: str, frames: Frames) -> list[Event]:
    decoder = dialect(wire).stream_decoder(generic.client_context("some-model"))
    events = [event for frame in frames for event in decoder.feed(frame.get("type"), frame)]
    return events + decoder.eof()


def _fold(events: list[Event]) -> None:
    folded = Accumulator()
    for event in events:
        folded.feed(event)
    assert folded.response().choices


def _write(server: str, events: list[Event]) -> None:
    request = Request(model="some-model", messages=())
    encoder = dialect(server).stream_encoder(request, generic.server_context())
    for event in events:
        encoder.feed(event)


@pytest.mark.parametrize(("wire", "kind"), STREAMS)
def test_twice_the_stream_costs_twice_the_work(wire: str, kind: str) -> None:
    once, twice = (STREAMS[wire, kind](size) for size in (SIZE, 2 * SIZE))
    _read(wire, once)  # what is imported at first use
    events, more = _read(wire, once), _read(wire, twice)

    def grown(work: Callable[[Any], object], small: Any, large: Any) -> bool:
        return lines_run(lambda: work(large)) > 2.2 * lines_run(lambda: work(small)) + 500

    assert len(more) > 1.5 * len(events)
    faults = ["read"] if grown(lambda frames: _read(wire, frames), once, twice) else []
    faults += ["fold"] if grown(_fold, events, more) else []
    for server in ("chat", *SERVERS, "converse"):
        _write(server, events)
        faults += [server] if grown(lambda told: _write(server, told), events, more) else []  # noqa: B023
    assert faults == []


def test_a_call_that_others_interrupt_is_read_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """To see at each interruption whether its arguments are whole would cost the square of their length."""
    read: list[str] = []
    monkeypatch.setattr("app.dialects.chat.tool_calls_in.is_json", lambda text: bool(read.append(text)))

    frames = [
        one
        for _ in range(50)
        for one in (_call(0, "{", index=0), _chat({"content": "a"}), _chat({"reasoning": "b"}))
    ]
    _read("chat", _chat_answer(*frames))

    assert 0 < len(read) < 5


@pytest.mark.parametrize(("kind", "beginning"), [("function", ""), ("function", "["), ("custom", "{")])
def test_input_that_begins_as_no_object_is_joined_once(kind: Any, beginning: str) -> None:
    """Its pieces are held to the end; to join them at each would cost the square of their number."""
    started = BlockStarted(0, 0, ToolCallPart("c", "f", kind=kind))
    pieces = [BlockDelta(0, text) for text in (beginning, *[" "] * 100, "1")]
    events = [started, *pieces, BlockEnded(0)]
    sequence = CallSequence()
    joins = 0

    def see(_frame: Any, event: str, called: Any) -> None:
        nonlocal joins
        joins += event == "c_call" and called.__name__ == "join"

    sys.setprofile(see)
    try:
        written = [one for event in events for one in sequence.feed(event)]
    finally:
        sys.setprofile(None)

    assert joins < 5
    assert "1" in "".join(event.text for event in written if isinstance(event, BlockDelta))
