"""generateContent as a server speaks it: requests read, answers and chunks written."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from typing import Any

import pytest
from google.genai import types as sdk

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
    AudioPart,
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
from app.canonical.response import Choice, Finish, Response, Usage
from app.dialects import dialect
from app.dialects.gemini import request_in, response_out
from app.dialects.gemini.dialect import DIALECT
from app.dialects.gemini.stream_out import GeminiEncoder
from app.dialects.gemini.tools_in import json_schema
from app.dialects.shared.losses import Losses
from app.errors import GatewayError
from tests.dialects import generic, served
from tests.dialects.recorded import GEMINI
from tests.traffic import load
from tests.traffic.load import Exchange

REQUESTS = [e for e in GEMINI.found if isinstance(e.request["body"], dict) and e.status == 200]
SHOWN = Request("m", reasoning=Reasoning(summary="auto"), sampling=Sampling(logprobs=True))


def decode(*parts: Any, role: str = "user", **members: Any) -> Request:
    body = {"contents": [{"role": role, "parts": list(parts) or [{"text": "Hi"}]}], **members}
    return request_in.decode_request(body, served.sealing_context())


def parts_of(*parts: Any, role: str = "user") -> list[Part]:
    return [part for message in decode(*parts, role=role).messages for part in message.parts]


@pytest.mark.parametrize("spell", [lambda name: name, lambda name: re.sub("([A-Z])", r"_\1", name).lower()])
def test_both_spellings_of_every_member_are_read(spell: Any) -> None:
    body = {
        spell("systemInstruction"): {"parts": [{"text": "S"}]},
        "contents": [
            {
                "role": "user",
                "parts": [{spell("inlineData"): {spell("mimeType"): "image/png", "data": "QUJD"}}],
            },
            {
                "role": "model",
                "parts": [{spell("functionCall"): {"name": "f", "args": {"a_b": 1}, "id": "c"}}],
            },
            {
                "role": "user",
                "parts": [{spell("functionResponse"): {"name": "f", "id": "c", "response": {"output": "R"}}}],
            },
        ],
        "tools": [
            {
                spell("functionDeclarations"): [
                    {"name": "f", spell("parametersJsonSchema"): {"properties": {"a_b": {}}}}
                ]
            },
            {spell("googleSearch"): {}},
        ],
        spell("toolConfig"): {
            spell("functionCallingConfig"): {"mode": "ANY", spell("allowedFunctionNames"): ["f"]}
        },
        spell("generationConfig"): {
            "temperature": 0.1,
            spell("topP"): 0.2,
            spell("topK"): 3.0,
            spell("maxOutputTokens"): 4,
            spell("candidateCount"): 2,
            spell("stopSequences"): ["x"],
            "seed": 5,
            spell("presencePenalty"): 0.6,
            spell("frequencyPenalty"): 0.7,
            spell("responseLogprobs"): True,
            "logprobs": 8,
            spell("responseMimeType"): "application/json",
            spell("responseJsonSchema"): {"type": "object"},
            spell("thinkingConfig"): {spell("includeThoughts"): True, spell("thinkingBudget"): 9},
        },
    }
    request = request_in.decode_request(body, served.sealing_context())
    assert request.messages == (
        Message("system", (TextPart("S"),)),
        Message("user", (ImagePart("QUJD", "image/png"),)),
        Message("assistant", (ToolCallPart("c", "f", '{"a_b":1}'),)),
        Message("tool", (ToolResultPart("c", (TextPart("R"),), "f"),)),
    )
    assert request.tools == (
        Tool("function", "f", parameters={"properties": {"a_b": {}}}),
        Tool("hosted", "web_search", native=("gemini", {"googleSearch": {}})),
    )
    assert request.tool_choice == ToolChoice("named", "f")
    assert request.sampling == Sampling(4, 0.1, 0.2, 3, ("x",), 5, 0.6, 0.7, None, True, 8, 2)
    assert request.output == Output("schema", schema={"type": "object"})
    assert request.reasoning == Reasoning(budget=9, summary="auto")
    assert request.extra == {}


def packed(token: str) -> str:
    return base64.b64encode(token.encode()).decode()


OTHERS = Signature("sig", "messages", "r")
TOKEN = packed(served.seal(OTHERS))

PARTS: list[tuple[dict[str, Any], list[Part]]] = [
    ({"text": "x"}, [TextPart("x")]),
    (
        {"text": "x", "thoughtSignature": "c2ln"},
        [ReasoningPart(form="hidden", signature=Signature("c2ln", "gemini")), TextPart("x")],
    ),
    (
        {"text": "", "thoughtSignature": "c2ln"},
        [ReasoningPart(form="hidden", signature=Signature("c2ln", "gemini"))],
    ),
    ({"text": "T", "thought": True}, [ReasoningPart("T", "summary")]),
    ({"text": "T", "thought": True, "thoughtSignature": TOKEN}, [ReasoningPart("T", signature=OTHERS)]),
    (
        {"text": "", "thought": True, "thoughtSignature": TOKEN},
        [ReasoningPart(form="hidden", signature=OTHERS)],
    ),
    (
        {"functionCall": {"name": "f", "id": "c"}, "thoughtSignature": TOKEN},
        [ToolCallPart("c", "f", "{}", signature=OTHERS)],
    ),
    ({"inlineData": {"mimeType": "image/png", "data": "-_8"}}, [ImagePart("+/8=", "image/png")]),
    (
        {
            "inlineData": {"mimeType": "image/png", "data": "QUJD"},
            "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"},
        },
        [ImagePart("QUJD", "image/png", detail="low")],
    ),
    (
        {"inlineData": {"mimeType": "audio/wav", "data": "QUJD"}},
        [AudioPart("QUJD", "wav", native=("gemini", {"mimeType": "audio/wav"}))],
    ),
    (
        {"inlineData": {"mimeType": "application/pdf", "data": "QUJD", "displayName": "a.pdf"}},
        [FilePart("QUJD", filename="a.pdf", media_type="application/pdf")],
    ),
    (
        {"fileData": {"mimeType": "image/png", "fileUri": "gs://a/b.png"}},
        [ImagePart(url="gs://a/b.png", media_type="image/png")],
    ),
    ({"fileData": {"fileUri": "gs://a/b.pdf"}}, [FilePart(url="gs://a/b.pdf", media_type="application/pdf")]),
    (
        {"executableCode": {"code": "1"}},
        [OpaquePart("executableCode", ("gemini", {"executableCode": {"code": "1"}}))],
    ),
]


@pytest.mark.parametrize(("wire", "parts"), PARTS)
def test_a_part_is_read(wire: dict[str, Any], parts: list[Part]) -> None:
    assert parts_of(wire, role="model") == parts


def test_calls_and_results_without_ids_are_joined_by_name_in_order() -> None:
    call = {"functionCall": {"name": "f", "args": {}}}
    other = {"functionCall": {"name": "g", "args": {}}}
    results = [{"functionResponse": {"name": name, "response": {"error": "E"}}} for name in ("f", "g", "f")]
    body = {
        "contents": [{"role": "model", "parts": [call, other, call]}, {"role": "function", "parts": results}]
    }
    calls, answers = request_in.decode_request(body, served.sealing_context()).messages
    assert [part.id for part in calls.parts if isinstance(part, ToolCallPart)] == [
        "call_1",
        "call_2",
        "call_3",
    ]
    assert [(p.call_id, p.is_error) for p in answers.parts if isinstance(p, ToolResultPart)] == [
        ("call_1", True),
        ("call_2", True),
        ("call_3", True),
    ]


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"contents": None}, "contents"),
    ({"contents": [5]}, "contents[0]"),
    ({"contents": [{"role": "robot", "parts": []}]}, "contents[0].role"),
    ({"contents": [{"role": "user"}]}, "contents[0].parts"),
    ({"contents": [{"parts": [{"text": 5}]}]}, "contents[0].parts[0].text"),
    ({"contents": [{"parts": [{"inline_data": {"data": ""}}]}]}, "contents[0].parts[0].inline_data.mimeType"),
    ({"contents": [{"parts": [{"functionCall": {}}]}]}, "contents[0].parts[0].functionCall.name"),
    ({"tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
    ({"toolConfig": {"functionCallingConfig": {"mode": "SOME"}}}, "toolConfig.functionCallingConfig.mode"),
    ({"generation_config": {"max_output_tokens": "5"}}, "generation_config.max_output_tokens"),
    ({"generationConfig": {"responseMimeType": "text/html"}}, "generationConfig.responseMimeType"),
    ({"generationConfig": {"responseModalities": ["SMELL"]}}, "generationConfig.responseModalities[0]"),
    (
        {"generationConfig": {"thinkingConfig": {"thinkingLevel": "HARD"}}},
        "generationConfig.thinkingConfig.thinkingLevel",
    ),
]


@pytest.mark.parametrize(("members", "param"), FAULTS)
def test_a_wrong_shape_is_refused_by_the_clients_own_path(members: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(**members)
    assert (caught.value.kind.name, caught.value.param) == ("bad_request", param)


def test_what_clients_may_write_short_is_read() -> None:
    request = request_in.decode_request(
        {"contents": {"parts": {"text": "Hi"}}, "systemInstruction": "S"}, served.sealing_context()
    )
    assert request.messages == (Message("system", (TextPart("S"),)), Message("user", (TextPart("Hi"),)))


def test_googles_schema_is_read_as_json_schema() -> None:
    schema = {
        "type": "OBJECT",
        "nullable": True,
        "propertyOrdering": ["a"],
        "properties": {
            "a": {
                "type": "ARRAY",
                "min_items": "1",
                "items": {"type": "STRING", "enum": ["x"], "nullable": True},
            },
            "max_items": {"anyOf": [{"type": "INTEGER"}, {"type": "NUMBER"}]},
        },
    }
    assert json_schema(schema) == {
        "type": ["object", "null"],
        "properties": {
            "a": {"type": "array", "minItems": 1, "items": {"type": ["string", "null"], "enum": ["x", None]}},
            "max_items": {"anyOf": [{"type": "integer"}, {"type": "number"}]},
        },
    }


@pytest.mark.parametrize("exchange", load.params(REQUESTS))
def test_a_recorded_request_says_the_same_after_decode_and_encode(exchange: Exchange) -> None:
    request = request_in.decode_request(exchange.request["body"], generic.server_context())
    context = generic.client_context(exchange.model or "gemini-3-pro")
    body = DIALECT.encode_request(request, context).body
    again = request_in.decode_request(body, generic.server_context())
    lost = {loss.param for loss in context.losses.items}
    kept = replace(again, origin=request.origin, extra=request.extra)
    if not lost:
        assert _comparable(kept) == _comparable(request)


def _comparable(request: Request) -> tuple[Any, ...]:
    texts = [
        [replace(part, native=None) for part in message.parts]
        for message in request.messages  # type: ignore[call-arg]
    ]
    return (
        texts,
        request.tools,
        request.tool_choice,
        request.sampling,
        request.output.format,
        request.output.schema,
    )


@pytest.mark.parametrize("exchange", load.params(GEMINI.answers))
def test_a_recorded_answer_is_written_in_the_sdks_types_and_reads_the_same(exchange: Exchange) -> None:
    response = GEMINI.response(exchange)
    body = served.over_json(response_out.encode_response(response, SHOWN, generic.server_context()))
    check(body)
    again = DIALECT.decode_response(body, generic.client_context())
    assert generic.without_ids(again) == generic.without_ids(response)
    assert (again.usage, again.native) == (response.usage, response.native)


@pytest.mark.parametrize("exchange", load.params(GEMINI.streams))
def test_a_recorded_stream_is_written_in_chunks_of_the_sdk_and_reads_the_same(exchange: Exchange) -> None:
    events = GEMINI.events(exchange)
    frames = served.frames_of(GeminiEncoder(SHOWN, generic.server_context()), events)
    if isinstance(events[-1], Failed):
        assert frames[-1].data["error"]["message"] == events[-1].error.message
        return
    for frame in frames:
        check(frame.data)
    again = generic.fold(served.read_again(DIALECT, frames)).response()
    first = generic.fold(events).response()
    assert generic.without_ids(again) == generic.without_ids(first)
    assert (again.usage, again.choices[0].finish) == (first.usage, first.choices[0].finish)


def check(body: dict[str, Any]) -> None:
    """Hold a body to the SDK's types, but for enums that a recorded host told by number."""
    if any(
        isinstance(rating["category"], int)
        for c in body["candidates"]
        for rating in c.get("safetyRatings", [])
    ):
        return
    usage = {k: v for k, v in body.get("usageMetadata", {}).items() if k != "serviceTier"}
    if any(isinstance(entry["modality"], int) for entry in usage.get("promptTokensDetails", [])):
        return
    sdk.GenerateContentResponse.model_validate({**body, **({"usageMetadata": usage} if usage else {})})


