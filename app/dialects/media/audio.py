"""The halves of the audio dialects, and what speech and transcription share.

A stream decoder's ``feed`` takes a frame (event name and parsed JSON) where the answer
comes as server-sent events, and ``(None, bytes)`` where it comes as raw audio.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from app.canonical.media import (
    SpeechDelta,
    SpeechDone,
    SpeechEvent,
    SpeechRequest,
    SpeechResponse,
    Transcript,
    TranscriptDelta,
    TranscriptDone,
    TranscriptEvent,
    TranscriptionRequest,
    TranscriptSegment,
    Upload,
)
from app.dialects.base import ClientContext, Frame, ServerContext
from app.dialects.media.multipart import Form
from app.errors import GatewayError

Fields = Sequence[tuple[str, str]]
Framing = Literal["json", "sse", "bytes"]

MEDIA_TYPES: Final[Mapping[str, str]] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
"""Speech formats of OpenAI's API and the content type of each."""

DEFAULT_FORMAT: Final = "mp3"


@dataclass(frozen=True, slots=True)
class MediaEncoded:
    """A request of an audio wire: a JSON ``body`` or a multipart ``form``.

    ``path`` fills placeholders of the wire's path (each value one segment, unquoted),
    ``suffix`` is appended to it as it is, ``query`` is added. ``framing`` says how the
    answer to this very request is framed.
    """

    body: dict[str, Any] | None = None
    form: Form | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""
    framing: Framing = "json"


class SpeechDecoder(Protocol):
    """A provider's speech stream to events; ``eof`` closes it."""

    def feed(self, event: str | None, data: Any) -> list[SpeechEvent]: ...

    def done(self) -> list[SpeechEvent]: ...

    def eof(self) -> list[SpeechEvent]: ...


class SpeechClientHalf(Protocol):
    """What a provider is asked for speech with. ``content`` is the whole body as bytes."""

    name: str

    def encode_request(self, request: SpeechRequest, context: ClientContext) -> MediaEncoded: ...

    def decode_response(
        self, content: bytes, request: SpeechRequest, context: ClientContext, headers: Mapping[str, str]
    ) -> SpeechResponse: ...

    def media_type(self, request: SpeechRequest, headers: Mapping[str, str]) -> str:
        """Return the content type of the audio that the client gets, whole or streamed."""
        ...

    def stream_decoder(self, request: SpeechRequest, context: ClientContext) -> SpeechDecoder: ...

    def decode_error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError: ...


class SpeechStreamEncoder(Protocol):
    """Speech events to a surface's frames."""

    def feed(self, event: SpeechEvent) -> list[Frame]: ...


class TranscriptStreamEncoder(Protocol):
    """Transcription events to a surface's frames."""

    def feed(self, event: TranscriptEvent) -> list[Frame]: ...


class SpeechServerHalf(Protocol):
    """What a surface speaks for speech; the audio itself goes out as bytes."""

    name: str

    def decode_request(self, body: Mapping[str, Any], context: ServerContext) -> SpeechRequest: ...

    def stream_encoder(self) -> SpeechStreamEncoder: ...


class TranscriptDecoder(Protocol):
    """A provider's transcription stream to events; ``eof`` closes it."""

    def feed(self, event: str | None, data: Any) -> list[TranscriptEvent]: ...

    def done(self) -> list[TranscriptEvent]: ...

    def eof(self) -> list[TranscriptEvent]: ...


class TranscriptionClientHalf(Protocol):
    """What a provider is asked for transcripts with. ``content`` is the whole body as bytes."""

    name: str

    def encode_request(self, request: TranscriptionRequest, context: ClientContext) -> MediaEncoded: ...

    def decode_response(
        self,
        content: bytes,
        request: TranscriptionRequest,
        context: ClientContext,
        headers: Mapping[str, str],
    ) -> Transcript: ...

    def stream_decoder(self, request: TranscriptionRequest, context: ClientContext) -> TranscriptDecoder: ...

    def decode_error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError: ...


class TranscriptionServerHalf(Protocol):
    """What a surface speaks for transcription."""

    name: str

    def decode_request(
        self, fields: Fields, file: Upload | None, context: ServerContext
    ) -> TranscriptionRequest: ...

    def encode_response(
        self, transcript: Transcript, request: TranscriptionRequest
    ) -> dict[str, Any] | str: ...

    def stream_encoder(self) -> TranscriptStreamEncoder: ...


def replay_speech(response: SpeechResponse) -> Iterator[SpeechEvent]:
    """Turn whole audio into the events of a stream that has one delta."""
    if response.audio:
        yield SpeechDelta(response.audio)
    yield SpeechDone(response.usage, response.characters)


def replay_transcript(transcript: Transcript, *, speakers: bool = False) -> Iterator[TranscriptEvent]:
    """Turn a whole transcript into the events of a stream.

    With ``speakers`` its segments are told one by one, as OpenAI's diarizing model does;
    otherwise the text is one delta.
    """
    if speakers and transcript.segments:
        yield from map(TranscriptSegment, transcript.segments)
    elif transcript.text:
        yield TranscriptDelta(transcript.text)
    yield TranscriptDone(transcript)


def speech_format(request: SpeechRequest) -> str:
    """Return the format that the client expects."""
    return request.format or DEFAULT_FORMAT


def whole_json(content: bytes) -> Any:
    """Parse a whole JSON body; raises ``upstream_invalid`` for anything else."""
    try:
        return json.loads(content)
    except ValueError as error:
        raise GatewayError("upstream_invalid", "The provider's answer is no JSON.", raw=str(error)) from error


def audio_bytes(coded: str) -> bytes:
    """Return the audio that a wire codes in base64; raises ``upstream_invalid``."""
    try:
        return base64.b64decode(coded, validate=True)
    except binascii.Error as error:
        raise GatewayError(
            "upstream_invalid", "The provider's audio is no base64.", raw=str(error)
        ) from error


def no_audio(raw: Any = None) -> GatewayError:
    """Return the error of an answer that should hold audio and does not."""
    return GatewayError("upstream_invalid", "The provider's answer holds no audio.", raw=raw)
