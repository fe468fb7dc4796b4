"""Converse answers and streams that no recording shows, and what must never crash the decoder."""

from __future__ import annotations

from typing import Any

import pytest

from app.canonical.events import BlockDelta, BlockEnded, BlockStarted, Ended, Failed, Finished
from app.canonical.request import (
    ImagePart,
    OpaquePart,
    ReasoningPart,
    Request,
    Signature,
    TextPart,
    Tool,
    ToolCallPart,
)
from app.canonical.response import Finish
from app.dialects.base import Frame
from app.dialects.converse.dialect import DIALECT
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.tool_forms import ANSWER_TOOL
from tests.dialects import generic


def decode(content: Any, stop: Any = "end_turn", **more: Any) -> Any:
    body = {"output": {"message": {"content": content}}, "stopReason": stop, **more}
    return DIALECT.decode_response(body, generic.client_context()).choices[0]


def stream(*frames: tuple[str, Any], request: Request | None = None) -> list[Any]:
    decoder = DIALECT.stream_decoder(generic.client_context(request=request))
    return generic.decoded(decoder, [Frame(name, data) for name, data in frames])


def delta(index: int, **members: Any) -> tuple[str, Any]:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": members}


def start(index: int, **members: Any) -> tuple[str, Any]:
    return "contentBlockStart", {"contentBlockIndex": index, "start": members}


def stop(index: int) -> tuple[str, Any]:
    return "contentBlockStop", {"contentBlockIndex": index}


BEGIN = ("messageStart", {"role": "assistant"})
END = ("messageStop", {"stopReason": "end_turn"})
META = (
    "metadata",
    {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "metrics": {"latencyMs": 5}},
)

STOPS = [
    ("end_turn", "stop"),
    ("stop_sequence", "stop"),
    ("max_tokens", "length"),
    ("model_context_window_exceeded", "length"),
    ("guardrail_intervened", "content_filter"),
    ("content_filtered", "content_filter"),
    ("malformed_tool_use", "fault"),
    ("something_new", "stop"),
]


@pytest.mark.parametrize(("raw", "reason"), STOPS)
def test_every_stop_reason_is_unified_whole_and_streamed(raw: str, reason: str) -> None:
    want = Finish(reason, raw)  # type: ignore[arg-type]
    assert decode([], raw).finish == want
    events = stream(BEGIN, ("messageStop", {"stopReason": raw}), META)
    assert [e.finish for e in events if isinstance(e, Finished)] == [want]


def test_every_block_is_read() -> None:
    block = {"toolUse": {"toolUseId": "s", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}}
    parts = [
        part
        for message in decode(
            [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "ab"}}},
                {"reasoningContent": {"reasoningText": {"text": "", "signature": "cd"}}},
                {"reasoningContent": {"redactedContent": "ef"}},
                {"text": "t"},
                {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
                {"toolUse": {"toolUseId": "c", "name": "f", "input": {"a": 1}}},
                {"toolUse": {"toolUseId": "c", "name": ANSWER_TOOL, "input": {"a": 1}}},
                block,
                {"newThing": {"x": 1}},
            ]
        ).messages
        for part in message.parts
    ]
    assert parts == [
        ReasoningPart("hm", signature=Signature("ab", "converse", "there")),
        ReasoningPart("", signature=Signature(OMITTED + "cd", "converse", "there")),
        ReasoningPart("", "hidden", Signature("ef", "converse", "there")),
        TextPart("t"),
        ImagePart("AAAA", "image/png"),
        ToolCallPart("c", "f", '{"a":1}'),
        TextPart('{"a":1}'),
        OpaquePart("server_tool_use", ("converse", block)),
        OpaquePart("newThing", ("converse", {"newThing": {"x": 1}})),
    ]


ODD: list[Any] = [
    {},
    {"text": None},
    {"toolUse": {"toolUseId": 3, "name": "f", "input": "x"}},
    {"reasoningContent": 7},
    {"citationsContent": {"citations": [None, {}, {"location": {"web": {}}}], "content": 3}},
    {"image": {"source": 4}},
]


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_block_is_read_without_a_crash_whole_and_streamed(odd: dict[str, Any]) -> None:
    decode([odd, None, 3], 5, usage="x")
    events = stream(BEGIN, start(0, **odd), delta(0, **odd), delta(1, **odd), stop(0), END, META)
    generic.assert_order(events)
    assert isinstance(events[-1], Ended)


@pytest.mark.parametrize("data", [None, [], "x", {}, {"contentBlockIndex": 3}, {"delta": 3}])
@pytest.mark.parametrize("name", [None, "", "contentBlockDelta", "contentBlockStop", "fromTheFuture"])
def test_an_odd_frame_says_nothing(name: str | None, data: Any) -> None:
    assert DIALECT.stream_decoder(generic.client_context()).feed(name, data) == []


def test_a_member_that_is_null_is_absent_whole_and_streamed() -> None:
    call = {"text": None, "reasoningContent": None, "toolUse": {"toolUseId": "t", "name": "f", "input": {}}}
    assert generic.parts_of(decode([call])) == [ToolCallPart("t", "f", "{}")]
    events = stream(BEGIN, delta(0, text="x", toolUse=None, citation=None), stop(0), END, META)
    assert generic.parts_of(generic.fold(events).response().choices[0]) == [TextPart("x")]


def test_a_cited_search_result_is_a_page() -> None:
    place = {"searchResultLocation": {"searchResultIndex": 0, "start": 0, "end": 1}}
    citation = {"title": "S", "source": "https://s", "location": place}
    (part,) = generic.parts_of(
        decode([{"citationsContent": {"content": [{"text": "x"}], "citations": [citation]}}])
    )
    note = {"type": "url_citation", "url": "https://s", "title": "S", "start_index": 0, "end_index": 1}
    assert part.annotations == (note,)


