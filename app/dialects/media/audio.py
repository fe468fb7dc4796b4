"""The rows of the audio dialects, and what speech and transcription share.

A stream decoder's ``feed`` takes a frame (event name and parsed JSON) where the answer
comes as server-sent events, and ``(None, bytes)`` where it comes as raw audio.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Final, Literal, Protocol, TypeVar

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
from app.canonical.record import record
from app.dialects.base import ClientContext, Frame, Row, ServerContext, not_supported
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


@record
class MediaRequest:
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


E_co = TypeVar("E_co", covariant=True)
E_contra = TypeVar("E_contra", contravariant=True)


class AudioDecoder(Protocol[E_co]):
    """A provider's stream to events; ``eof`` closes it."""

    def feed(self, event: str | None, data: Any) -> Sequence[E_co]: ...

    def done(self) -> Sequence[E_co]: ...

    def eof(self) -> Sequence[E_co]: ...


class AudioEncoder(Protocol[E_contra]):
    """Events to a surface's frames."""

    def feed(self, event: E_contra) -> list[Frame]: ...


@record(kw_only=True)
class SpeechDialect(Row):
    """A wire of speech. ``decode_response`` takes the whole body as bytes and the answer's
    headers; ``media_type`` is the type of the audio that the client gets, whole or streamed."""

    encode_request: Callable[[SpeechRequest, ClientContext], MediaRequest]
    decode_response: Callable[[bytes, SpeechRequest, ClientContext, Mapping[str, str]], SpeechResponse]
    media_type: Callable[[SpeechRequest, Mapping[str, str]], str]
    stream_decoder: Callable[[SpeechRequest, ClientContext], AudioDecoder[SpeechEvent]]
    decode_request: Callable[[Mapping[str, Any], ServerContext], SpeechRequest] = not_supported
    stream_encoder: Callable[[], AudioEncoder[SpeechEvent]] = not_supported


@record(kw_only=True)
class TranscriptionDialect(Row):
    """A wire of transcription. ``decode_response`` takes the whole body as bytes;
    ``encode_response`` returns JSON or text, as the request's format has it."""

    encode_request: Callable[[TranscriptionRequest, ClientContext], MediaRequest]
    decode_response: Callable[[bytes, TranscriptionRequest, ClientContext, Mapping[str, str]], Transcript]
    stream_decoder: Callable[[TranscriptionRequest, ClientContext], AudioDecoder[TranscriptEvent]]
    decode_request: Callable[[Fields, Upload | None, ServerContext], TranscriptionRequest] = not_supported
    encode_response: Callable[[Transcript, TranscriptionRequest], dict[str, Any] | str] = not_supported
    stream_encoder: Callable[[], AudioEncoder[TranscriptEvent]] = not_supported


def error_frames(error: GatewayError) -> list[Frame]:
    """Return what ends an OpenAI audio stream in ``error``, speech and transcript alike."""
    return [Frame(None, {"type": "error", "error": error.body()})]


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
