"""OpenAI's speech, both halves; Azure, Groq and Mistral speak it with small quirks.

The answer is the audio itself, or server-sent events with pieces in base64, or (Mistral)
a JSON object with the whole in base64 (recorded traffic; vendors' SDK types).
"""

from __future__ import annotations

import base64
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
    MediaRequest,
    SpeechDialect,
    audio_bytes,
    error_frames,
    no_audio,
    speech_format,
    whole_json,
)
from app.dialects.media.audio_usage import decode_audio_usage, encode_audio_usage
from app.dialects.shared.lenient_json import as_dict, as_str, rest
from app.dialects.shared.strict_json import ClientObject, missing, wrong_type, wrong_value
from app.errors import GatewayError

NAME: Final = "openai_speech"

_KNOWN: Final = frozenset(
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
_ALIASES: Final[Mapping[str, str]] = {
    "audio/mp3": "audio/mpeg",
    "audio/opus": "audio/ogg",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/l16": "audio/pcm",
}
_CODED: Final = ("audio", "audio_data", "audio_base64")


@record
class SpeechOptions:
    """Quirks of one wire.

    ``formats`` it makes; ``members`` it knows beyond model, input, voice and format.
    ``sse`` is what asks for events: ``stream_format`` (OpenAI), ``stream`` (Mistral) or
    None. ``coded``: a whole answer is JSON with base64. ``voices`` maps the client's
    voice names to the wire's.
    """

    formats: frozenset[str] = frozenset(MEDIA_TYPES)
    members: frozenset[str] = frozenset({"speed", "instructions"})
    sse: str | None = "stream_format"
    coded: bool = False
    voices: Mapping[str, str] | None = None


GROQ: Final = SpeechOptions(frozenset({"mp3", "opus", "aac", "flac", "wav"}), frozenset({"speed"}), None)
MISTRAL: Final = SpeechOptions(
    frozenset({"mp3", "opus", "flac", "wav", "pcm"}), frozenset(), "stream", coded=True
)


def decode_request(body: Mapping[str, Any], context: ServerContext) -> SpeechRequest:
    """Read a client's body; raises ``bad_request`` naming the member that is wrong."""
    checked = ClientObject(body)
    text = checked.required_text("input")
    if not text:
        raise GatewayError(
            "bad_request", "Invalid 'input': it cannot be empty.", param="input", code="invalid_value"
        )
    stream_format = checked.text("stream_format")
    if stream_format not in {None, *_STREAM_FORMATS}:
        raise wrong_value("stream_format", str(stream_format), "'sse' and 'audio'")
    return SpeechRequest(
        model=checked.text("model") or context.model or "",
        text=text,
        voice=_voice(body.get("voice")),
        format=_format(checked),
        speed=checked.number("speed"),
        instructions=checked.text("instructions"),
        language=checked.text("language"),
        stream=stream_format == "sse" or (stream_format is None and checked.flag("stream") is True),
        extra=rest(body, _KNOWN),
        origin=Origin(NAME, body),
    )


def encode_request(request: SpeechRequest, context: ClientContext) -> MediaRequest:
    """Return the JSON body; what the wire lacks is reported."""
    options = _options(context)
    if request.voice is None:
        raise missing("voice")
    body: dict[str, Any] = {"model": context.model, "input": request.text}
    body["voice"] = (options.voices or {}).get(request.voice, request.voice)
    if request.format is not None:
        if request.format not in options.formats:
            context.losses.report("speech_format", param="response_format")
        body["response_format"] = request.format
    for name in ("speed", "instructions", "language"):
        value = getattr(request, name)
        if value is not None and name in options.members:
            body[name] = value
        elif value is not None:
            context.losses.report(name)
    if request.origin is None or request.origin.dialect == NAME:
        body.update(request.extra)
    framing: Framing = "json" if options.coded else "bytes"
    if request.stream and options.sse is not None and not _speaks_only_bytes(context.model):
        body[options.sse] = "sse" if options.sse == "stream_format" else True
        framing = "sse"
    return MediaRequest(body, framing=framing)


def decode_response(
    content: bytes, request: SpeechRequest, context: ClientContext, headers: Mapping[str, str]
) -> SpeechResponse:
    """Read whole audio: the bytes themselves, or base64 in a JSON object."""
    sound = media_type(request, headers)
    if not _is_json(headers) and not _options(context).coded:
        return SpeechResponse(content, sound)
    body = whole_json(content)
    failure = failure_in(body)
    if failure is not None:
        raise failure
    return SpeechResponse(_audio_of(body), sound, decode_audio_usage(body.get("usage")))


def media_type(request: SpeechRequest, headers: Mapping[str, str]) -> str:
    """Return the upstream's audio type where it is one we know, else what was asked for."""
    mime = headers.get("content-type", "").partition(";")[0].strip().lower()
    mime = _ALIASES.get(mime, mime)
    return mime if mime in MEDIA_TYPES.values() else MEDIA_TYPES[speech_format(request)]


class SpeechEncoder:
    """Events to OpenAI's frames, which end with ``speech.audio.done``."""

    def feed(self, event: SpeechEvent) -> list[Frame]:
        """Return the frames that ``event`` makes."""
        if isinstance(event, SpeechDelta):
            audio = base64.b64encode(event.audio).decode("ascii")
            return [Frame(None, {"type": "speech.audio.delta", "audio": audio})]
        if isinstance(event, SpeechDone):
            usage = encode_audio_usage(event.usage)
            return [Frame(None, {"type": "speech.audio.done", "usage": usage})]
        return error_frames(event.error)


class OpenAISpeechDecoder:
    """Events ``speech.audio.delta`` and ``.done``, or raw bytes that end by closing."""

    def __init__(self, request: SpeechRequest, context: ClientContext) -> None:
        self._framed = False
        self._over = False

    def feed(self, event: str | None, data: Any) -> list[SpeechEvent]:
        """Take a frame, or ``(None, bytes)``."""
        if self._over:
            return []
        if isinstance(data, bytes):
            return [SpeechDelta(data)] if data else []
        self._framed = True
        frame = as_dict(data)
        failure = failure_in(frame)
        if failure is not None:
            self._over = True
            return [Failed(failure)]
        kind = as_str(frame.get("type"), event or "")
        if kind == "speech.audio.delta":
            return [SpeechDelta(_audio_of(frame))]
        if kind == "speech.audio.done":
            self._over = True
            return [SpeechDone(decode_audio_usage(frame.get("usage")))]
        return []

    def done(self) -> list[SpeechEvent]:
        """Take ``[DONE]``, which no wire needs here."""
        return self.eof()

    def eof(self) -> list[SpeechEvent]:
        """Raw audio ends with its body; events that end without ``.done`` were cut."""
        if self._over:
            return []
        self._over = True
        if self._framed:
            return [Failed(GatewayError("upstream_cut", "The provider's speech ended before it was done."))]
        return [SpeechDone()]


def _audio_of(body: Any) -> bytes:
    """The audio of a JSON object that holds it in base64."""
    coded = next((as_dict(body)[name] for name in _CODED if name in as_dict(body)), None)
    if not isinstance(coded, str):
        raise no_audio(body)
    return audio_bytes(coded)


def _voice(value: Any) -> str | None:
    """A name, or OpenAI's ``{"id": …}`` for a custom voice."""
    if value is None or isinstance(value, str):
        return value or None
    identifier = value.get("id") if isinstance(value, Mapping) else None
    if not isinstance(identifier, str):
        raise wrong_type("voice", "a string or an object with an 'id'", value)
    return identifier


def _format(checked: ClientObject) -> str | None:
    name = checked.text("response_format")
    if name is not None and name not in MEDIA_TYPES:
        raise wrong_value("response_format", name, ", ".join(f"'{known}'" for known in MEDIA_TYPES))
    return name


def _speaks_only_bytes(model: str) -> bool:
    """``tts-1`` and ``tts-1-hd`` have no events (OpenAI's SDK types, November 2026)."""
    return model.rpartition("/")[2].startswith("tts-1")


def _is_json(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").startswith("application/json")


def _options(context: ClientContext) -> SpeechOptions:
    return context.options if isinstance(context.options, SpeechOptions) else SpeechOptions()


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
