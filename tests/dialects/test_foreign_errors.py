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
