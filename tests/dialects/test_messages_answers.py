"""Answers and streams of a Claude that no recording shows, and what must never crash a decoder."""

from __future__ import annotations

from typing import Any

import pytest

from app.canonical.events import BlockDelta, BlockEnded, BlockStarted, Ended, Failed, Finished, Started
from app.canonical.request import (
    Message,
    OpaquePart,
    ReasoningPart,
    Request,
    Signature,
    TextPart,
    Tool,
    ToolCallPart,
)
from app.canonical.response import Choice, Finish, Response, Usage
from app.dialects.base import Frame, ServerContext
from app.dialects.messages.dialect import DIALECT
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.tool_forms import ANSWER_TOOL
from app.errors import GatewayError
from tests.dialects import generic
from tests.traffic import load
from tests.traffic.answers import Count, extract
from tests.traffic.load import Exchange


def decode(**body: Any) -> Response:
    return DIALECT.decode_response({"type": "message", **body}, generic.client_context())


def stream(*frames: dict[str, Any], request: Request | None = None) -> list[Any]:
    decoder = DIALECT.stream_decoder(generic.client_context(request=request))
    return generic.decoded(decoder, [Frame(frame.get("type"), frame) for frame in frames])


START = {"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 5}}}
STOP = {"type": "message_stop"}


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


STOPS = [
    ("end_turn", "stop"),
    ("stop_sequence", "stop"),
    ("pause_turn", "stop"),
    ("max_tokens", "length"),
    ("model_context_window_exceeded", "length"),
    ("refusal", "content_filter"),
    ("something_new", "stop"),
]


@pytest.mark.parametrize(("raw", "reason"), STOPS)
def test_every_stop_reason_is_unified_and_kept(raw: str, reason: str) -> None:
    choice = decode(content=[], stop_reason=raw, stop_sequence="x").choices[0]
    assert choice.finish == Finish(reason, raw, "x")  # type: ignore[arg-type]


def test_usage_counts_the_cache_into_the_input() -> None:
    usage = {
        "input_tokens": 3,
        "cache_read_input_tokens": 10,
        "cache_creation_input_tokens": 20,
        "cache_creation": {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5},
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 4},
        "server_tool_use": {"web_search_requests": 2},
        "service_tier": "priority",
    }
    response = decode(content=[], usage=usage)
    got = response.usage
    assert got is not None
    assert (got.input_tokens, got.cached_tokens, got.cache_write_tokens) == (33, 10, 20)
    assert (got.output_tokens, got.reasoning_tokens, got.total) == (7, 4, 40)
    assert got.details == {
        "input.cache_write_5m_tokens": 15,
        "input.cache_write_1h_tokens": 5,
        "output.num_search_queries": 2,
    }
    assert response.service_tier == "priority"
    assert DIALECT.encode_response(response, Request("m"), server_context())["usage"] == usage


@pytest.mark.parametrize("count", [-1, 1.5, "7", None, True, 2**60, float("nan")])
def test_an_impossible_count_is_absent(count: Any) -> None:
    assert decode(content=[], usage={"input_tokens": count}).usage is None


ODD_BLOCKS: list[Any] = [
    {},
    {"type": None},
    {"type": 3},
    {"type": "text"},
    {"type": "text", "text": None, "citations": [None, 1, {}, {"type": "web_search_result_location"}]},
    {"type": "thinking", "thinking": 1, "signature": []},
    {"type": "redacted_thinking"},
    {"type": "tool_use", "name": "f", "input": None},
    {"type": "tool_use", "id": 1, "name": "f", "input": "x"},
    {"type": "tool_result", "content": 4},
    {"type": "image", "source": None},
    {"type": "document", "source": {"type": "base64"}},
]


