"""Cohere's v2 chat as a server speaks it: requests read, answers and streams written."""

from __future__ import annotations

from typing import Any

import pytest
from cohere.v2 import types as sdk

from app.canonical.events import BlockDelta, BlockEnded, BlockStarted, Ended, Finished, Started
from app.canonical.request import (
    ImagePart,
    Message,
    Output,
    ReasoningPart,
    Request,
    Sampling,
    Signature,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from app.canonical.response import Choice, Finish, Response, Usage
from app.dialects.base import DONE
from app.dialects.cohere import request_in, response_out
from app.dialects.cohere.dialect import DIALECT
from app.dialects.cohere.stream_out import CohereEncoder
from app.errors import GatewayError
from tests.dialects import generic, served
from tests.dialects.recorded import COHERE
from tests.traffic import load
from tests.traffic.load import Exchange

REQUESTS = [e for e in COHERE.found if isinstance(e.request["body"], dict) and e.status == 200]
FRAMES = {
    "message-start": sdk.MessageStartV2ChatStreamResponse,
    "content-start": sdk.ContentStartV2ChatStreamResponse,
    "content-delta": sdk.ContentDeltaV2ChatStreamResponse,
    "content-end": sdk.ContentEndV2ChatStreamResponse,
    "tool-plan-delta": sdk.ToolPlanDeltaV2ChatStreamResponse,
    "tool-call-start": sdk.ToolCallStartV2ChatStreamResponse,
    "tool-call-delta": sdk.ToolCallDeltaV2ChatStreamResponse,
    "tool-call-end": sdk.ToolCallEndV2ChatStreamResponse,
    "citation-start": sdk.CitationStartV2ChatStreamResponse,
    "citation-end": sdk.CitationEndV2ChatStreamResponse,
    "message-end": sdk.MessageEndV2ChatStreamResponse,
}


def decode(**members: Any) -> Request:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **members}
    return request_in.decode_request(body, generic.server_context())


def test_a_body_is_read_whole() -> None:
    request = decode(
        messages=[
            {"role": "system", "content": "S"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look"},
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/png;base64,QUJD", "detail": "low"},
                    },
                    {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
                ],
            },
            {
                "role": "assistant",
                "tool_plan": "P",
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "R"},
        ],
        tools=[{"type": "function", "function": {"name": "f", "description": "F", "parameters": {"a": 1}}}],
        strict_tools=True,
        tool_choice="REQUIRED",
        response_format={"type": "json_object", "json_schema": {"type": "object"}},
        thinking={"type": "enabled", "token_budget": 7},
        max_tokens=1,
        temperature=0.1,
        p=0.2,
        k=3,
        stop_sequences=["x"],
        seed=4,
        frequency_penalty=0.5,
        presence_penalty=0.6,
        logprobs=True,
        stream=True,
        safety_mode="OFF",
    )
    plan = ReasoningPart("P", native=("cohere", {"plan": True}))
    assert request.messages == (
        Message("system", (TextPart("S"),)),
        Message(
            "user",
            (
                TextPart("Look"),
                ImagePart("QUJD", "image/png", detail="low"),
                ImagePart(url="https://a.example/b.png"),
            ),
        ),
        Message("assistant", (plan, ToolCallPart("c", "f", "{}"))),
        Message("tool", (ToolResultPart("c", (TextPart("R"),)),)),
    )
    assert request.tools == (Tool("function", "f", "F", {"a": 1}, True),)
    assert request.tool_choice == ToolChoice("required")
    assert request.output == Output("schema", schema={"type": "object"})
    assert request.reasoning is not None
    assert request.reasoning.budget == 7
    assert request.sampling == Sampling(
        1, 0.1, 0.2, 3, ("x",), 4, presence_penalty=0.6, frequency_penalty=0.5, logprobs=True
    )
    assert (request.stream, request.extra) == (True, {"safety_mode": "OFF"})


FAULTS = [
    ({"messages": None}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": [5]}, "messages[0]"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0].type"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "messages[0].content[0].image_url",
    ),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [{"type": "web", "function": {"name": "f"}}]}, "tools[0].type"),
    ({"tool_choice": "AUTO"}, "tool_choice"),
    ({"max_tokens": "5"}, "max_tokens"),
    ({"stream": 1}, "stream"),
    ({"documents": [5]}, "documents[0]"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"thinking": {"type": "hard"}}, "thinking.type"),
]


