"""What holds for every server half: any recorded answer is written and read again, whole and
streamed, in the order of its grammar."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from app.canonical.events import Failed, Started, replay
from app.canonical.request import (
    Message,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Request,
    Sampling,
    Signature,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Choice, Finish, Response, Usage
from app.dialects import dialect
from app.errors import GatewayError
from tests.dialects import generic, served
from tests.dialects.recorded import WIRES
from tests.traffic import load

SURFACES: Final = ("messages", "converse", "cohere", "gemini")
SOURCES: Final = ("chat", "responses", "messages", "gemini", "converse", "cohere")
REQUEST = Request("m", sampling=Sampling(logprobs=True), reasoning=Reasoning(summary="auto"))


def recorded_answers(source: str) -> list[Response]:
    """The answers of a wire that are answers, at most fifty of each kind."""
    load.require()
    wire = WIRES[source]
    found: list[Response] = []
    for exchange in (*wire.bodies[:50], *wire.streams[:50]):
        try:
            response = wire.response(exchange)
        except GatewayError:
            continue
        if response.choices and response.choices[0].finish is not None:
            found.append(response)
    return found


def essence_at(surface: str, choice: Choice) -> dict[str, Any]:
    """What a surface says of a choice: a refusal in words is a reason to end at all of them,
    Messages has no word for a faulty end, and Cohere one for all."""
    essence = served.essence(choice)
    refused = any(isinstance(part, RefusalPart) for part in generic.parts_of(choice))
    if refused and essence["finish"] == "stop":
        essence["finish"] = "content_filter"
    if surface == "messages" and essence["finish"] in ("error", "fault"):
        essence["finish"] = "stop"
    if surface == "cohere" and essence["finish"] == "fault":
        essence["finish"] = "error"
    return essence


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("source", SOURCES)
def test_any_answer_is_written_and_read_again(surface: str, source: str) -> None:
    for response in recorded_answers(source):
        again = served.whole(dialect(surface), response, REQUEST, served.sealing_context())
        assert served.essence(again.choices[0]) == essence_at(surface, response.choices[0])


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("source", SOURCES)
def test_any_answer_is_streamed_and_read_again(surface: str, source: str) -> None:
    for response in recorded_answers(source):
        again = served.streamed(dialect(surface), response, REQUEST, served.sealing_context())
        assert served.essence(again.choices[0]) == essence_at(surface, response.choices[0])


THREE = Response(
    "id",
    "model",
    (
        Choice(
            0,
            (
                Message("assistant", (ReasoningPart("Hmm", signature=Signature("s", "other", "r")),)),
                Message("assistant", (TextPart("One"),)),
                Message("assistant", (ToolCallPart("c1", "f", '{"a":1}'),)),
                Message("assistant", (ToolCallPart("c2", "g", '{"b":2}'),)),
            ),
            Finish("tool_calls"),
        ),
    ),
    Usage(3, 4),
)


@pytest.mark.parametrize("surface", SURFACES)
def test_blocks_that_overlap_go_out_one_after_another(surface: str) -> None:
    encoder = dialect(surface).stream_encoder(REQUEST, served.sealing_context())
    frames = served.frames_of(encoder, served.overlapping(THREE))
    again = generic.fold(served.read_again(dialect(surface), frames)).response()
    assert served.essence(again.choices[0]) == served.essence(THREE.choices[0])
    assert again.usage is not None
    assert (again.usage.input_tokens, again.usage.output_tokens) == (3, 4)


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("arguments", ["", "null", "5", "no JSON", "[" * 100_000, '{"a":' * 5_000])
def test_any_arguments_of_a_call_are_written(surface: str, arguments: str) -> None:
    call = Message("assistant", (ToolCallPart("c", "f", arguments),))
    response = Response("id", "m", (Choice(0, (call,), Finish("tool_calls")),))
    body = dialect(surface).encode_response(response, REQUEST, served.sealing_context())
    frames = served.frames_of(
        dialect(surface).stream_encoder(REQUEST, served.sealing_context()), replay(response)
    )
    assert '"f"' in json.dumps(body)
    assert '"f"' in json.dumps([frame.data for frame in frames])


@pytest.mark.parametrize("surface", SURFACES)
def test_a_broken_stream_ends_in_the_surfaces_own_words(surface: str) -> None:
    encoder = dialect(surface).stream_encoder(REQUEST, served.sealing_context())
    events = [Started("id"), Failed(GatewayError("upstream_cut", "It broke off."))]
    failed = generic.decoded(
        dialect(surface).stream_decoder(generic.client_context()), served.frames_of(encoder, events)
    )[-1]
    assert isinstance(failed, Failed)
    assert failed.error.message == "It broke off."


JUNK: Final[tuple[Any, ...]] = (None, True, 0, -1.5, "x", [], [None], {}, {"type": 5}, {"role": "user"}, [[]])


@pytest.mark.parametrize("surface", SURFACES)
def test_any_json_at_any_member_is_read_or_refused_by_name(surface: str) -> None:
    body = SHAPES[surface]
    dialect(surface).decode_request(body, served.sealing_context())
    for path in paths(body):
        for junk in JUNK:
            error = refusal(surface, put(body, path, junk))
            assert error is None or (error.kind.name == "bad_request" and error.param), (path, junk)


def refusal(surface: str, body: Any) -> GatewayError | None:
    """Why a body is refused, None for one that is read."""
    try:
        dialect(surface).decode_request(body, served.sealing_context())
    except GatewayError as error:
        return error
    return None


PLAIN: dict[str, dict[str, Any]] = {
    "messages": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "document", "source": {"type": "content", "content": "D"}},
                    {"type": "text", "text": "Hi"},
                ],
            }
        ]
    },
    "cohere": {"messages": [{"role": "user", "content": "Hi"}], "documents": ["D"]},
    "gemini": {
        "contents": [{"parts": [{"inlineData": {"mimeType": "text/plain", "data": "RA=="}}, {"text": "Hi"}]}]
    },
    "converse": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"document": {"format": "txt", "name": "d", "source": {"text": "D"}}},
                    {"text": "Hi"},
                ],
            }
        ]
    },
}


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("target", SURFACES)
def test_a_text_document_reaches_every_target_without_a_word_of_how_it_was_written(
    surface: str, target: str
) -> None:
    request = dialect(surface).decode_request(PLAIN[surface], served.sealing_context())
    context = generic.client_context(TARGETS[target])
    if (surface, target) in {("messages", "cohere"), ("gemini", "cohere"), ("converse", "cohere")}:
        with pytest.raises(GatewayError, match="Files are not supported"):
            dialect(target).encode_request(request, context)
        return
    body = dialect(target).encode_request(request, context).body
    assert "as_" not in json.dumps(body)
    assert [loss.param for loss in context.losses.items if loss.param != "filename"] == []


TARGETS: Final = {
    "messages": "claude-opus-4-6",
    "cohere": "command-a-03-2025",
    "gemini": "gemini-2.5-flash",
    "converse": "anthropic.claude-sonnet-4-5",
}


def paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value below its root."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [found for key, item in members for found in ((*above, key), *paths(item, (*above, key)))]


def put(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    """A copy of ``value`` with ``junk`` at ``path``."""
    if not path:
        return junk
    copy = list(value) if isinstance(value, list) else dict(value)
    copy[path[0]] = put(value[path[0]], path[1:], junk)
    return copy


PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

SHAPES: dict[str, dict[str, Any]] = {
    "messages": {
        "model": "m",
        "max_tokens": 5,
        "system": [{"type": "text", "text": "S"}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "D"}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "T", "signature": "s"},
                    {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "R"}]}
                ],
            },
        ],
        "tools": [{"name": "f", "description": "F", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "stop_sequences": ["x"],
        "temperature": 1,
        "top_p": 1,
        "top_k": 1,
        "stream": True,
        "metadata": {"user_id": "u"},
    },
    "converse": {
        "system": [{"text": "S"}, {"cachePoint": {"type": "default"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"text": "Hi"},
                    {"cachePoint": {"type": "default", "ttl": "1h"}},
                    {"image": {"format": "png", "source": {"bytes": PNG}}},
                    {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://a/b.png"}}}},
                    {"document": {"format": "pdf", "name": "D", "source": {"bytes": PNG}, "context": "C"}},
                    {"document": {"format": "txt", "name": "E", "source": {"content": [{"text": "T"}]}}},
                    {"audio": {"format": "wav", "source": {"bytes": PNG}}},
                    {"guardContent": {"text": {"text": "G"}}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "T", "signature": "s"}}},
                    {"reasoningContent": {"redactedContent": "c2ln"}},
                    {"citationsContent": {"content": [{"text": "C"}], "citations": [{"title": "t"}]}},
                    {"toolUse": {"toolUseId": "c", "name": "f", "input": {"a": 1}}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "toolResult": {
                            "toolUseId": "c",
                            "content": [{"text": "R"}, {"json": {"a": 1}}],
                            "status": "error",
                        }
                    }
                ],
            },
        ],
        "inferenceConfig": {"maxTokens": 5, "temperature": 1, "topP": 1, "stopSequences": ["x"]},
        "toolConfig": {
            "tools": [
                {
                    "toolSpec": {
                        "name": "f",
                        "description": "F",
                        "inputSchema": {"json": {"type": "object"}},
                        "strict": True,
                    }
                },
                {"cachePoint": {"type": "default"}},
                {"systemTool": {"name": "nova_grounding"}},
            ],
            "toolChoice": {"tool": {"name": "f"}},
        },
        "additionalModelRequestFields": {
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"},
            "output_config": {"effort": "low"},
            "inferenceConfig": {"topK": 5},
            "top_k": 5,
            "reasoning_effort": "low",
        },
        "outputConfig": {
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"schema": "{}", "name": "n", "description": "d"}},
            },
            "effort": "low",
        },
        "serviceTier": {"type": "flex"},
        "requestMetadata": {"a": "b"},
    },
    "gemini": {
        "systemInstruction": {"parts": [{"text": "S"}]},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "Hi"},
                    {"inlineData": {"mimeType": "image/png", "data": PNG}, "mediaResolution": {"level": "x"}},
                    {"inlineData": {"mimeType": "audio/wav", "data": PNG}},
                    {"file_data": {"mime_type": "application/pdf", "file_uri": "gs://a/b.pdf"}},
                    {"videoMetadata": {"fps": 1}, "fileData": {"fileUri": "https://a.example/v.mp4"}},
                ],
            },
            {
                "role": "model",
                "parts": [
                    {"text": "T", "thought": True, "thoughtSignature": "c2ln"},
                    {"functionCall": {"name": "f", "args": {"a": 1}}, "thought_signature": "c2ln"},
                    {"executableCode": {"code": "1"}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {
                        "functionResponse": {
                            "name": "f",
                            "response": {"output": "R"},
                            "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}],
                        }
                    }
                ],
            },
        ],
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "f", "parameters": {"type": "OBJECT", "properties": {"a": {}}}}
                ]
            },
            {"googleSearch": {}},
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "safetySettings": [{"category": "x", "threshold": "y"}],
        "generationConfig": {
            "temperature": 1,
            "topP": 1,
            "topK": 1,
            "maxOutputTokens": 5,
            "stopSequences": ["x"],
            "responseMimeType": "application/json",
            "responseSchema": {"type": "OBJECT", "nullable": True, "minProperties": "1"},
            "responseModalities": ["TEXT"],
            "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
            "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "HIGH", "thinkingBudget": 5},
        },
        "serviceTier": "flex",
    },
    "cohere": {
        "model": "m",
        "messages": [
            {"role": "system", "content": "S"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Hi"},
                    {
                        "type": "image_url",
                        "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"},
                    },
                ],
            },
            {
                "role": "assistant",
                "tool_plan": "P",
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                "citations": [{"start": 0, "end": 1, "text": "x", "sources": []}],
            },
            {
                "role": "tool",
                "tool_call_id": "c",
                "content": [{"type": "document", "document": {"id": "d", "data": {"a": "b"}}}],
            },
        ],
        "documents": ["D", {"id": "d", "data": {"title": "T", "text": "X"}}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "F", "parameters": {}}}],
        "strict_tools": True,
        "tool_choice": "REQUIRED",
        "response_format": {"type": "json_object", "json_schema": {"type": "object"}},
        "thinking": {"type": "enabled", "token_budget": 5},
        "max_tokens": 5,
        "temperature": 0.5,
        "p": 0.5,
        "k": 5,
        "seed": 5,
        "stop_sequences": ["x"],
        "frequency_penalty": 0.1,
        "presence_penalty": 0.1,
        "logprobs": True,
        "stream": False,
    },
}