SIGNED = Response(
    "id",
    "model",
    (
        Choice(
            0,
            (
                Message("assistant", (ReasoningPart("Hm", signature=OTHERS),)),
                Message(
                    "assistant", (ReasoningPart(form="hidden", signature=Signature("c", "responses", "r")),)
                ),
                Message(
                    "assistant", (ReasoningPart(form="hidden", signature=Signature("c2ln", "gemini", "r")),)
                ),
                Message("assistant", (TextPart("Hi"),)),
                Message(
                    "assistant", (ToolCallPart("c", "f", "{}", signature=Signature("Y2Fs", "gemini", "r")),)
                ),
            ),
            Finish("tool_calls"),
        ),
    ),
)


@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_every_makers_signature_comes_back_to_it(way: str) -> None:
    context = served.sealing_context()
    if way == "whole":
        parts = response_out.encode_response(SIGNED, SHOWN, context)["candidates"][0]["content"]["parts"]
    else:
        frames = served.frames_of(GeminiEncoder(SHOWN, context), replay(SIGNED))
        parts = [p for f in frames for c in f.data["candidates"] for p in c["content"]["parts"]]
    assert all(sdk.Part.model_validate(part) for part in parts)
    body = {"contents": [{"role": "model", "parts": parts}]}
    (message,) = request_in.decode_request(body, context).messages
    assert list(message.parts) == [part for answer in SIGNED.choices[0].messages for part in answer.parts]
    signatures = [
        p.signature for p in message.parts if isinstance(p, ReasoningPart | ToolCallPart) and p.signature
    ]
    assert signatures == [
        OTHERS,
        Signature("c", "responses", "r"),
        Signature("c2ln", "gemini", "r"),
        Signature("Y2Fs", "gemini", "r"),
    ]