@pytest.mark.parametrize("odd", ODD_BLOCKS)
def test_an_odd_block_is_read_without_a_crash_whole_and_streamed(odd: dict[str, Any]) -> None:
    decode(content=[odd, None, 3], stop_reason=5, usage="x", model=1, id=[])
    events = stream(START, *block(0, odd, {"type": "text_delta"}, {"type": None}, {}), STOP)
    generic.assert_order(events)
    assert isinstance(events[-1], Ended)


@pytest.mark.parametrize(
    "frame",
    [
        None,
        7,
        [],
        {},
        {"type": "ping"},
        {"type": "from_the_future", "index": 0},
        {"type": "content_block_delta", "index": 9, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_stop", "index": 9},
        {"type": "message_delta"},
        {"type": "message_delta", "delta": 3, "usage": [1]},
    ],
)
def test_an_unknown_or_odd_frame_says_nothing(frame: Any) -> None:
    assert DIALECT.stream_decoder(generic.client_context()).feed(None, frame) == []


def test_usage_of_a_stream_is_merged_by_the_larger_count() -> None:
    events = stream(
        {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 4, "input_tokens": 0}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 6}},
        STOP,
    )
    assert isinstance(events[-1], Ended)
    usage = events[-1].usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (9, 6)


ERRORS = [
    ("overloaded_error", "upstream_overloaded"),
    ("rate_limit_error", "upstream_rate_limited"),
    ("api_error", "upstream_error"),
    ("invalid_request_error", "upstream_rejected"),
    ("authentication_error", "upstream_auth"),
    ("unheard_of", "upstream_error"),
]


@pytest.mark.parametrize(("kind", "name"), ERRORS)
def test_an_error_event_fails_the_stream_and_keeps_the_usage(kind: str, name: str) -> None:
    error = {"type": "error", "error": {"type": kind, "message": "Sorry"}}
    events = stream(START, *block(0, {"type": "text", "text": ""})[:1], error, STOP)
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert (failed.error.kind.name, failed.error.message) == (name, "Sorry")
    assert failed.usage is not None
    assert failed.usage.input_tokens == 5
    with pytest.raises(GatewayError) as caught:
        decode(**error)
    assert caught.value.kind.name == name


def test_a_cut_stream_has_failed_and_says_nothing_twice() -> None:
    decoder = DIALECT.stream_decoder(generic.client_context())
    decoder.feed("message_start", START)
    (failed,) = decoder.eof()
    assert isinstance(failed, Failed)
    assert failed.error.kind.name == "upstream_cut"
    assert decoder.eof() == []


def test_the_tool_that_stands_for_a_schema_is_read_as_text_whole_and_streamed() -> None:
    start = {"type": "tool_use", "id": "t", "name": ANSWER_TOOL, "input": {}}
    events = stream(
        START,
        *block(
            0,
            start,
            {"type": "input_json_delta", "partial_json": ""},
            {"type": "input_json_delta", "partial_json": '{"a":'},
            {"type": "input_json_delta", "partial_json": "1}"},
        ),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        STOP,
    )
    assert [e.text for e in events if isinstance(e, BlockDelta)] == ['{"a":', "1}"]
    assert next(e for e in events if isinstance(e, Finished)).finish == Finish("stop", "tool_use")
    whole = decode(content=[{**start, "input": {"a": 1}}], stop_reason="tool_use").choices[0]
    assert (whole.messages[0].parts, whole.finish) == ((TextPart('{"a":1}'),), Finish("stop", "tool_use"))


