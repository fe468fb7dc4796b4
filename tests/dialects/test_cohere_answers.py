"""Cohere answers and streams that no recording shows, and what must never crash the decoder."""

from __future__ import annotations

import math
from typing import Any

import pytest

from app.canonical.events import BlockDelta, Ended, Failed, Finished
from app.canonical.request import OpaquePart, ReasoningPart, Request, TextPart, Tool, ToolCallPart
from app.canonical.response import Finish
from app.dialects.base import Frame
from app.dialects.cohere.dialect import DIALECT
from app.dialects.cohere.options import PLAN
from app.dialects.shared.tool_forms import ANSWER_TOOL
from tests.dialects import generic


def decode(message: Any, **more: Any) -> Any:
    return DIALECT.decode_response({"message": message, **more}, generic.client_context())


def parts(message: Any, **more: Any) -> list[Any]:
    return generic.parts_of(decode(message, **more).choices[0])


def stream(*frames: dict[str, Any], request: Request | None = None) -> list[Any]:
    decoder = DIALECT.stream_decoder(generic.client_context(request=request))
    return generic.decoded(decoder, [Frame(frame.get("type"), frame) for frame in frames])


def frame(kind: str, index: int | None = None, **message: Any) -> dict[str, Any]:
    return {"type": kind, "index": index, "delta": {"message": message}}


def end(reason: str = "COMPLETE", **delta: Any) -> dict[str, Any]:
    return {"type": "message-end", "delta": {"finish_reason": reason, **delta}}


START = {"type": "message-start", "id": "c1", "delta": {"message": {"role": "assistant"}}}

FINISHES = [
    ("COMPLETE", "stop"),
    ("STOP_SEQUENCE", "stop"),
    ("MAX_TOKENS", "length"),
    ("ERROR", "error"),
    ("TIMEOUT", "error"),
    ("SOMETHING_NEW", "stop"),
]


@pytest.mark.parametrize(("raw", "reason"), FINISHES)
def test_every_finish_is_unified_whole_and_streamed(raw: str, reason: str) -> None:
    want = Finish(reason, raw)  # type: ignore[arg-type]
    assert decode({"content": []}, finish_reason=raw).choices[0].finish == want
    assert [e.finish for e in stream(START, end(raw)) if isinstance(e, Finished)] == [want]


def test_plans_thoughts_texts_and_calls_in_order() -> None:
    source = {"type": "document", "id": "d", "document": {"title": "T"}}
    web = {"type": "tool", "id": "w", "tool_output": {"url": "https://x", "title": "X"}}
    cited = {"start": 0, "end": 1, "text": "t", "content_index": 1, "sources": [source, web]}
    message = {
        "tool_plan": "plan",
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "t"},
            {"type": "new", "x": 1},
        ],
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}},
            {"id": "d", "function": {"name": ANSWER_TOOL, "arguments": '{"a":1}'}},
        ],
        "citations": [cited],
    }
    assert parts(message) == [
        ReasoningPart("plan", native=PLAN),
        ReasoningPart("hm"),
        TextPart(
            "t",
            (
                {"type": "file_citation", "file_id": "d", "filename": "T", "index": 0},
                {"type": "url_citation", "url": "https://x", "title": "X", "start_index": 0, "end_index": 1},
            ),
            native=("cohere", {"citations": [cited]}),
        ),
        OpaquePart("new", ("cohere", {"type": "new", "x": 1})),
        ToolCallPart("c", "f", "{}"),
        TextPart('{"a":1}'),
    ]


def test_a_content_may_be_a_string() -> None:
    assert parts({"content": "x"}) == [TextPart("x")]


@pytest.mark.parametrize("kind", ["PLAN", "THINKING_CONTENT"])
def test_a_citation_of_a_plan_or_a_thought_is_no_annotation_of_the_text(kind: str) -> None:
    source = {"type": "document", "id": "d", "document": {"url": "https://x"}}
    cited = {"start": 0, "end": 1, "text": "h", "type": kind, "content_index": 0, "sources": [source]}
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "t"}]
    (_, text) = parts({"content": content, "citations": [cited]})
    assert text == TextPart("t", native=("cohere", {"citations": [cited]}))


