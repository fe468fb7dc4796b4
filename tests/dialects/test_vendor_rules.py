"""What each of the smaller vendors demands, from both surfaces.

The rules and their sources: docs/contract/providers.md.
"""

from __future__ import annotations

from typing import Any

import pytest

from app.canonical.media import EmbeddingRequest, TranscriptionRequest
from app.dialects.chat.errors import decode_error
from app.dialects.media import elevenlabs_transcription as eleven
from app.dialects.media import embeddings_bedrock as bedrock
from app.dialects.media.transcripts import render
from app.dialects.shared.losses import Losses
from app.errors import GatewayError
from app.providers import chat_rows
from app.wire.json import dumps
from tests.dialects import generic
from tests.dialects.surfaces import both, translate

Json = dict[str, Any]
USER = {"role": "user", "content": "hi"}
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED: Json = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT: Json = {"role": "tool", "tool_call_id": "abcdefghi", "content": "x"}
PNG = "data:image/png;base64,iVBORw0KGgo="
DOT = {"role": "assistant", "content": "."}
ITEMS: list[Json] = [
    {"type": "function_call", "call_id": "abcdefghi", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "abcdefghi", "output": "x"},
]


def say(role: str, text: Any) -> Json:
    return {"role": role, "content": text}


def roles(out: Json) -> list[str]:
    return [message["role"] for message in out["messages"]]


# Mistral: an assistant's message stands between a tool's and a user's


def test_mistral_hears_the_assistant_between_a_tool_and_a_user() -> None:
    bodies = [
        ("chat", {"model": "m", "messages": [USER, CALLED, RESULT, USER]}),
        ("responses", {"model": "m", "input": [USER, *ITEMS, USER]}),
    ]
    for surface, body in bodies:
        out, warned = translate(surface, body, "chat", "mistral-small", chat_rows.MISTRAL)
        assert roles(out) == ["user", "assistant", "tool", "assistant", "user"]
        assert [param for param, _ in warned] == ["messages" if surface == "chat" else "input"]
    picture = {**ITEMS[1], "output": [{"type": "input_image", "image_url": PNG}]}
    out, _ = translate(
        "responses", {"model": "m", "input": [USER, ITEMS[0], picture]}, "chat", "m", chat_rows.MISTRAL
    )
    assert roles(out) == ["user", "assistant", "tool", "assistant", "user"]


# Perplexity: system first, then by turns

ORDERS: list[tuple[list[Json], list[tuple[str, str]], int]] = [
    ([say("user", "a"), say("user", "b")], [("user", "a\n\nb")], 0),
    (
        [say("user", "a"), say("assistant", "b"), say("assistant", "c"), say("user", "d")],
        [("user", "a"), ("assistant", "b\n\nc"), ("user", "d")],
        0,
    ),
    ([say("user", "a"), say("system", "s"), say("user", "b")], [("system", "s"), ("user", "a\n\nb")], 1),
    ([say("assistant", "a"), say("user", "b")], [("user", "."), ("assistant", "a"), ("user", "b")], 1),
    ([say("user", "a"), say("assistant", "b")], [("user", "a"), ("assistant", "b"), ("user", ".")], 1),
]


@pytest.mark.parametrize("messages, want, warnings", ORDERS)
def test_perplexity_hears_system_first_and_then_by_turns(
    messages: list[Json], want: list[tuple[str, str]], warnings: int
) -> None:
    for surface, body in both(messages):
        out, warned = translate(surface, body, "chat", "sonar", chat_rows.PERPLEXITY)
        assert [(one["role"], one["content"]) for one in out["messages"]] == want
        assert len(warned) == warnings


def test_perplexity_keeps_the_parts_of_messages_that_become_one() -> None:
    part = {"type": "image_url", "image_url": {"url": PNG}}
    body = {"model": "m", "messages": [say("user", "a"), say("user", [part])]}
    (message,) = translate("chat", body, "chat", "sonar", chat_rows.PERPLEXITY)[0]["messages"]
    assert [one["type"] for one in message["content"]] == ["text", "image_url"]


# Groq: efforts by model

