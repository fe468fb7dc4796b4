"""OpenAI's speech, server and client half; also the format of Azure, Groq and Mistral, with quirks.

The response is audio, or server-sent events with pieces of it in base64, or (Mistral) a JSON
object with all of it in base64. Sources: recorded traffic, the types of the vendors' SDKs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.events import Failed
from app.canonical.media import SpeechDelta, SpeechDone, SpeechEvent, SpeechRequest, SpeechResponse
from app.canonical.record import record
from app.canonical.request import Origin
from app.dialects.base import ClientContext, Frame, ServerContext
from app.dialects.chat.errors import decode_error, failure_in
from app.dialects.media.audio import (
    MEDIA_TYPES,
    Framing,
    MediaDecoder,
    MediaRequest,
    SpeechDialect,
    audio_bytes,
    cut_stream,
    error_frames,
    is_json,
    no_audio,
    speech_format,
    whole_json,
)
from app.dialects.media.usage import encode_audio_usage, speech_usage
from app.dialects.shared.lenient_json import as_dict, as_str, encode_base64, rest, without_nulls
from app.dialects.shared.strict_json import ClientObject, invalid, missing, wrong_type

NAME: Final = "openai_speech"

_CANONICAL: Final = frozenset(
    {
        "model",
        "input",
        "voice",
        "response_format",
        "speed",
        "instructions",
        "language",
        "stream_format",
        "stream",
        "fallbacks",
    }
)
_STREAM_FORMATS: Final = ("sse", "audio")
_OPTIONAL: Final = ("speed", "instructions", "language")
_ALIASES: Final[Mapping[str, str]] = {
    "audio/mp3": "audio/mpeg",
    "audio/opus": "audio/ogg",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/l16": "audio/pcm",
}
_AUDIO_MEMBERS: Final = ("audio", "audio_data", "audio_base64")


@record
class SpeechOptions:
    """Quirks of one provider.

    ``formats``: those it makes. ``members``: its members beside model, input, voice and format.
    ``sse``: the member that requests events: ``stream_format`` (OpenAI), ``stream`` (Mistral) or
    None. ``base64``: a response that is not streamed is JSON with base64.
    """

    formats: frozenset[str] = frozenset(MEDIA_TYPES)
    members: frozenset[str] = frozenset({"speed", "instructions"})
    sse: str | None = "stream_format"
    base64: bool = False


GROQ: Final = SpeechOptions(frozenset({"mp3", "opus", "aac", "flac", "wav"}), frozenset({"speed"}), None)
MISTRAL: Final = SpeechOptions(
    frozenset({"mp3", "opus", "flac", "wav", "pcm"}), frozenset(), "stream", base64=True
)


def decode_request(body: Mapping[str, Any], context: ServerContext) -> SpeechRequest:
    """Return the canonical request; raises ``bad_request`` with the path of a wrong member."""
    members = ClientObject(body)
    text = members.required_text("input")
    if not text:
        raise invalid("input", "it cannot be empty.")
    stream_format = members.word("stream_format", _STREAM_FORMATS, "'sse' and 'audio'")
    return SpeechRequest(
        model=members.text("model") or context.model or "",
        text=text,
        voice=_voice(body.get("voice")),
        format=members.word("response_format", MEDIA_TYPES),
        speed=members.number("speed"),
        instructions=members.text("instructions"),
        language=members.text("language"),
        stream=stream_format == "sse" or (stream_format is None and members.flag("stream") is True),
        extra=rest(body, _CANONICAL),
        origin=Origin(NAME, body),
    )


def encode_request(request: SpeechRequest, context: ClientContext) -> MediaRequest:
    """Return the request; what the provider does not support is reported."""
    options = context.options_as(SpeechOptions)
    if request.voice is None:
        raise missing("voice")
    if request.format is not None and request.format not in options.formats:
        context.losses.report("speech_format", param="response_format")
    optional = without_nulls({name: getattr(request, name) for name in _OPTIONAL})
    for name in optional:
        if name not in options.members:
            context.losses.report(name)
    is_own = request.origin is None or request.origin.dialect == NAME
    body = {
        "model": context.model,
        "input": request.text,
        "voice": request.voice,
        **without_nulls({"response_format": request.format}),
        **{name: value for name, value in optional.items() if name in options.members},
        **(request.extra if is_own else {}),
    }
    if request.stream and options.sse is not None and _has_events(context.model):
        return MediaRequest(
            {**body, options.sse: "sse" if options.sse == "stream_format" else True}, framing="sse"
        )
    framing: Framing = "json" if options.base64 else "bytes"
    return MediaRequest(body, framing=framing)


def decode_response(
    content: bytes, request: SpeechRequest, context: ClientContext, headers: Mapping[str, str]
) -> SpeechResponse:
    """Return the audio of a response: its bytes, or base64 in a JSON object."""
    audio_type = media_type(request, headers)
    if not is_json(headers) and not context.options_as(SpeechOptions).base64:
        return SpeechResponse(content, audio_type)
    body = whole_json(content, context)
    if (failure := failure_in(body)) is not None:
        raise failure
    return SpeechResponse(_audio_of(body), audio_type, speech_usage(body.get("usage"), request))


def media_type(request: SpeechRequest, headers: Mapping[str, str]) -> str:
    """Return the upstream's content type if it is audio, else that of the client's format."""
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    audio_type = _ALIASES.get(content_type, content_type)
    return audio_type if audio_type in MEDIA_TYPES.values() else MEDIA_TYPES[speech_format(request)]


class SpeechEncoder:
    """Encode events as OpenAI's frames, which end with ``speech.audio.done``."""

    def feed(self, event: SpeechEvent) -> list[Frame]:
        """Return the frames of ``event``."""
        if isinstance(event, SpeechDelta):
            return [Frame(None, {"type": "speech.audio.delta", "audio": encode_base64(event.audio)})]
        if isinstance(event, SpeechDone):
            return [Frame(None, {"type": "speech.audio.done", "usage": encode_audio_usage(event.usage)})]
        return error_frames(event.error)


