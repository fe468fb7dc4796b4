"""What the media dialects send, held to the request types that the vendors publish."""

from __future__ import annotations

from typing import Any

import pytest
from mistralai.client import models as mistral
from openai.types import EmbeddingCreateParams
from openai.types.audio import SpeechCreateParams
from openai.types.audio.transcription_create_params import TranscriptionCreateParamsNonStreaming
from pydantic import TypeAdapter

from app.canonical.media import EmbeddingRequest, SpeechRequest, TranscriptionRequest, Upload
from app.dialects.media import embeddings_openai, openai_speech, openai_transcription
from app.dialects.shared.losses import Losses
from tests.dialects import generic

EMBEDDING = EmbeddingRequest("m", ("a", "b"), 8, "base64", "u")
SPEECH = SpeechRequest("m", "Hello", "alloy", "wav", 1.5, "calm", stream=True)
FILE = Upload("a.wav", "audio/wav", b"RIFF")
TRANSCRIPTION = TranscriptionRequest("m", FILE, "en", "p", "verbose_json", 0.5, ("word",))


def context(options: Any = None) -> Any:
    return generic.client_context("m", options=options, losses=Losses("chat"))


def assert_fits(params: Any, body: dict[str, Any]) -> None:
    """A TypedDict checks the types it knows, and its keys are all there is."""
    TypeAdapter(params).validate_python(body)
    assert body.keys() <= params.__required_keys__ | params.__optional_keys__


def test_openai_embeddings() -> None:
    body = embeddings_openai.DIALECT.encode_request(EMBEDDING, context()).body
    assert_fits(EmbeddingCreateParams, body)


def test_openai_speech() -> None:
    assert_fits(SpeechCreateParams, openai_speech.DIALECT.encode_request(SPEECH, context()).body or {})


def test_openai_transcription() -> None:
    encoded = openai_transcription.DIALECT.encode_request(TRANSCRIPTION, context(openai_transcription.OPENAI))
    assert encoded.form is not None
    known = (
        TranscriptionCreateParamsNonStreaming.__required_keys__
        | TranscriptionCreateParamsNonStreaming.__optional_keys__
    )
    assert {name.removesuffix("[]") for name, _ in encoded.form.fields} <= known


@pytest.mark.parametrize(
    ("request_", "options", "published"),
    [
        (EMBEDDING, embeddings_openai.MISTRAL, mistral.EmbeddingRequest),
        (SPEECH, openai_speech.MISTRAL, mistral.SpeechRequest),
    ],
)
def test_mistral_bodies(request_: Any, options: Any, published: Any) -> None:
    dialect: Any = (
        embeddings_openai.DIALECT if isinstance(request_, EmbeddingRequest) else openai_speech.DIALECT
    )
    body = dialect.encode_request(request_, context(options)).body
    published.model_validate(body)
    names = {field.alias or name for name, field in published.model_fields.items()}
    # the recorded call says "voice", which the published type has as "voice_id"
    assert body.keys() - {"voice"} <= names | {"input"}


def test_mistral_transcription() -> None:
    encoded = openai_transcription.DIALECT.encode_request(
        TRANSCRIPTION, context(openai_transcription.MISTRAL)
    )
    assert encoded.form is not None
    known = mistral.AudioTranscriptionRequest.model_fields
    assert {name.removesuffix("[]") for name, _ in encoded.form.fields} <= known.keys()