def test_the_input_of_a_free_text_tool_comes_when_it_is_whole() -> None:
    start = {"type": "tool_use", "id": "t", "name": "patch", "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ('{"inp', 'ut":"a\\n', 'b"}')]
    events = stream(
        START, *block(0, start, *deltas), STOP, request=Request("m", tools=(Tool("custom", "patch"),))
    )
    assert [e.text for e in events if isinstance(e, BlockDelta)] == ["a\nb"]
    assert events[1] == BlockStarted(0, 0, ToolCallPart("t", "patch", "", "custom"))


@pytest.mark.parametrize(("given", "arguments"), [({}, "{}"), ({"a": 1}, '{"a":1}')])
def test_a_call_without_deltas_has_the_input_of_its_start(given: dict[str, Any], arguments: str) -> None:
    start = {"type": "tool_use", "id": "t", "name": "f", "input": given}
    events = stream(START, *block(0, start, {"type": "input_json_delta", "partial_json": ""}), STOP)
    assert [e.text for e in events if isinstance(e, BlockDelta)] == [arguments]


def test_withheld_thinking_keeps_a_signature_that_says_so() -> None:
    events = stream(
        START,
        *block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "signature_delta", "signature": "ab"},
        ),
        *block(1, {"type": "redacted_thinking", "data": "cd"}),
        STOP,
    )
    parts = [p for m in generic.fold(events).response().choices[0].messages for p in m.parts]
    assert parts == [
        ReasoningPart("", signature=Signature(OMITTED + "ab", "messages", "there")),
        ReasoningPart("", "hidden", Signature("cd", "messages", "there")),
    ]


def test_a_block_number_used_twice_ends_the_first_block() -> None:
    opening = block(0, {"type": "text", "text": "a"})[0]
    events = stream(START, opening, opening, STOP)
    generic.assert_order(events)
    assert [e.text for e in events if isinstance(e, BlockDelta)] == ["a", "a"]


def test_an_opaque_block_is_whole_when_it_ends() -> None:
    events = stream(
        START,
        *block(
            0,
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            {"type": "input_json_delta", "partial_json": '{"query":"x"}'},
        ),
        *block(1, {"type": "compaction", "content": ""}, {"type": "compaction_delta", "content": "sum"}),
        STOP,
    )
    ended = [e.part for e in events if isinstance(e, BlockEnded)]
    assert ended == [
        OpaquePart(
            "server_tool_use",
            (
                "messages",
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
            ),
        ),
        OpaquePart("compaction", ("messages", {"type": "compaction", "content": "sum"})),
    ]


def test_texts_side_by_side_are_one_item_and_all_else_stands_alone() -> None:
    text = {"type": "text", "text": "a"}
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    choice = decode(content=[text, text, call, call, text]).choices[0]
    assert [len(message.parts) for message in choice.messages] == [2, 1, 1, 1]
    frames = [frame for i, b in enumerate([text, text, call, call, text]) for frame in block(i, b)]
    streamed = generic.fold(stream(START, *frames, STOP)).response()
    assert streamed.choices[0].messages == choice.messages


# error bodies

BODIES = [
    (400, {"error": {"type": "invalid_request_error", "message": "No"}}, "upstream_rejected", "No"),
    (
        429,
        [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Slow"}}],
        "upstream_rate_limited",
        "Slow",
    ),
    (403, {"message": "Denied"}, "upstream_auth", "Denied"),
    (400, {"Message": "Bad"}, "upstream_rejected", "Bad"),
    (404, {"error": {"code": "DeploymentNotFound", "message": "Gone"}}, "upstream_rejected", "Gone"),
    (502, "<html>oops</html>", "upstream_error", "The provider answered with an HTML page."),
    (500, None, "upstream_error", "The provider answered with status 500."),
    (400, {"error": "flat"}, "upstream_rejected", "flat"),
    (
        529,
        {"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}},
        "upstream_overloaded",
        "Busy",
    ),
]


@pytest.mark.parametrize(("status", "body", "kind", "message"), BODIES)
def test_every_hosts_error_body_is_read(status: int, body: Any, kind: str, message: str) -> None:
    error = DIALECT.decode_error(status, body, {})
    assert (error.kind.name, error.message) == (kind, message)


# server half


def server_context(**members: Any) -> ServerContext:
    return ServerContext(new_id=generic.counter(), now=0, model="m", **members)


def test_another_apis_answer_is_written_as_messages() -> None:
    note = {"type": "url_citation", "url": "https://x", "title": "X", "start_index": 0, "end_index": 2}
    response = Response(
        None,
        None,
        (
            Choice(
                0,
                (
                    Message("assistant", (ReasoningPart("hm", signature=Signature("s", "gemini", "r")),)),
                    Message("assistant", (TextPart("ok", (note,)),)),
                    Message("assistant", (ToolCallPart("c", "f", '{"a": 1}'),)),
                ),
                Finish("tool_calls", "STOP"),
            ),
        ),
        Usage(input_tokens=10, output_tokens=5, cached_tokens=4, reasoning_tokens=2),
    )
    body = DIALECT.encode_response(response, Request("m"), server_context(wrap=lambda s: f"sealed-{s.value}"))
    assert body == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "sealed-s"},
            {
                "type": "text",
                "text": "ok",
                "citations": [
                    {
                        "type": "web_search_result_location",
                        "url": "https://x",
                        "title": "X",
                        "cited_text": "ok",
                        "encrypted_index": "",
                    }
                ],
            },
            {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 6,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4,
            "output_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 2},
        },
    }