def test_log_probabilities_become_openais() -> None:
    pieces = [
        {"text": "a", "token_ids": [1, 2], "logprobs": [-0.5, -1.0]},
        {"text": "é", "logprobs": [-0.25]},
    ]
    want = (
        {"token": "a", "logprob": -1.5, "bytes": [97], "top_logprobs": []},
        {"token": "é", "logprob": -0.25, "bytes": [195, 169], "top_logprobs": []},
    )
    (part,) = parts({"content": [{"type": "text", "text": "aé"}]}, logprobs=pieces)
    assert part.logprobs == want
    frames = [
        frame("content-start", 0, content={"type": "text", "text": ""}),
        {**frame("content-delta", 0, content={"text": "a"}), "logprobs": pieces[0]},
        {**frame("content-delta", 0, content={"text": "é"}), "logprobs": pieces[1]},
        frame("content-end", 0),
    ]
    response = generic.fold(stream(START, *frames, end())).response()
    (part,) = generic.parts_of(response.choices[0])
    assert isinstance(part, TextPart)
    assert part.logprobs == want


def test_usage_is_what_the_model_saw_and_what_is_billed_a_detail() -> None:
    usage = {
        "billed_units": {"input_tokens": 3.0, "output_tokens": 2},
        "tokens": {"input_tokens": 30.0, "output_tokens": 9, "reasoning_tokens": 4, "image_tokens": 5},
        "cached_tokens": 10,
    }
    got = decode({"content": []}, usage=usage).usage
    assert (got.input_tokens, got.output_tokens, got.cached_tokens, got.reasoning_tokens) == (30, 9, 10, 4)
    assert got.details == {"input.billed_tokens": 3, "output.billed_tokens": 2, "input.image_tokens": 5}
    assert decode({"content": []}, usage={}).usage is None
    assert decode({"content": []}, usage={"tokens": {"input_tokens": math.nan}}).usage is None


ODD: list[Any] = [
    {"content": [None, 3, {}, {"type": 4}, {"type": "text", "text": None}]},
    {"content": "x", "tool_calls": 3, "citations": [None, {"sources": 3}], "tool_plan": []},
    {"tool_calls": [None, {"id": 3, "function": {"name": "f", "arguments": {}}}]},
    {
        "content": [{"type": "text", "text": "a"}],
        "citations": [{"content_index": "x", "sources": [None, {}]}],
    },
]


@pytest.mark.parametrize("message", ODD)
def test_odd_members_are_read_without_a_crash(message: Any) -> None:
    decode(message, finish_reason=3, usage="x", logprobs=[3, {}], id=[])


@pytest.mark.parametrize("data", [None, [], 3, {}, {"index": 0}, {"delta": 3}, {"delta": {"message": 3}}])
@pytest.mark.parametrize(
    "kind", ["content-end", "tool-call-delta", "tool-call-end", "tool-plan-delta", "debug", "x"]
)
def test_an_odd_frame_says_nothing(kind: str, data: Any) -> None:
    members = {"type": kind, **data} if isinstance(data, dict) else data
    assert DIALECT.stream_decoder(generic.client_context()).feed(kind, members) == []


@pytest.mark.parametrize("kind", ["content-start", "content-delta", "citation-start"])
def test_a_frame_without_its_members_keeps_the_order(kind: str) -> None:
    events = stream(START, {"type": kind}, {"type": kind, "index": 1, "delta": 3}, end())
    generic.assert_order(events)
    assert isinstance(events[-1], Ended)


