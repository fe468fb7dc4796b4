"""Every dialect offers its halves whole: the methods of the protocols, with their parameters."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from app.dialects import dialect
from app.dialects.base import ClientHalf, ServerHalf
from app.dialects.media.audio import (
    SpeechClientHalf,
    SpeechServerHalf,
    TranscriptionClientHalf,
    TranscriptionServerHalf,
)
from app.dialects.media.base import EmbeddingClientHalf, EmbeddingServerHalf

HALVES: dict[str, tuple[type, ...]] = {
    "chat": (ServerHalf, ClientHalf),
    "responses": (ServerHalf, ClientHalf),
    "messages": (ServerHalf, ClientHalf),
    "gemini": (ClientHalf,),
    "converse": (ClientHalf,),
    "cohere": (ClientHalf,),
    "embeddings_openai": (EmbeddingServerHalf, EmbeddingClientHalf),
    "embeddings_gemini": (EmbeddingClientHalf,),
    "embeddings_cohere": (EmbeddingClientHalf,),
    "embeddings_bedrock": (EmbeddingClientHalf,),
    "openai_speech": (SpeechServerHalf, SpeechClientHalf),
    "elevenlabs_speech": (SpeechClientHalf,),
    "gemini_speech": (SpeechClientHalf,),
    "openai_transcription": (TranscriptionServerHalf, TranscriptionClientHalf),
    "elevenlabs_transcription": (TranscriptionClientHalf,),
    "gemini_transcription": (TranscriptionClientHalf,),
}


def shape(method: Any) -> list[str]:
    """Return the names of the parameters that a caller of any dialect gives: a dialect's
    own ones are keywords with a default."""
    parameters = inspect.signature(method).parameters.values()
    return [one.name for one in parameters if one.name != "self" and one.kind is not one.KEYWORD_ONLY]


@pytest.mark.parametrize(
    ("name", "half"), [(name, half) for name, halves in HALVES.items() for half in halves]
)
def test_a_half_has_every_method_of_its_protocol(name: str, half: type) -> None:
    asked = {member: shape(method) for member, method in vars(half).items() if not member.startswith("_")}
    has = {member: shape(getattr(dialect(name), member)) for member in asked}
    assert asked
    assert has == asked


@pytest.mark.parametrize("name", HALVES)
def test_a_dialect_answers_to_its_name(name: str) -> None:
    assert dialect(name).name == name