def test_overlapping_blocks_are_written_one_after_the_other() -> None:
    encoder = DIALECT.stream_encoder(Request("m"), server_context())
    events = [
        Started(),
        BlockStarted(0, 0, ToolCallPart("a", "f", "")),
        BlockStarted(1, 1, ToolCallPart("b", "g", "")),
        BlockDelta(1, "{}"),
        BlockDelta(0, '{"x":1}'),
        BlockEnded(1),
        BlockEnded(0),
        Finished(Finish("tool_calls")),
        Ended(),
    ]
    frames = [frame.data for event in events for frame in encoder.feed(event)]
    assert [(frame["type"], frame.get("index")) for frame in frames] == [
        ("message_start", None),
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
        ("message_delta", None),
        ("message_stop", None),
    ]


@pytest.mark.parametrize(
    ("kind", "status", "word"),
    [
        ("bad_request", None, "invalid_request_error"),
        ("unauthenticated", None, "authentication_error"),
        ("not_found", None, "not_found_error"),
        ("rate_limited", None, "rate_limit_error"),
        ("upstream_error", None, "api_error"),
        ("overloaded", None, "overloaded_error"),
    ],
)
def test_an_error_is_written_in_anthropics_form(kind: str, status: int | None, word: str) -> None:
    body = DIALECT.encode_error(GatewayError(kind, "No", status=status))
    assert body == {"type": "error", "error": {"type": word, "message": "No"}}
    encoder = DIALECT.stream_encoder(Request("m"), server_context())
    assert encoder.feed(Failed(GatewayError(kind, "No"))) == [Frame("error", body)]


BAD_REQUESTS: list[tuple[Any, str]] = [
    ({}, "messages"),
    ({"messages": "x"}, "messages"),
    ({"messages": [3]}, "messages[0]"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
]


@pytest.mark.parametrize(("body", "param"), BAD_REQUESTS)
def test_a_request_that_cannot_be_read_names_the_member(body: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        DIALECT.decode_request(body, server_context())
    assert (caught.value.kind.name, caught.value.param) == ("bad_request", param)


# the other operations


@pytest.mark.parametrize("exchange", load.params(load.exchanges(("anthropic.count_tokens",))))
def test_tokens_are_counted(exchange: Exchange) -> None:
    body = exchange.request["body"]
    context = generic.client_context(body["model"])
    encoded = DIALECT.encode_count(DIALECT.decode_request(body, server_context()), context)
    assert set(encoded.body) == set(body)
    reading = extract(exchange)
    assert isinstance(reading, Count)
    assert DIALECT.decode_count(exchange.json()) == reading.tokens
    with pytest.raises(GatewayError):
        DIALECT.decode_count({"input_tokens": "7"})