class OpenAISpeechDecoder(MediaDecoder[SpeechEvent]):
    """Decode events ``speech.audio.delta`` and ``.done``, or raw audio, which ends with the body."""

    def __init__(self, request: SpeechRequest, context: ClientContext) -> None:
        super().__init__()
        self._request = request
        self._has_frames = False

    def _decode(self, event: str | None, data: Any) -> list[SpeechEvent]:
        if isinstance(data, bytes):
            return [SpeechDelta(data)] if data else []
        self._has_frames = True
        frame = as_dict(data)
        if (failure := failure_in(frame)) is not None:
            return self._end(Failed(failure))
        kind = as_str(frame.get("type"), event or "")
        if kind == "speech.audio.done":
            return self._end(SpeechDone(speech_usage(frame.get("usage"), self._request)))
        return [SpeechDelta(_audio_of(frame))] if kind == "speech.audio.delta" else []

    def _finish(self) -> list[SpeechEvent]:
        if self._has_frames:
            return [cut_stream("The provider's speech ended before it was done.")]
        return [SpeechDone()]


def _audio_of(body: Any) -> bytes:
    """Return the audio that a JSON object has in base64; raises ``upstream_invalid`` without."""
    members = as_dict(body)
    text = next((members[name] for name in _AUDIO_MEMBERS if isinstance(members.get(name), str)), None)
    if text is None:
        raise no_audio(body)
    return audio_bytes(text)


def _voice(value: Any) -> str | None:
    """Return the name of a voice, or the id of a custom voice, ``{"id": …}``."""
    if value is None or isinstance(value, str):
        return value or None
    voice_id = value.get("id") if isinstance(value, Mapping) else None
    if not isinstance(voice_id, str):
        raise wrong_type("voice", "a string or an object with an 'id'", value)
    return voice_id


def _has_events(model: str) -> bool:
    """Tell whether a model can stream events: ``tts-1`` and ``tts-1-hd`` cannot (OpenAI's SDK types, November 2026)."""
    return not model.rpartition("/")[2].startswith("tts-1")


DIALECT: Final = SpeechDialect(
    name=NAME,
    encode_request=encode_request,
    decode_response=decode_response,
    media_type=media_type,
    stream_decoder=OpenAISpeechDecoder,
    decode_error=decode_error,
    decode_request=decode_request,
    stream_encoder=SpeechEncoder,
)