def test_a_plan_ends_when_calls_begin_and_calls_are_whole() -> None:
    request = Request("m", tools=(Tool("custom", "patch"),))
    events = stream(
        START,
        frame("tool-plan-delta", tool_plan="I "),
        frame("tool-plan-delta", tool_plan="plan"),
        frame("tool-call-start", 0, tool_calls={"id": "a", "function": {"name": "f", "arguments": ""}}),
        frame("tool-call-delta", 0, tool_calls={"function": {"arguments": '{"x":1}'}}),
        frame("tool-call-end", 0),
        frame("tool-call-start", 1, tool_calls={"id": "b", "function": {"name": "g", "arguments": ""}}),
        frame("tool-call-end", 1),
        frame("tool-call-start", 2, tool_calls={"id": "c", "function": {"name": "patch", "arguments": ""}}),
        frame("tool-call-delta", 2, tool_calls={"function": {"arguments": '{"input":"y"}'}}),
        frame("tool-call-end", 2),
        end("TOOL_CALL"),
        request=request,
    )
    generic.assert_order(events)
    assert generic.parts_of(generic.fold(events).response().choices[0]) == [
        ReasoningPart("I plan", native=PLAN),
        ToolCallPart("a", "f", '{"x":1}'),
        ToolCallPart("b", "g", "{}"),
        ToolCallPart("c", "patch", "y", "custom"),
    ]


def test_a_block_number_used_twice_ends_the_first_block() -> None:
    text = frame("content-start", 0, content={"type": "text", "text": "a"})
    call = frame("tool-call-start", 0, tool_calls={"id": "a", "function": {"name": "f"}})
    generic.assert_order(stream(START, text, text, call, call, end()))


def test_the_tool_that_stands_for_a_schema_is_streamed_as_text() -> None:
    events = stream(
        START,
        frame(
            "tool-call-start", 0, tool_calls={"id": "a", "function": {"name": ANSWER_TOOL, "arguments": ""}}
        ),
        frame("tool-call-delta", 0, tool_calls={"function": {"arguments": '{"a"'}}),
        frame("tool-call-delta", 0, tool_calls={"function": {"arguments": ":1}"}}),
        frame("tool-call-end", 0),
        end("TOOL_CALL"),
    )
    generic.assert_order(events)
    assert [e.text for e in events if isinstance(e, BlockDelta)] == ['{"a"', ":1}"]
    assert [e.finish for e in events if isinstance(e, Finished)] == [Finish("stop", "TOOL_CALL")]


def test_a_citation_after_its_texts_end_still_finds_it_and_one_without_text_is_reported() -> None:
    cited = {"start": 0, "end": 1, "sources": [{"id": "d", "document": {"title": "T"}}], "content_index": 0}
    events = stream(
        START,
        frame("content-start", 0, content={"type": "text", "text": "t"}),
        frame("content-end", 0),
        frame("citation-start", 0, citations=cited),
        end(),
    )
    generic.assert_order(events)
    (part,) = generic.parts_of(generic.fold(events).response().choices[0])
    assert isinstance(part, TextPart)
    assert (part.text, len(part.annotations)) == ("t", 1)
    whole = {"message": {"tool_plan": "p", "citations": [cited]}, "finish_reason": "COMPLETE"}
    contexts = [generic.client_context() for _ in range(2)]
    sent = [START, frame("citation-start", 0, citations=cited), end()]
    generic.decoded(DIALECT.stream_decoder(contexts[0]), [Frame(one["type"], one) for one in sent])
    DIALECT.decode_response(whole, contexts[1])
    for context in contexts:
        (loss,) = context.losses.items
        assert loss.message.startswith("The provider sent a citation outside of texts,")


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (end("ERROR", error="Sorry", error_type="INVALID_TOOL_GENERATION"), "upstream_error"),
        ({"message": "Sorry"}, "upstream_error"),
        ({"type": "error", "message": "Sorry"}, "upstream_error"),
    ],
)
def test_an_error_in_the_stream_fails_it(told: dict[str, Any], kind: str) -> None:
    events = stream(START, frame("content-start", 0, content={"type": "text", "text": "t"}), told, end())
    assert isinstance(events[-1], Failed)
    assert (events[-1].error.kind.name, events[-1].error.message) == (kind, "Sorry")
