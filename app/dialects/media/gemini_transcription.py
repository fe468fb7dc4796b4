"""Transcription of Gemini's generateContent: inline audio with a prompt to write it down (client half).

The response has no times, so that formats with times are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.events import Ended
from app.canonical.media import (
    Transcript,
    TranscriptDelta,
    TranscriptDone,
    TranscriptEvent,
    TranscriptionRequest,
)
from app.canonical.request import TextPart
from app.dialects.base import ClientContext
from app.dialects.gemini.dialect import DIALECT as GENERATION
from app.dialects.media.audio import MediaRequest, TranscriptionDialect, whole_json
from app.dialects.media.gemini_media import GeminiMediaDecoder
from app.dialects.media.usage import complete_audio_usage
from app.dialects.shared.lenient_json import encode_base64
from app.dialects.shared.media_types import media_type_of
from app.dialects.shared.unmapped_members import known_extras

NAME: Final = "gemini_transcription"

_PROMPT: Final = "Write down exactly what is said in this audio. Answer with the transcript and nothing else."
_FORMATS: Final = frozenset({"json", "text"})
_DEFAULT_TYPE: Final = "audio/wav"


def encode_request(request: TranscriptionRequest, context: ClientContext) -> MediaRequest:
    """Return the request; the client's language and prompt follow the default prompt."""
    losses = context.losses
    if request.format not in _FORMATS:
        losses.report("transcript_format", "Gemini returns no timestamps", param="response_format")
    for name, param in (("granularities", "timestamp_granularities"), ("include", "include")):
        if getattr(request, name):
            losses.report(name, param=param)
    known_extras(request.extra, (), losses)
    upload = request.file
    media_type = _audio_type(upload.media_type, upload.filename)
    language = None if request.language is None else f"The language is '{request.language}'."
    prompt = "\n".join(text for text in (_PROMPT, language, request.prompt) if text is not None)
    parts = [{"text": prompt}, {"inlineData": {"mimeType": media_type, "data": encode_base64(upload.data)}}]
    body: dict[str, Any] = {"contents": [{"role": "user", "parts": parts}]}
    if request.temperature is not None:
        body["generationConfig"] = {"temperature": request.temperature}
    return MediaRequest(body, framing="sse" if request.stream else "json")


def decode_response(
    content: bytes,
    request: TranscriptionRequest,
    context: ClientContext,
    headers: Mapping[str, str],
) -> Transcript:
    """Return the transcript of a response."""
    response = GENERATION.decode_response(whole_json(content, context), context)
    text = "".join(part.text for part in response.first.parts if isinstance(part, TextPart)).strip()
    return Transcript(text, request.language, usage=complete_audio_usage(response.usage, "output", text))


class GeminiTranscriptDecoder(GeminiMediaDecoder[TranscriptEvent]):
    """Decode the transcript in a stream; thoughts are dropped."""

    part_type = TextPart

    def __init__(self, request: TranscriptionRequest, context: ClientContext) -> None:
        super().__init__(context)
        self._language = request.language
        self._texts: list[str] = []

    def _delta(self, text: str) -> TranscriptEvent:
        self._texts.append(text)
        return TranscriptDelta(text)

    def _ended(self, event: Ended) -> TranscriptEvent:
        text = "".join(self._texts).strip()
        return TranscriptDone(
            Transcript(text, self._language, usage=complete_audio_usage(event.usage, "output", text))
        )


def _audio_type(media_type: str, filename: str) -> str:
    """Return the upload's media type if it is audio or video, else that of its file name."""
    plain = media_type.partition(";")[0].strip().lower()
    if plain.startswith(("audio/", "video/")):
        return plain
    return media_type_of(filename) or _DEFAULT_TYPE


DIALECT: Final = TranscriptionDialect(
    name=NAME,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=GeminiTranscriptDecoder,
    decode_error=GENERATION.decode_error,
)
