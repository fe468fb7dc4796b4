"""The rows of the audio dialects, what dialects of speech, transcription and images share, and WAV headers.

The ``feed`` of a stream decoder takes a frame (event name and parsed JSON) of server-sent
events, or ``(None, bytes)`` of raw audio.
"""

from __future__ import annotations

import base64
import binascii
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

from app.canonical.events import Failed
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
"""The speech formats of OpenAI's API, and their content types."""

DEFAULT_FORMAT: Final = "mp3"


@record
class MediaRequest:
    """A request of audio or images: a JSON ``body`` or a multipart ``form``.

    ``path`` has the values of the placeholders in the provider's path (each one segment,
    unquoted), ``suffix`` is appended to the path, ``query`` is added. ``framing`` is that of
    the response.
    """

    body: dict[str, Any] | None = None
    form: Form | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""
    framing: Framing = "json"


E = TypeVar("E")
E_contra = TypeVar("E_contra", contravariant=True)


class MediaDecoder(ABC, Generic[E]):
    """Decodes a provider's stream as events of the type ``E``, up to the one that ends it."""

    def __init__(self) -> None:
        self._over = False

    def feed(self, event: str | None, data: Any) -> Sequence[E]:
        """Take one frame, or ``(None, bytes)``; after the end returns []."""
        return [] if self._over else self._decode(event, data)

    def done(self) -> Sequence[E]:
        """Take ``[DONE]``, where a provider sends it: the stream ends."""
        return self.eof()

    def eof(self) -> Sequence[E]:
        """Take the end of the body; returns the events that end the stream, once."""
        if self._over:
            return []
        self._over = True
        return self._finish()

    def _end(self, event: E) -> list[E]:
        """End the stream with ``event``."""
        self._over = True
        return [event]

    @abstractmethod
    def _decode(self, event: str | None, data: Any) -> Sequence[E]: ...

    @abstractmethod
    def _finish(self) -> Sequence[E]:
        """Return the events for a body that ends without a terminal frame."""


class AudioEncoder(Protocol[E_contra]):
    """Encodes events as the frames of a surface."""

    def feed(self, event: E_contra) -> list[Frame]: ...


@record(kw_only=True)
class SpeechDialect(Row):
    """A dialect of speech.

    ``decode_response`` takes the body as bytes, and the response's headers; ``media_type`` is the type
    of the audio for the client, streamed or not.
    """

    encode_request: Callable[[SpeechRequest, ClientContext], MediaRequest]
    decode_response: Callable[[bytes, SpeechRequest, ClientContext, Mapping[str, str]], SpeechResponse]
    media_type: Callable[[SpeechRequest, Mapping[str, str]], str]
    stream_decoder: Callable[[SpeechRequest, ClientContext], MediaDecoder[SpeechEvent]]
    decode_request: Callable[[Mapping[str, Any], ServerContext], SpeechRequest] = not_supported
    stream_encoder: Callable[[], AudioEncoder[SpeechEvent]] = not_supported


@record(kw_only=True)
class TranscriptionDialect(Row):
    """A dialect of transcription.

    ``decode_response`` takes the body as bytes; ``encode_response`` returns JSON or text, by the
    format of the request.
    """

    encode_request: Callable[[TranscriptionRequest, ClientContext], MediaRequest]
    decode_response: Callable[[bytes, TranscriptionRequest, ClientContext, Mapping[str, str]], Transcript]
    stream_decoder: Callable[[TranscriptionRequest, ClientContext], MediaDecoder[TranscriptEvent]]
    decode_request: Callable[[Fields, Upload | None, ServerContext], TranscriptionRequest] = not_supported
    encode_response: Callable[[Transcript, TranscriptionRequest], dict[str, Any] | str] = not_supported
    stream_encoder: Callable[[], AudioEncoder[TranscriptEvent]] = not_supported


def error_frames(error: GatewayError) -> list[Frame]:
    """Return the frames that end an OpenAI stream of audio or images with ``error``."""
    return [Frame(None, {"type": "error", "error": error.body()})]


def replay_speech(response: SpeechResponse) -> Iterator[SpeechEvent]:
    """Yield the events of a stream with the whole audio in one delta."""
    if response.audio:
        yield SpeechDelta(response.audio)
    yield SpeechDone(response.usage, response.characters)


def replay_transcript(transcript: Transcript, *, speakers: bool = False) -> Iterator[TranscriptEvent]:
    """Yield the events of a stream with a whole transcript.

    The text is one delta; with ``speakers`` there is an event for each segment instead, as in the
    streams of OpenAI's diarizing model.
    """
    if speakers and transcript.segments:
        yield from map(TranscriptSegment, transcript.segments)
    elif transcript.text:
        yield TranscriptDelta(transcript.text)
    yield TranscriptDone(transcript)


def speech_format(request: SpeechRequest) -> str:
    """Return the format of the audio for the client."""
    return request.format or DEFAULT_FORMAT


def whole_json(content: bytes, context: ClientContext) -> Any:
    """Return the JSON of a body; raises ``upstream_invalid`` for anything else."""
    try:
        return context.loads(content)
    except ValueError as error:
        raise GatewayError(
            "upstream_invalid", "The provider's answer is not JSON.", raw=str(error)
        ) from error


def is_json(headers: Mapping[str, str]) -> bool:
    """Tell whether a response is JSON by its content type."""
    return headers.get("content-type", "").lower().startswith("application/json")


def audio_bytes(text: str) -> bytes:
    """Return audio that is sent in base64; raises ``upstream_invalid`` for anything else."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        message = "The provider's audio is not base64."
        raise GatewayError("upstream_invalid", message, raw=str(error)) from error


def no_audio(raw: Any = None) -> GatewayError:
    """Return the error of a response without audio."""
    return GatewayError("upstream_invalid", "The provider's answer contains no audio.", raw=raw)


def cut_stream(message: str) -> Failed:
    """Return the event of a stream that ended too early."""
    return Failed(GatewayError("upstream_cut", message))


HEADER_SIZE: Final = 44
_UNKNOWN: Final = 0xFFFFFFFF
_PCM: Final = 1
_CHANNELS: Final = 1
_BITS: Final = 16
_FRAME: Final = _CHANNELS * _BITS // 8  # bytes


def wav_header(size: int | None, *, rate: int) -> bytes:
    """Return the header, 44 bytes, of a WAV file with ``size`` bytes of little-endian PCM samples.

    ``rate`` is samples per second. Without ``size`` the header has the largest length, as players expect
    of a stream.
    """
    data = _UNKNOWN if size is None else min(size, _UNKNOWN)
    riff = _UNKNOWN if size is None else min(size + HEADER_SIZE - 8, _UNKNOWN)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        riff,
        b"WAVE",
        b"fmt ",
        16,
        _PCM,
        _CHANNELS,
        rate,
        rate * _FRAME,
        _FRAME,
        _BITS,
        b"data",
        data,
    )


def wav(samples: bytes, *, rate: int) -> bytes:
    """Return a WAV file of ``samples`` (little-endian PCM)."""
    return wav_header(len(samples), rate=rate) + samples