def test_what_a_client_kept_of_a_stream_chunk_by_chunk_is_joined() -> None:
    pieces: list[dict[str, Any]] = [
        {"text": "H", "thought": True},
        {"text": "m", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": TOKEN},
        {"text": "Hel"},
        {"text": "lo"},
        {"functionCall": {"name": "f", "id": "c"}},
    ]
    body = {"contents": [{"role": "model", "parts": [piece]} for piece in pieces]}
    assert request_in.decode_request(body, served.sealing_context()).messages == (
        Message(
            "assistant",
            (ReasoningPart("Hm", signature=OTHERS), TextPart("Hello"), ToolCallPart("c", "f", "{}")),
        ),
    )


def test_thoughts_are_shown_to_those_who_ask() -> None:
    body = response_out.encode_response(SIGNED, Request("m"), served.sealing_context())
    assert not any(part.get("text") == "Hm" for part in body["candidates"][0]["content"]["parts"])


def test_the_chunks_of_a_stream() -> None:
    note = {
        "type": "url_citation",
        "url": "https://a.example",
        "title": "A",
        "start_index": 1,
        "end_index": 3,
    }
    events = [
        Started("id", "model"),
        BlockStarted(0, 0, TextPart("")),
        BlockDelta(0, "é!!"),
        BlockDelta(0, annotation=note),
        BlockEnded(0),
        BlockStarted(1, 1, ToolCallPart("c", "f")),
        BlockDelta(1, '{"a":'),
        BlockDelta(1, "1}"),
        BlockEnded(1),
        Finished(Finish("length", "max_tokens")),
        Ended(Usage(5, 6, cached_tokens=1, reasoning_tokens=2)),
    ]
    frames = served.frames_of(GeminiEncoder(Request("m"), generic.server_context()), events)
    head = {"modelVersion": "model", "responseId": "id"}
    call = {"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}}
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 2, "endIndex": 4, "text": "!!"}, "groundingChunkIndices": [0]}
        ],
    }
    last = {
        "content": {"parts": [{"text": ""}], "role": "model"},
        "finishReason": "MAX_TOKENS",
        "index": 0,
        "groundingMetadata": grounding,
    }
    counted = {
        "promptTokenCount": 5,
        "candidatesTokenCount": 4,
        "totalTokenCount": 11,
        "cachedContentTokenCount": 1,
        "thoughtsTokenCount": 2,
    }
    assert [frame.event for frame in frames] == [None] * 3
    assert [frame.data for frame in frames] == [
        {"candidates": [{"content": {"parts": [{"text": "é!!"}], "role": "model"}, "index": 0}], **head},
        {"candidates": [{"content": {"parts": [call], "role": "model"}, "index": 0}], **head},
        {"candidates": [last], "usageMetadata": counted, **head},
    ]


