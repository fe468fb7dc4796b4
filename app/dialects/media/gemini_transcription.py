"""Transcription by Gemini's generateContent: the audio inline, and a prompt that asks for its words.

The model tells no times, so timed forms are refused (contract/providers.md 3.6).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from app.canonical.events import BlockDelta, BlockStarted, Ended, Event, Failed
from app.canonical.media import (
    Transcript,
    TranscriptDelta,
    TranscriptDone,
    TranscriptEvent,
    TranscriptionRequest,
)
from app.canonical.request import TextPart
from app.canonical.response import Response
from app.dialects.base import ClientContext
from app.dialects.gemini.dialect import DIALECT as GENERATION
from app.dialects.media.audio import MediaRequest, TranscriptionDialect, whole_json
from app.dialects.shared.media_types import media_type_of

NAME: Final = "gemini_transcription"

_PROMPT: Final = "Write down exactly what is said in this audio. Answer with the transcript and nothing else."
_TIMELESS: Final = frozenset({"json", "text"})
_DEFAULT_TYPE: Final = "audio/wav"


def encode_request(request: TranscriptionRequest, context: ClientContext) -> MediaRequest:
    """Return the body; the client's prompt and language follow the default prompt."""
    losses = context.losses
    if request.format not in _TIMELESS:
        losses.report("transcript_format", "Gemini tells no times", param="response_format")
    for name in ("granularities", "include"):
        if getattr(request, name):
            losses.report(name, param="timestamp_granularities" if name == "granularities" else name)
    for name in request.extra:
        losses.report("extra", param=name)
    upload = request.file
    audio = {
        "mimeType": _audio_type(upload.media_type, upload.filename),
        "data": base64.b64encode(upload.data).decode("ascii"),
    }
    parts = [{"text": _ask(request)}, {"inlineData": audio}]
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
    """Read a whole answer."""
    response = GENERATION.decode_response(whole_json(content), context)
    return Transcript(_text(response), request.language, usage=response.usage)


class GeminiTranscriptDecoder:
    """Chunks to pieces of the transcript; thoughts are passed over."""

    def __init__(self, request: TranscriptionRequest, context: ClientContext) -> None:
        self._chunks = GENERATION.stream_decoder(context)
        self._language = request.language
        self._blocks: set[int] = set()
        self._texts: list[str] = []

    def feed(self, event: str | None, data: Any) -> list[TranscriptEvent]:
        """Take one chunk."""
        return self._transcript_events(self._chunks.feed(event, data))

    def done(self) -> list[TranscriptEvent]:
        """This wire has no ``[DONE]``."""
        return self.eof()

    def eof(self) -> list[TranscriptEvent]:
        """Return the end, or what went wrong."""
        return self._transcript_events(self._chunks.eof())

    def _transcript_events(self, events: list[Event]) -> list[TranscriptEvent]:
        transcript: list[TranscriptEvent] = []
        for event in events:
            if isinstance(event, BlockStarted) and isinstance(event.part, TextPart):
                self._blocks.add(event.block)
            elif isinstance(event, BlockDelta) and event.block in self._blocks and event.text:
                self._texts.append(event.text)
                transcript.append(TranscriptDelta(event.text))
            elif isinstance(event, Ended):
                text = "".join(self._texts).strip()
                transcript.append(TranscriptDone(Transcript(text, self._language, usage=event.usage)))
            elif isinstance(event, Failed):
                transcript.append(event)
        return transcript


def _ask(request: TranscriptionRequest) -> str:
    sentences = [_PROMPT]
    if request.language is not None:
        sentences.append(f"The language is '{request.language}'.")
    if request.prompt is not None:
        sentences.append(request.prompt)
    return "\n".join(sentences)


def _audio_type(media_type: str, filename: str) -> str:
    """The upload's own type where it is one of sound, else what its name suggests."""
    plain = media_type.partition(";")[0].strip().lower()
    if plain.startswith(("audio/", "video/")):
        return plain
    return media_type_of(filename) or _DEFAULT_TYPE


def _text(response: Response) -> str:
    parts = (part for choice in response.choices[:1] for message in choice.messages for part in message.parts)
    return "".join(part.text for part in parts if isinstance(part, TextPart)).strip()


DIALECT: Final = TranscriptionDialect(
    name=NAME,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=GeminiTranscriptDecoder,
    decode_error=GENERATION.decode_error,
)