EFFORTS = [
    ("qwen/qwen3-32b", "none", "none", 0),
    ("qwen/qwen3-32b", "default", "default", 0),
    ("qwen/qwen3-32b", "high", "default", 1),
    ("openai/gpt-oss-120b", "high", "high", 0),
    ("openai/gpt-oss-20b", "minimal", "low", 1),
    ("openai/gpt-oss-20b", "none", None, 1),
    ("openai/gpt-oss-20b", "xhigh", "high", 1),
]


@pytest.mark.parametrize("model, asked, want, warnings", EFFORTS)
def test_groqs_efforts_are_those_of_the_model(
    model: str, asked: str, want: str | None, warnings: int
) -> None:
    bodies = [
        ("chat", {"model": "m", "messages": [USER], "reasoning_effort": asked}),
        ("responses", {"model": "m", "input": "hi", "reasoning": {"effort": asked}}),
    ]
    for surface, body in bodies:
        out, warned = translate(surface, body, "chat", model, chat_rows.GROQ)
        assert (out.get("reasoning_effort"), len(warned)) == (want, warnings)


def test_openrouter_takes_verbosity() -> None:
    bodies = [
        ("chat", {"model": "m", "messages": [USER], "verbosity": "low"}),
        ("responses", {"model": "m", "input": "hi", "text": {"verbosity": "low"}}),
    ]
    for surface, body in bodies:
        out, warned = translate(surface, body, "chat", "m", chat_rows.OPENROUTER)
        assert (out["verbosity"], warned) == ("low", [])


def test_servers_of_open_models_get_reasoning_under_both_names() -> None:
    thought = {"role": "assistant", "content": "a", "reasoning_content": "hm"}
    out, _ = translate("chat", {"model": "m", "messages": [USER, thought, USER]}, "chat", "m", chat_rows.SGL)
    assert out["messages"][1] == {
        "role": "assistant",
        "content": "a",
        "reasoning_content": "hm",
        "reasoning": "hm",
    }


LIMITS = [
    ("chat", chat_rows.SGL, "top_k", -1),
    ("chat", chat_rows.OPENROUTER, "top_k", None),
    ("messages", None, "top_k", None),
    ("cohere", None, "k", None),
]


@pytest.mark.parametrize("wire, options, member, want", LIMITS)
def test_a_top_k_of_minus_one_is_no_limit(wire: str, options: Any, member: str, want: int | None) -> None:
    for surface, body in both([USER], top_k=-1):
        out, warned = translate(surface, body, wire, "claude-sonnet-4-5", options)
        assert (out.get(member), warned) == (want, [])


def test_gemini_and_converse_know_no_top_k_of_minus_one() -> None:
    for surface, body in both([USER], top_k=-1):
        assert "topK" not in translate(surface, body, "gemini", "gemini-2.5-flash")[0].get(
            "generationConfig", {}
        )
        assert translate(surface, body, "converse", "us.amazon.nova-pro-v1:0")[0].keys() == {"messages"}


def test_ollama_refuses_an_address_and_says_why() -> None:
    chat = {
        "model": "m",
        "messages": [say("user", [{"type": "image_url", "image_url": {"url": "https://x/a.png"}}])],
    }
    item = {"role": "user", "content": [{"type": "input_image", "image_url": "https://x/a.png"}]}
    for surface, body in (("chat", chat), ("responses", {"model": "m", "input": [item]})):
        with pytest.raises(GatewayError, match="not fetched from their address") as caught:
            translate(surface, body, "chat", "llava", chat_rows.OLLAMA)
        assert caught.value.kind.name == "unsupported_parameter"
    inline = {"model": "m", "messages": [say("user", [{"type": "image_url", "image_url": {"url": PNG}}])]}
    assert translate("chat", inline, "chat", "llava", chat_rows.OLLAMA)[1] == []


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def test_cohere_tells_that_a_schema_beside_tools_is_a_tool() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    body = {"model": "m", "messages": [USER], "tools": [tool], "response_format": form}
    out, warned = translate("chat", body, "cohere", "command-a")
    assert ("response_format" in out, [param for param, _ in warned]) == (False, ["response_format"])


