"""Converse as a server speaks it, held to botocore's own parser and service model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.eventstream import EventStream
from botocore.parsers import EventStreamJSONParser, create_parser

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
    ImagePart,
    Message,
    OpaquePart,
    Output,
    Part,
    Reasoning,
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
from app.canonical.response import Finish, Usage
from app.dialects.base import Frame
from app.dialects.converse import request_in, response_out
from app.dialects.converse.dialect import DIALECT
from app.dialects.converse.stream_out import ConverseEncoder
from app.errors import GatewayError
from app.wire.eventstream import encode_event
from tests.dialects import generic, served
from tests.dialects.recorded import CONVERSE
from tests.traffic import load
from tests.traffic.load import Exchange

MODEL = botocore.session.get_session().get_service_model("bedrock-runtime")
REQUESTS = [e for e in CONVERSE.found if isinstance(e.request["body"], dict) and e.status == 200]
MARK = ("converse", {"cache_control": {"type": "ephemeral", "ttl": "1h"}})


def decode(*blocks: Any, role: str = "user", **members: Any) -> Request:
    body = {"messages": [{"role": role, "content": list(blocks) or [{"text": "Hi"}]}], **members}
    return request_in.decode_request(body, served.sealing_context())


TOKEN = served.seal(served.OTHERS)

BLOCKS: list[tuple[list[dict[str, Any]], list[Part]]] = [
    ([{"text": "x"}, {"cachePoint": {"type": "default", "ttl": "1h"}}], [TextPart("x", native=MARK)]),
    ([{"image": {"format": "png", "source": {"bytes": "QUJD"}}}], [ImagePart("QUJD", "image/png")]),
    (
        [{"image": {"format": "png", "source": {"s3Location": {"uri": "s3://a/b"}}}}],
        [ImagePart(media_type="image/png", url="s3://a/b")],
    ),
    (
        [{"document": {"format": "pdf", "name": "D", "source": {"bytes": "QUJD"}}}],
        [FilePart("QUJD", filename="D.pdf", media_type="application/pdf")],
    ),
    (
        [{"document": {"format": "txt", "name": "D", "source": {"text": "T"}, "context": "C"}}],
        [
            FilePart(
                text="T", filename="D.txt", media_type="text/plain", native=("converse", {"context": "C"})
            )
        ],
    ),
    (
        [{"reasoningContent": {"reasoningText": {"text": "T", "signature": TOKEN}}}],
        [ReasoningPart("T", signature=served.OTHERS)],
    ),
    (
        [{"reasoningContent": {"reasoningText": {"text": "T", "signature": "s"}}}],
        [ReasoningPart("T", signature=Signature("s", "converse"))],
    ),
    (
        [{"reasoningContent": {"redactedContent": "c2ln"}}],
        [ReasoningPart(form="hidden", signature=Signature("c2ln", "converse"))],
    ),
    (
        [{"citationsContent": {"content": [{"text": "C"}], "citations": [{"title": "t"}]}}],
        [TextPart("C", native=("converse", {"citations": [{"title": "t"}]}))],
    ),
    ([{"toolUse": {"toolUseId": "c", "name": "f", "input": {"a": 1}}}], [ToolCallPart("c", "f", '{"a":1}')]),
    (
        [{"guardContent": {"text": {"text": "G"}}}],
        [OpaquePart("guardContent", ("converse", {"guardContent": {"text": {"text": "G"}}}))],
    ),
]


@pytest.mark.parametrize(("blocks", "parts"), BLOCKS)
def test_blocks_are_read(blocks: list[dict[str, Any]], parts: list[Part]) -> None:
    assert [part for m in decode(*blocks, role="assistant").messages for part in m.parts] == parts


def test_a_body_is_read_whole() -> None:
    request = decode(
        {"toolResult": {"toolUseId": "c", "content": [{"json": {"a": 1}}, {"text": "R"}], "status": "error"}},
        {"text": "Hi"},
        system=[{"text": "S"}],
        inferenceConfig={"maxTokens": 5, "temperature": 0.1, "topP": 0.2, "stopSequences": ["x"]},
        toolConfig={
            "tools": [
                {
                    "toolSpec": {
                        "name": "f",
                        "description": "F",
                        "inputSchema": {"json": {"a": 1}},
                        "strict": True,
                    }
                },
                {"cachePoint": {"type": "default", "ttl": "1h"}},
                {"systemTool": {"name": "nova_grounding"}},
            ],
            "toolChoice": {"any": {}},
        },
        additionalModelRequestFields={
            "thinking": {"type": "enabled", "budget_tokens": 2000},
            "top_k": 3,
            "own": True,
        },
        outputConfig={
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"schema": '{"type":"object"}', "name": "n"}},
            }
        },
        serviceTier={"type": "flex"},
        requestMetadata={"a": "b"},
    )
    assert request.messages == (
        Message("system", (TextPart("S"),)),
        Message("tool", (ToolResultPart("c", (TextPart('{"a":1}'), TextPart("R")), is_error=True),)),
        Message("user", (TextPart("Hi"),)),
    )
    assert request.tools == (
        Tool("function", "f", "F", {"a": 1}, True, native=MARK),
        Tool("hosted", "web_search"),
    )
    assert request.tool_choice == ToolChoice("required")
    assert request.sampling == Sampling(5, 0.1, 0.2, 3, ("x",))
    assert request.reasoning == Reasoning(
        budget=2000, native=("messages", {"thinking": {"type": "enabled", "budget_tokens": 2000}})
    )
    assert request.output == Output("schema", schema={"type": "object"}, name="n")
    assert request.hints == {"service_tier": "flex"}
    assert request.extra == {"requestMetadata": {"a": "b"}, "additionalModelRequestFields": {"own": True}}


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"messages": None}, "messages"),
    ({"messages": [{"role": "robot", "content": []}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": "Hi"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"hologram": {}}]}]}, "messages[0].content[0]"),
    (
        {"messages": [{"role": "user", "content": [{"image": {"format": "bmp", "source": {}}}]}]},
        "messages[0].content[0].image.format",
    ),
    (
        {"messages": [{"role": "user", "content": [{"toolResult": {"content": []}}]}]},
        "messages[0].content[0].toolResult.toolUseId",
    ),
    ({"inferenceConfig": {"maxTokens": "5"}}, "inferenceConfig.maxTokens"),
    ({"toolConfig": {"tools": [{}]}}, "toolConfig.tools[0]"),
    ({"toolConfig": {"tools": [{"toolSpec": {}}]}}, "toolConfig.tools[0].toolSpec.name"),
    ({"toolConfig": {"toolChoice": {"some": {}}}}, "toolConfig.toolChoice"),
    (
        {"outputConfig": {"textFormat": {"structure": {"jsonSchema": {"schema": "no"}}}}},
        "outputConfig.textFormat.structure.jsonSchema.schema",
    ),
]


@pytest.mark.parametrize(("members", "param"), FAULTS)
def test_a_wrong_shape_is_refused_by_its_path(members: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(**members)
    assert (caught.value.kind.name, caught.value.param) == ("bad_request", param)


@pytest.mark.parametrize("exchange", load.params(REQUESTS))
def test_a_recorded_request_says_the_same_after_decode_and_encode(exchange: Exchange) -> None:
    request = request_in.decode_request(exchange.request["body"], generic.server_context())
    context = generic.client_context(exchange.model or "m")
    body = DIALECT.encode_request(request, context).body
    again = request_in.decode_request(body, generic.server_context())
    if not context.losses.items:
        assert contents_of(again) == contents_of(request)
        assert {tool.name: tool.native for tool in again.tools} == {
            tool.name: tool.native for tool in request.tools
        }
        assert (again.extra, again.tool_choice) == (request.extra, request.tool_choice)


def contents_of(request: Request) -> list[Any]:
    """What the turns say; how a document's text is packed is told apart in the tests of requests."""
    parts = [(message.role, part) for message in request.messages for part in message.parts]
    return [(role, type(part) if isinstance(part, FilePart) else part) for role, part in parts]