def test_thoughts_calls_and_texts_of_a_stream() -> None:
    events = stream(
        BEGIN,
        delta(0, reasoningContent={"text": "h"}),
        delta(0, reasoningContent={"text": "m"}),
        delta(0, reasoningContent={"signature": "ab"}),
        stop(0),
        delta(1, reasoningContent={"redactedContent": "ef"}),
        stop(1),
        delta(2, text="t"),
        stop(2),
        start(3, toolUse={"toolUseId": "c", "name": "f"}),
        delta(3, toolUse={"input": '{"a"'}),
        delta(3, toolUse={"input": ":1}"}),
        stop(3),
        start(4, toolUse={"toolUseId": "d", "name": "g"}),
        stop(4),
        ("messageStop", {"stopReason": "tool_use"}),
        META,
    )
    generic.assert_order(events)
    response = generic.fold(events).response()
    assert generic.parts_of(response.choices[0]) == [
        ReasoningPart("hm", signature=Signature("ab", "converse", "there")),
        ReasoningPart("", "hidden", Signature("ef", "converse", "there")),
        TextPart("t"),
        ToolCallPart("c", "f", '{"a":1}'),
        ToolCallPart("d", "g", "{}"),
    ]
    assert response.usage is not None
    assert response.usage.total == 3
    assert response.native == ("converse", {"metrics": {"latencyMs": 5}})


def test_a_schemas_tool_and_a_free_text_tool_of_a_stream() -> None:
    request = Request("m", tools=(Tool("custom", "patch"),))
    events = stream(
        BEGIN,
        start(0, toolUse={"toolUseId": "a", "name": ANSWER_TOOL}),
        delta(0, toolUse={"input": '{"a":1}'}),
        stop(0),
        start(1, toolUse={"toolUseId": "b", "name": "patch"}),
        delta(1, toolUse={"input": '{"inp'}),
        delta(1, toolUse={"input": 'ut":"x"}'}),
        stop(1),
        ("messageStop", {"stopReason": "tool_use"}),
        META,
        request=request,
    )
    assert [e.text for e in events if isinstance(e, BlockDelta)] == ['{"a":1}', "x"]
    assert [e.part for e in events if isinstance(e, BlockStarted)] == [
        TextPart(""),
        ToolCallPart("b", "patch", "", "custom"),
    ]


def test_a_block_number_used_twice_ends_the_first_block() -> None:
    call = start(0, toolUse={"toolUseId": "c", "name": "f"})
    generic.assert_order(stream(BEGIN, call, call, delta(0, text="x"), END, META))


def test_a_hosted_tools_blocks_are_whole_when_they_end() -> None:
    events = stream(
        BEGIN,
        start(0, toolUse={"toolUseId": "s", "name": "nova_grounding", "type": "server_tool_use"}),
        delta(0, toolUse={"input": '{"query":"x"}'}),
        stop(0),
        start(1, toolResult={"toolUseId": "s", "status": "success"}),
        delta(1, toolResult=[{"text": "r"}]),
        stop(1),
        END,
        META,
    )
    assert [e.part.native[1] for e in events if isinstance(e, BlockEnded)] == [
        {
            "toolUse": {
                "toolUseId": "s",
                "name": "nova_grounding",
                "type": "server_tool_use",
                "input": {"query": "x"},
            }
        },
        {"toolResult": {"toolUseId": "s", "status": "success", "content": [{"text": "r"}]}},
    ]


EXCEPTIONS = [
    ("throttlingException", {"message": "Slow"}, "upstream_rate_limited"),
    ("serviceUnavailableException", {"message": "Slow"}, "upstream_overloaded"),
    ("modelNotReadyException", {"message": "Slow"}, "upstream_overloaded"),
    ("internalServerException", {"message": "Slow"}, "upstream_error"),
    ("modelStreamErrorException", {"message": "Slow"}, "upstream_error"),
    (
        "modelStreamErrorException",
        {"message": "m", "originalStatusCode": 400, "originalMessage": "Slow"},
        "upstream_rejected",
    ),
    ("validationException", {"message": "Slow"}, "upstream_rejected"),
    ("modelTimeoutException", {"message": "Slow"}, "upstream_timeout"),
    ("neverHeardOfException", {"message": "Slow"}, "upstream_error"),
]


@pytest.mark.parametrize(("name", "payload", "kind"), EXCEPTIONS)
def test_an_exception_in_the_stream_fails_it(name: str, payload: Any, kind: str) -> None:
    events = stream(BEGIN, delta(0, text="t"), (f"exception:{name}", payload), END, META)
    assert isinstance(events[-1], Failed)
    assert (events[-1].error.kind.name, events[-1].error.message) == (kind, "Slow")


def test_usage_counts_the_cache_into_the_input() -> None:
    usage = {
        "inputTokens": 3,
        "cacheReadInputTokens": 10,
        "cacheWriteInputTokens": 20,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 20}, {"ttl": "9h", "inputTokens": 1}],
        "outputTokens": 7,
        "totalTokens": 40,
    }
    body = {"output": {"message": {"content": []}}, "usage": usage, "serviceTier": {"type": "flex"}}
    response = DIALECT.decode_response(body, generic.client_context())
    got = response.usage
    assert got is not None
    assert (got.input_tokens, got.cached_tokens, got.cache_write_tokens, got.output_tokens, got.total) == (
        33,
        10,
        20,
        7,
        40,
    )
    assert (got.details, response.service_tier) == ({"input.cache_write_1h_tokens": 20}, "flex")