def test_cohere_is_told_of_members_that_it_has_no_place_for() -> None:
    part = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}, "fancy": 1}
    _, warned = translate("chat", {"model": "m", "messages": [say("user", [part])]}, "cohere", "command-a")
    assert sorted(param for param, _ in warned) == [
        "messages[0].content[0].cache_control",
        "messages[0].content[0].fancy",
    ]


@pytest.mark.parametrize("options", [chat_rows.MISTRAL, chat_rows.GROQ, chat_rows.SGL])
def test_a_cache_mark_of_a_responses_client_is_told_on_chat_wires(options: Any) -> None:
    mark = {"type": "ephemeral"}
    marked = [{**USER, "cache_control": mark}, {**ITEMS[0]}, {**ITEMS[1], "cache_control": mark}]
    tool = {"type": "function", "name": "f", "cache_control": mark}
    _, warned = translate("responses", {"model": "m", "input": marked, "tools": [tool]}, "chat", "m", options)
    assert [param for param, _ in warned] == ["input[0].cache_control"]


# ElevenLabs: languages without spaces


def words(*pieces: tuple[str, str]) -> list[Json]:
    return [
        {"text": text, "type": kind, "start": at / 2, "end": at / 2 + 0.5}
        for at, (text, kind) in enumerate(pieces)
    ]


TEXTS = [
    (
        "今日は晴れ。明日は雨。",
        [(one, "word") for one in "今日は晴れ。明日は雨。"],
        ["今日は晴れ。", "明日は雨。"],
    ),
    (
        "Hi you. Bye.",
        [("Hi", "word"), (" ", "spacing"), ("you.", "word"), (" ", "spacing"), ("Bye.", "word")],
        ["Hi you.", "Bye."],
    ),
    ("สวัสดีครับ", [("สวัสดี", "word"), ("ครับ", "word")], ["สวัสดีครับ"]),
    ("iPhone是手机", [("iPhone", "word"), ("是", "word"), ("手机", "word")], ["iPhone是手机"]),
]


@pytest.mark.parametrize("text, pieces, segments", TEXTS)
def test_segments_and_subtitles_have_the_spaces_of_the_text(
    text: str, pieces: list[tuple[str, str]], segments: list[str]
) -> None:
    body = dumps({"text": text, "language_code": "x", "words": words(*pieces)})
    request = TranscriptionRequest("m", file=None)  # type: ignore[arg-type]
    transcript = eleven.DIALECT.decode_response(body, request, generic.client_context(), {})
    assert [segment.text for segment in transcript.segments] == segments
    for form in ("srt", "vtt"):
        shown = render(transcript, form)
        assert all(one in shown for one in segments)


# Titan's three kinds

TITANS = [
    ("amazon.titan-embed-text-v2:0", 256, {"inputText": "a", "dimensions": 256}, []),
    ("amazon.titan-embed-text-v1", 256, {"inputText": "a"}, ["dimensions"]),
    ("amazon.titan-embed-text-v1", 1536, {"inputText": "a"}, []),
    ("amazon.titan-embed-g1-text-02", None, {"inputText": "a"}, []),
    (
        "amazon.titan-embed-image-v1",
        384,
        {"inputText": "a", "embeddingConfig": {"outputEmbeddingLength": 384}},
        [],
    ),
]


@pytest.mark.parametrize("model, dimensions, want, params", TITANS)
def test_each_titan_is_asked_in_its_own_words(
    model: str, dimensions: int | None, want: Json, params: list[str]
) -> None:
    losses = Losses()
    request = EmbeddingRequest(model, ("a",), dimensions)
    assert bedrock.DIALECT.encode_request(request, generic.client_context(model, losses=losses)).body == want
    assert [loss.param for loss in losses.items] == params


# Azure tells what its filter found


def test_azures_filter_tells_the_category() -> None:
    result = {
        "hate": {"filtered": True, "severity": "high"},
        "jailbreak": {"filtered": False, "detected": False},
    }
    error = {
        "message": "The response was filtered.",
        "code": "content_filter",
        "param": "prompt",
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": result},
    }
    made = decode_error(400, {"error": error}, {})
    assert (made.kind.name, made.message) == (
        "content_filter",
        "The response was filtered. (Filtered: hate (high).)",
    )
