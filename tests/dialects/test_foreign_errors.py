"""Errors in another form than their wire's own, as proxies before a provider write them: the words are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.dialects import dialect
from app.dialects.media import elevenlabs_errors, embeddings_bedrock

READERS: dict[str, Callable[..., Any]] = {
    **{name: dialect(name).decode_error for name in ("chat", "messages", "gemini", "converse", "cohere")},
    "elevenlabs": elevenlabs_errors.decode_error,
    "bedrock_embeddings": embeddings_bedrock.decode_error,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "too many pages", "type": "t", "code": None, "param": None}},
        {"error": "too many pages"},
        {"message": "too many pages"},
        {"detail": "too many pages"},
        "too many pages",
    ],
)
def test_the_words_of_a_proxy_are_told(name: str, body: Any) -> None:
    error = READERS[name](400, body, {})
    assert (error.status, error.message) == (400, "too many pages")


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("body", [None, [], {}, 5, {"error": {}}, {"error": {"message": 5}}, ""])
def test_where_there_are_no_words_the_status_is_told(name: str, body: Any) -> None:
    assert READERS[name](400, body, {}).message == "The provider answered with status 400."


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "words",
    [
        "prompt is too long: 200001 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
        "Input is too long for requested model.",
        "too many tokens: total number of tokens in the prompt cannot exceed 128000 - received 200000.",
        "Too many input tokens. Max input tokens: 8192, request input token count: 9000",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
        "the input length exceeds the context length",
    ],
)
def test_a_prompt_that_is_too_long_is_recognised_on_every_wire(name: str, words: str) -> None:
    error = READERS[name](400, {"message": words}, {})
    assert (error.kind.name, error.code, error.message) == (
        "context_length",
        "context_length_exceeded",
        words,
    )


@pytest.mark.parametrize(
    "words", ["Too many tokens, please wait before trying again.", "The file is too long."]
)
def test_other_words_about_length_are_none_about_the_prompt(words: str) -> None:
    assert READERS["converse"](400, {"message": words}, {}).kind.name == "upstream_rejected"
    assert (
        READERS["converse"](429, {"message": "prompt is too long"}, {}).kind.name == "upstream_rate_limited"
    )


def test_an_input_that_a_router_flags_blames_the_request_and_not_the_key() -> None:
    metadata = {"reasons": ["violence"], "flagged_input": "…", "provider_name": "P", "model_slug": "m"}
    error = READERS["chat"](403, {"error": {"message": "Flagged.", "code": 403, "metadata": metadata}}, {})
    assert (error.kind.name, error.status, error.code) == ("content_filter", 400, "content_filter")
    assert READERS["chat"](403, {"error": {"message": "No.", "code": 403}}, {}).kind.name == "upstream_auth"


def test_the_beginning_of_a_long_message_is_told_and_the_rest_is_not_looked_through() -> None:
    words = "too many pages " * 1_000 + " " * 20_000 + "key" * 100_000
    message = dialect("chat").decode_error(400, {"error": {"message": words}}, {}).message
    assert len(message) == 500
    assert message.startswith("too many pages too many")
    assert message.endswith("…")
    assert dialect("chat").decode_error(400, {"error": {"message": " " * 20_000 + words}}, {}).message == "…"