@pytest.mark.parametrize(("members", "param"), FAULTS)
def test_a_wrong_shape_is_refused_by_its_path(members: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(**members)
    assert (caught.value.kind.name, caught.value.param) == ("bad_request", param)


def test_documents_are_text_for_others_and_documents_for_cohere() -> None:
    documents = ["Plain", {"id": "d", "data": {"title": "T", "text": "X"}}]
    request = decode(documents=documents)
    texts = [part.text for part in request.messages[0].parts if isinstance(part, TextPart)]
    assert texts == ["Document 0:\nPlain\n\n", "Document d:\ntitle: T\ntext: X\n\n", "Hi"]
    body = DIALECT.encode_request(request, generic.client_context("m")).body
    assert (body["documents"], body["messages"]) == (documents, [{"role": "user", "content": "Hi"}])


@pytest.mark.parametrize("exchange", load.params(REQUESTS))
def test_a_recorded_request_keeps_every_member_through_decode_and_encode(exchange: Exchange) -> None:
    body = exchange.request["body"]
    context = generic.client_context(body["model"])
    request = request_in.decode_request(body, generic.server_context())
    assert _plain(DIALECT.encode_request(request, context).body) == _plain(body)
    assert context.losses.items == []


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    """A request with adjacent turns of one role as one, their texts as blocks, and nothing empty."""
    turns: list[dict[str, Any]] = []
    for message in body["messages"]:
        content = message.get("content") or []
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        blocks = [block for block in blocks if block != {"type": "text", "text": ""}]
        if turns and turns[-1]["role"] == message["role"] != "tool":
            turns[-1]["content"] = turns[-1]["content"] + blocks
        else:
            turns.append({**message, "content": blocks})
    kept = {name: value for name, value in body.items() if value not in (None, [], False, {"type": "text"})}
    return {**kept, "messages": turns}


@pytest.mark.parametrize("exchange", load.params(COHERE.bodies))
def test_a_recorded_answer_is_written_as_it_came(exchange: Exchange) -> None:
    request = Request("m", sampling=Sampling(logprobs=True))
    body = response_out.encode_response(COHERE.response(exchange), request, generic.server_context())
    assert served.over_json(body) == exchange.json()


@pytest.mark.parametrize("exchange", load.params(COHERE.streams))
def test_a_recorded_stream_is_written_in_frames_of_the_sdk_and_reads_the_same(exchange: Exchange) -> None:
    events = COHERE.events(exchange)
    encoder = CohereEncoder(Request("m", sampling=Sampling(logprobs=True)), generic.server_context())
    frames = served.frames_of(encoder, events)
    assert frames.pop() == DONE
    for frame in frames:
        assert frame.event == frame.data["type"]
        FRAMES[frame.event].model_validate(frame.data)
    if isinstance(events[-1], Ended):
        again = generic.fold(served.read_again(DIALECT, frames)).response()
        first = generic.fold(events).response()
        assert generic.without_ids(again) == generic.without_ids(first)
        assert (again.choices[0].finish, again.usage) == (first.choices[0].finish, first.usage)


def test_thoughts_texts_citations_and_calls_have_their_frames() -> None:
    note = {
        "type": "url_citation",
        "url": "https://a.example",
        "title": "A",
        "start_index": 0,
        "end_index": 2,
    }
    events = [
        Started("id"),
        BlockStarted(0, 0, ReasoningPart("")),
        BlockDelta(0, "Hm"),
        BlockEnded(0, signature=Signature("s", "other")),
        BlockStarted(1, 1, ReasoningPart("", "hidden")),
        BlockEnded(1, signature=Signature("s", "other")),
        BlockStarted(2, 2, TextPart("")),
        BlockDelta(2, "Hello"),
        BlockDelta(2, annotation=note),
        BlockEnded(2),
        BlockStarted(3, 3, ToolCallPart("c", "f")),
        BlockDelta(3, "{}"),
        BlockEnded(3),
        Finished(Finish("tool_calls", "tool_use")),
        Ended(Usage(5, 6, cached_tokens=1, reasoning_tokens=2)),
    ]
    frames = served.frames_of(CohereEncoder(Request("m"), generic.server_context()), events)
    assert [(f.event, f.data.get("index")) for f in frames[:-1]] == [
        ("message-start", None),
        ("content-start", 0),
        ("content-delta", 0),
        ("content-end", 0),
        ("content-start", 1),
        ("content-delta", 1),
        ("citation-start", 0),
        ("citation-end", 0),
        ("content-end", 1),
        ("tool-call-start", 0),
        ("tool-call-delta", 0),
        ("tool-call-end", 0),
        ("message-end", None),
    ]
    source = {"id": "https://a.example", "title": "A", "url": "https://a.example"}
    assert frames[6].data["delta"]["message"]["citations"] == {
        "start": 0,
        "end": 2,
        "text": "He",
        "sources": [{"type": "document", "id": "https://a.example", "document": source}],
        "type": "TEXT_CONTENT",
    }
    tokens = {"input_tokens": 5, "output_tokens": 6}
    assert frames[-2].data["delta"] == {
        "finish_reason": "TOOL_CALL",
        "usage": {
            "billed_units": tokens,
            "tokens": {**tokens, "reasoning_tokens": 2},
            "cached_tokens": 1,
        },
    }


WORDS = [
    (Finish("stop"), "COMPLETE"),
    (Finish("stop", "end_turn", "x"), "STOP_SEQUENCE"),
    (Finish("length"), "MAX_TOKENS"),
    (Finish("tool_calls"), "TOOL_CALL"),
    (Finish("content_filter"), "ERROR_TOXIC"),
    (Finish("error", "TIMEOUT"), "TIMEOUT"),
]


@pytest.mark.parametrize(("finish", "word"), WORDS)
def test_an_end_has_this_wires_word(finish: Finish, word: str) -> None:
    response = Response("id", None, (Choice(0, (), finish),))
    body = response_out.encode_response(response, Request("m"), generic.server_context())
    assert body["finish_reason"] == word


def test_an_error_is_its_message() -> None:
    error = GatewayError("bad_request", "No.")
    assert response_out.encode_error(error) == {"message": "No."}