ERRORS = [
    (GatewayError("bad_request", "No.", param="contents"), 400, "INVALID_ARGUMENT"),
    (GatewayError("model_not_found", "No."), 404, "NOT_FOUND"),
    (GatewayError("unauthenticated", "No."), 401, "UNAUTHENTICATED"),
    (GatewayError("rate_limited", "No.", retry_after=7), 429, "RESOURCE_EXHAUSTED"),
    (GatewayError("upstream_cut", "No."), 502, "UNAVAILABLE"),
    (GatewayError("internal", "No."), 500, "INTERNAL"),
    (GatewayError("unsupported_media", "No."), 415, "INVALID_ARGUMENT"),
]


@pytest.mark.parametrize(("error", "code", "status"), ERRORS)
def test_an_error_is_googles(error: GatewayError, code: int, status: str) -> None:
    body = response_out.encode_error(error)["error"]
    assert (body["code"], body["message"], body["status"]) == (code, "No.", status)
    read = DIALECT.decode_error(code, {"error": body}, {})
    assert read.retry_after == error.retry_after


@pytest.mark.parametrize("target", ["messages", "converse", "cohere", "chat", "responses"])
def test_a_cached_part_of_the_prompt_is_not_left_out(target: str) -> None:
    request = decode(cachedContent="cachedContents/x")
    context = generic.client_context(losses=Losses("gemini"))
    with pytest.raises(GatewayError) as caught:
        dialect(target).encode_request(request, context)
    assert (caught.value.kind.name, caught.value.param) == ("unsupported_parameter", "cachedContent")


LOST: list[tuple[str, dict[str, Any], str]] = [
    (
        "gemini",
        {"contents": [{"parts": [{"text": "Hi"}]}], "generationConfig": {"topK": 5}},
        "generationConfig.topK",
    ),
    (
        "converse",
        {
            "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
            "additionalModelRequestFields": {"top_k": 5},
        },
        "additionalModelRequestFields.top_k",
    ),
    ("cohere", {"messages": [{"role": "user", "content": "Hi"}], "k": 5}, "k"),
    ("messages", {"messages": [{"role": "user", "content": "Hi"}], "top_k": 5}, "top_k"),
]


@pytest.mark.parametrize(("surface", "body", "param"), LOST)
def test_a_loss_has_the_path_that_the_client_wrote(surface: str, body: dict[str, Any], param: str) -> None:
    request = dialect(surface).decode_request(body, served.sealing_context())
    context = generic.client_context("claude-opus-4-8", losses=Losses(surface))
    dialect("messages").encode_request(request, context)
    assert [loss.param for loss in context.losses.items] == [param]
