"""Messages as a server speaks it, held to the anthropic SDK's own types."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic import types as sdk
from pydantic import TypeAdapter

from app.canonical.events import (
    BlockDelta,
    BlockEnded,
    BlockStarted,
    Ended,
    Failed,
    Finished,
    Started,
    replay,
)
from app.canonical.request import (
    FilePart,
    Message,
    OpaquePart,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    Tool,
    ToolCallPart,
)
from app.canonical.response import Choice, Finish, Response, Usage
from app.dialects import dialect
from app.dialects.messages.request_in import decode_request
from app.dialects.messages.response import encode_error, encode_response, error_status
from app.dialects.messages.stream_out import PING, MessagesEncoder
from app.errors import GatewayError
from tests.dialects import generic, served
from tests.dialects.recorded import WIRES

EVENTS: Any = TypeAdapter(sdk.RawMessageStreamEvent)
DIALECT = dialect("messages")


def decode(*blocks: Any, role: str = "user", **members: Any) -> Request:
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": role, "content": list(blocks) or "Hi"}]}
    return decode_request({**body, **members}, served.sealing_context())


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"messages": [{"role": [], "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}]},
        "messages[0].content[0].source.url",
    ),
    (
        {
            "messages": [
                {"role": "user", "content": [{"type": "tool_result", "content": 5, "tool_use_id": "c"}]}
            ]
        },
        "messages[0].content[0].content",
    ),
    (
        {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f"}]}]},
        "messages[0].content[0].input",
    ),
    ({"system": 5}, "system"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": "5"}, "max_tokens"),
    ({"stream": 1}, "stream"),
    ({"stop_sequences": [5]}, "stop_sequences[0]"),
    ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
    ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    ({"thinking": {"type": 5}}, "thinking.type"),
    ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
]


@pytest.mark.parametrize(("members", "param"), FAULTS)
def test_a_wrong_shape_is_refused_by_its_path(members: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(**members)
    assert (caught.value.kind.name, caught.value.param) == ("bad_request", param)


def test_what_claude_code_sends_is_read_and_goes_on_to_a_claude() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
    members = {
        "thinking": {"type": "adaptive", "display": "omitted"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "medium"},
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "defer_loading": True}, search],
        "metadata": {"user_id": "u"},
        "fallbacks": ["other/m"],
    }
    request = decode(**members)
    assert request.tools[1] == Tool("hosted", "web_search", native=("messages", search))
    assert request.reasoning == Reasoning("medium", -1, None, ("messages", {"thinking": members["thinking"]}))
    assert request.extra == {"context_management": members["context_management"]}
    body = DIALECT.encode_request(request, generic.client_context("claude-opus-4-6")).body
    assert body["context_management"] == members["context_management"]
    assert body["tools"] == members["tools"]


def test_anthropics_own_fallbacks_go_on() -> None:
    assert decode(fallbacks=[{"model": "m"}]).extra == {"fallbacks": [{"model": "m"}]}
    assert decode(fallbacks="default").extra == {"fallbacks": "default"}


def test_a_document_in_pieces_is_text_for_others_and_itself_for_a_claude() -> None:
    source = {"type": "content", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}
    document = {"type": "document", "source": source, "title": "T", "citations": {"enabled": True}}
    request = decode(document)
    (part,) = request.messages[0].parts
    assert isinstance(part, FilePart)
    assert (part.text, part.filename) == ("A\nB", "T")
    body = DIALECT.encode_request(request, generic.client_context("claude-opus-4-6")).body
    assert body["messages"][0]["content"] == [document]


@pytest.mark.parametrize("source", ["chat", "responses", "messages", "gemini", "converse", "cohere"])
def test_every_recorded_answer_is_written_in_the_sdks_types(source: str) -> None:
    for exchange in [e for e in (*WIRES[source].bodies[:30], *WIRES[source].streams[:30]) if e.status == 200]:
        try:
            response = WIRES[source].response(exchange)
        except GatewayError:
            continue
        if source != "messages":  # betas of Anthropic's own are in other types
            sdk.Message.model_validate(
                served.over_json(encode_response(response, Request("m"), served.sealing_context()))
            )
            encoder = MessagesEncoder(Request("m"), served.sealing_context())
            for frame in served.frames_of(encoder, replay(response)):
                EVENTS.validate_python(frame.data)


SIGNED = served.signed_response("messages")


@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_every_makers_signature_comes_back_to_it(way: str) -> None:
    context = served.sealing_context()
    content = encode_response(SIGNED, Request("m"), context)["content"]
    if way == "streamed":
        content = grown(served.frames_of(MessagesEncoder(Request("m"), context), replay(SIGNED)))
    expected = [part for message in SIGNED.choices[0].messages for part in message.parts]
    assert list(decode(*content, role="assistant").messages[0].parts) == expected


def grown(frames: list[Any]) -> list[dict[str, Any]]:
    """Thoughts as a client of the stream puts them together."""
    blocks: list[dict[str, Any]] = []
    for frame in frames:
        if frame.event == "content_block_start":
            blocks.append(dict(frame.data["content_block"]))
        elif frame.event == "content_block_delta":
            delta = {name: value for name, value in frame.data["delta"].items() if name != "type"}
            blocks[-1] |= {name: blocks[-1].get(name, "") + value for name, value in delta.items()}
    return blocks


def test_a_refusal_is_a_reason_to_stop() -> None:
    refused = Response(
        "id", "m", (Choice(0, (Message("assistant", (RefusalPart("No"),)),), Finish("stop", "stop")),)
    )
    body = encode_response(refused, Request("m"), generic.server_context())
    assert (body["stop_reason"], body["content"]) == ("refusal", [{"type": "text", "text": "No"}])
    frames = served.frames_of(MessagesEncoder(Request("m"), generic.server_context()), replay(refused))
    assert frames[-2].data["delta"]["stop_reason"] == "refusal"


def test_hidden_reasoning_without_a_signature_is_no_block() -> None:
    parts = (ReasoningPart("", "hidden"), TextPart("x"))
    answer = Response("id", "m", (Choice(0, (Message("assistant", parts),), Finish("stop")),))
    body = encode_response(answer, Request("m"), generic.server_context())
    assert body["content"] == [{"type": "text", "text": "x"}]


def test_server_tools_citations_and_details_of_the_end_are_anthropics_own() -> None:
    use = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}
    citation = {"type": "char_location", "cited_text": "x", "document_index": 0}
    details = {"type": "refusal", "category": "cyber", "explanation": None}
    events = [
        Started("id", "m"),
        BlockStarted(0, 0, OpaquePart("server_tool_use", ("messages", use))),
        BlockEnded(0),
        BlockStarted(1, 1, TextPart("")),
        BlockDelta(1, "x"),
        BlockEnded(1, native=("messages", {"citations": [citation]})),
        Finished(Finish("content_filter", "refusal")),
        Ended(Usage(1, 2), ("messages", {"stop_details": details})),
    ]
    frames = served.frames_of(MessagesEncoder(Request("m"), generic.server_context()), events)
    assert frames[1].data["content_block"] == use
    assert frames[5].data["delta"] == {"type": "citations_delta", "citation": citation}
    assert frames[-2].data["delta"] == {
        "stop_details": details,
        "stop_reason": "refusal",
        "stop_sequence": None,
    }


def test_blocks_may_end_in_any_order_and_number() -> None:
    many = 3000
    parts = tuple(Message("assistant", (ToolCallPart(f"c{i}", "f", "{}"),)) for i in range(many))
    events = served.overlapping(Response("id", "m", (Choice(0, parts, Finish("tool_calls")),)))
    frames = served.frames_of(MessagesEncoder(Request("m"), generic.server_context()), events)
    opened = [f.data["index"] for f in frames if f.event == "content_block_start"]
    assert opened == list(range(many))


ERRORS = [
    (GatewayError("bad_request", "No."), 400, "invalid_request_error"),
    (GatewayError("unauthenticated", "No."), 401, "authentication_error"),
    (GatewayError("bad_request", "No.", status=402), 402, "billing_error"),
    (GatewayError("forbidden", "No."), 403, "permission_error"),
    (GatewayError("model_not_found", "No."), 404, "not_found_error"),
    (GatewayError("too_large", "No."), 413, "request_too_large"),
    (GatewayError("unsupported_media", "No."), 415, "invalid_request_error"),
    (GatewayError("rate_limited", "No."), 429, "rate_limit_error"),
    (GatewayError("internal", "No."), 500, "api_error"),
    (GatewayError("upstream_cut", "No."), 502, "api_error"),
    (GatewayError("upstream_overloaded", "No."), 529, "overloaded_error"),
    (GatewayError("upstream_timeout", "No."), 504, "timeout_error"),
]


@pytest.mark.parametrize(("error", "status", "kind"), ERRORS)
def test_an_error_is_anthropics(error: GatewayError, status: int, kind: str) -> None:
    told = {"type": "error", "error": {"type": kind, "message": "No."}}
    assert (error_status(error), encode_error(error)) == (status, told)
    encoder = MessagesEncoder(Request("m"), generic.server_context())
    (frame,) = served.frames_of(encoder, [Failed(error)])
    assert (frame.event, frame.data) == ("error", told)


def test_a_ping_says_nothing() -> None:
    assert generic.decoded(DIALECT.stream_decoder(generic.client_context()), [PING])[:-1] == []
