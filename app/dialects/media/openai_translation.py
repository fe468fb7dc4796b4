"""OpenAI's translation of speech into English: a transcription with another path and fewer members.

It is not streamed, has no language, times or speakers to choose, and its ``verbose_json`` has
``task: "translate"`` and ``language: "english"``. Sources: ``CreateTranslationRequest`` of OpenAI's published
description (specs/openai-openapi.trimmed.json), and groq 1.7's ``TranslationCreateParams``, whose ``srt``
and ``vtt`` are made here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from app.canonical.media import Transcript, TranscriptionRequest, Upload
from app.dialects.base import ClientContext, ServerContext
from app.dialects.media import openai_transcription as transcription
from app.dialects.media.audio import Fields, MediaRequest
from app.dialects.media.openai_transcription import TranscriptionOptions
from app.dialects.shared.strict_json import wrong_value

NAME: Final = "openai_translation"
OPTIONS: Final = TranscriptionOptions(members=frozenset({"prompt", "temperature"}))
_FORMATS: Final = ("json", "verbose_json", "text", "srt", "vtt")


def decode_request(fields: Fields, file: Upload | None, context: ServerContext) -> TranscriptionRequest:
    """Return the canonical request of a form; raises ``bad_request`` with the name of a wrong field."""
    request = transcription.decode_request(fields, file, context)
    if request.format not in _FORMATS:
        raise wrong_value("response_format", request.format, ", ".join(f"'{name}'" for name in _FORMATS))
    return request


def encode_request(request: TranscriptionRequest, context: ClientContext) -> MediaRequest:
    """Return the form; what translations do not support is reported."""
    if request.stream:
        warning = "Translations are not streamed; the answer was sent whole"
        context.losses.report("stream", warning, param="stream")
    if not isinstance(context.options, TranscriptionOptions):
        context = replace(context, options=OPTIONS)
    return transcription.encode_request(replace(request, stream=False), context)


def encode_response(transcript: Transcript, request: TranscriptionRequest) -> dict[str, Any] | str:
    """Return the response in the format of the request."""
    body = transcription.DIALECT.encode_response(transcript, request)
    if isinstance(body, dict) and "task" in body:
        return {**body, "task": "translate", "language": "english"}
    return body


DIALECT: Final = replace(
    transcription.DIALECT,
    name=NAME,
    decode_request=decode_request,
    encode_request=encode_request,
    encode_response=encode_response,
)