def parsed(body: dict[str, Any]) -> dict[str, Any]:
    """A whole answer as botocore reads it."""
    shape = MODEL.operation_model("Converse").output_shape
    response = {"body": json.dumps(body).encode(), "headers": {}, "status_code": 200}
    read: dict[str, Any] = create_parser("rest-json").parse(response, shape)
    return read


def assert_known(value: Any, shape: Any, path: str = "$") -> None:
    """Hold JSON to a shape of the service model: no member that it does not know."""
    if shape.type_name == "structure" and not shape.is_document_type:
        for name, item in value.items():
            assert name in shape.members, f"{path}.{name}"
            assert_known(item, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            assert_known(item, shape.member, f"{path}[{index}]")


@pytest.mark.parametrize("exchange", load.params(CONVERSE.bodies))
def test_a_recorded_answer_is_written_as_it_came(exchange: Exchange) -> None:
    body = served.over_json(
        response_out.encode_response(CONVERSE.response(exchange), Request("m"), generic.server_context())
    )
    recorded = exchange.json()
    for block in recorded["output"]["message"]["content"]:
        if block.get("toolUse", {}).get("type") == "tool_use":
            del block["toolUse"]["type"]  # Nova's word for what every call is
    assert body == {"metrics": {"latencyMs": 0}, **recorded}
    assert parsed(body)["stopReason"] == recorded["stopReason"]


class Raw:
    """A socket that gives bytes once, as botocore reads them."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self) -> Iterator[bytes]:
        yield self._data


def botocore_events(frames: list[Frame]) -> list[dict[str, Any]]:
    """The events that botocore reads from the bytes of frames."""
    data = b"".join(encode_event(str(frame.event), json.dumps(frame.data).encode()) for frame in frames)
    shape = MODEL.operation_model("ConverseStream").output_shape.members["stream"]
    return list(EventStream(Raw(data), shape, EventStreamJSONParser(), "ConverseStream"))


@pytest.mark.parametrize("exchange", load.params(CONVERSE.streams))
def test_a_recorded_stream_is_read_by_botocore_and_reads_the_same(exchange: Exchange) -> None:
    events = CONVERSE.events(exchange)
    frames = served.frames_of(ConverseEncoder(Request("m"), generic.server_context()), events)
    shape = MODEL.operation_model("ConverseStream").output_shape.members["stream"]
    for frame in frames:
        told = {name: value for name, value in frame.data.items() if name != "usage"}  # AWS counts more
        assert_known(told, shape.members[frame.event])
    assert [next(iter(event)) for event in botocore_events(frames)] == [frame.event for frame in frames]
    again = generic.fold(served.read_again(DIALECT, frames)).response()
    first = generic.fold(events).response()
    assert generic.without_ids(again) == generic.without_ids(first)
    assert (again.choices[0].finish, again.usage) == (first.choices[0].finish, first.usage)


def test_a_block_without_a_member_is_none() -> None:
    part = OpaquePart("unknown", ("converse", {}))
    events = [Started("id"), BlockStarted(0, 0, part), BlockEnded(0, part=part), Finished(Finish("stop"))]
    frames = served.frames_of(ConverseEncoder(Request("m"), served.sealing_context()), events)
    assert [frame.event for frame in frames] == ["messageStart"]
    assert response_out.encode_part(part, served.sealing_context()) == []


def test_the_messages_of_a_stream() -> None:
    note = {
        "type": "url_citation",
        "url": "https://a.example/x",
        "title": "A",
        "start_index": 0,
        "end_index": 2,
    }
    events = [
        Started("id"),
        BlockStarted(0, 0, ReasoningPart("")),
        BlockDelta(0, "Hm"),
        BlockEnded(0, signature=served.OTHERS),
        BlockStarted(1, 1, ReasoningPart(form="hidden")),
        BlockEnded(1, signature=served.OTHERS),
        BlockStarted(2, 2, TextPart("")),
        BlockDelta(2, "Hello"),
        BlockDelta(2, annotation=note),
        BlockEnded(2),
        BlockStarted(3, 3, ToolCallPart("c", "f")),
        BlockDelta(3, "{}"),
        BlockEnded(3),
        Finished(Finish("tool_calls", "TOOL_CALL")),
        Ended(Usage(5, 6, cached_tokens=1)),
    ]
    frames = served.frames_of(ConverseEncoder(Request("m"), served.sealing_context()), events)
    assert [(frame.event, frame.data.get("contentBlockIndex")) for frame in frames] == [
        ("messageStart", None),
        ("contentBlockDelta", 0),
        ("contentBlockDelta", 0),
        ("contentBlockStop", 0),
        ("contentBlockDelta", 1),
        ("contentBlockStop", 1),
        ("contentBlockDelta", 2),
        ("contentBlockDelta", 2),
        ("contentBlockStop", 2),
        ("contentBlockStart", 3),
        ("contentBlockDelta", 3),
        ("contentBlockStop", 3),
        ("messageStop", None),
        ("metadata", None),
    ]
    assert frames[2].data["delta"] == {"reasoningContent": {"signature": TOKEN}}
    web = {"url": "https://a.example/x", "domain": "a.example"}
    assert frames[7].data["delta"]["citation"] == {
        "title": "A",
        "sourceContent": [{"text": "He"}],
        "location": {"web": web},
    }
    assert [frame.data for frame in frames[-2:]] == [
        {"stopReason": "tool_use"},
        {
            "metrics": {"latencyMs": 0},
            "usage": {
                "inputTokens": 4,
                "outputTokens": 6,
                "totalTokens": 11,
                "cacheReadInputTokens": 1,
                "cacheWriteInputTokens": 0,
            },
        },
    ]
    assert len(botocore_events(frames)) == len(frames)


SIGNED = served.signed_response("converse")


@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_every_makers_signature_comes_back_to_it(way: str) -> None:
    context = served.sealing_context()
    content = response_out.encode_response(SIGNED, Request("m"), context)["output"]["message"]["content"]
    if way == "streamed":
        content = grown(served.frames_of(ConverseEncoder(Request("m"), context), replay(SIGNED)))
    body = {"messages": [{"role": "assistant", "content": content}]}
    (message,) = request_in.decode_request(body, context).messages
    expected = [part for answer in SIGNED.choices[0].messages for part in answer.parts]
    assert list(message.parts) == expected


def grown(frames: list[Frame]) -> list[dict[str, Any]]:
    """Thoughts as a client of the stream puts them together."""
    blocks: dict[int, dict[str, Any]] = {}
    for frame in frames:
        if frame.event == "contentBlockDelta":
            delta = frame.data["delta"]["reasoningContent"]
            block = blocks.setdefault(frame.data["contentBlockIndex"], {})
            for name, value in delta.items():
                block[name] = block.get(name, "") + value
    return [
        {"reasoningContent": block if "redactedContent" in block else {"reasoningText": block}}
        for block in blocks.values()
    ]


ERRORS = [
    (GatewayError("bad_request", "No."), 400, "ValidationException", "validationException"),
    (GatewayError("model_not_found", "No."), 404, "ResourceNotFoundException", "modelStreamErrorException"),
    (GatewayError("unauthenticated", "No."), 401, "AccessDeniedException", "modelStreamErrorException"),
    (GatewayError("rate_limited", "No."), 429, "ThrottlingException", "throttlingException"),
    (GatewayError("upstream_cut", "No."), 502, "ModelErrorException", "modelStreamErrorException"),
    (
        GatewayError("upstream_overloaded", "No."),
        503,
        "ServiceUnavailableException",
        "serviceUnavailableException",
    ),
    (GatewayError("internal", "No."), 500, "InternalServerException", "internalServerException"),
]


@pytest.mark.parametrize(("error", "status", "name", "in_stream"), ERRORS)
def test_an_error_is_an_exception_of_the_service(
    error: GatewayError, status: int, name: str, in_stream: str
) -> None:
    assert (DIALECT.error_status(error), response_out.error_name(error)) == (status, name)
    assert response_out.encode_error(error) == {"message": "No."}
    encoder = ConverseEncoder(Request("m"), generic.server_context())
    frames = served.frames_of(encoder, [Started("id"), Failed(error)])
    assert frames[-1].event == f"exception:{in_stream}"
    shape = MODEL.operation_model("ConverseStream").output_shape.members["stream"]
    assert_known(frames[-1].data, shape.members[in_stream])
    with pytest.raises(Exception, match=in_stream):
        botocore_events(frames)
