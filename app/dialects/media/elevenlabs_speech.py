"""ElevenLabs' text to speech: the voice is part of the path, the format of the query (client half).

The API has no WAV: it is made of PCM here. Source: ElevenLabs' published request
schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final

from app.canonical.media import SpeechDelta, SpeechDone, SpeechEvent, SpeechRequest, SpeechResponse
from app.canonical.record import record
from app.dialects.base import ClientContext
from app.dialects.media.audio import (
    MEDIA_TYPES,
    MediaDecoder,
    MediaRequest,
    SpeechDialect,
    audio_bytes,
    is_json,
    no_audio,
    speech_format,
    wav,
    wav_header,
    whole_json,
)
from app.dialects.media.elevenlabs_errors import decode_error
from app.dialects.shared.lenient_json import as_dict, as_str, without_nulls
from app.dialects.shared.losses import Losses
from app.dialects.shared.strict_json import missing
from app.dialects.shared.unmapped_members import known_extras

NAME: Final = "elevenlabs_speech"

_FORMATS: Final[Mapping[str, str]] = {
    "mp3": "mp3_44100_128",
    "opus": "opus_48000_128",
    "wav": "pcm_44100",
    "pcm": "pcm_24000",
}
"""ElevenLabs' ``output_format`` of each format; OpenAI's pcm is 24 kHz by definition."""

_BODY: Final = frozenset(
    {
        "seed",
        "previous_text",
        "next_text",
        "previous_request_ids",
        "next_request_ids",
        "pronunciation_dictionary_locators",
        "apply_text_normalization",
        "apply_language_text_normalization",
        "use_pvc_as_ivc",
        "audio_effects",
        "language_code",
    }
)
_QUERY: Final = frozenset({"output_format", "enable_logging", "optimize_streaming_latency"})
_SETTINGS: Final = frozenset({"stability", "similarity_boost", "style", "use_speaker_boost", "speed"})
_SPEEDS: Final = (0.7, 1.2)
_TIMESTAMPS: Final = "with_timestamps"


@record
class ElevenLabsOptions:
    """``voices`` has the voice ids of the client's voice names (``alloy``); ``model`` is the default model."""

    voices: Mapping[str, str] = field(default_factory=dict)
    model: str = "eleven_multilingual_v2"


def encode_request(request: SpeechRequest, context: ClientContext) -> MediaRequest:
    """Return body, query and path; voice settings that the client did not set stay unset."""
    options = context.options_as(ElevenLabsOptions)
    if request.voice is None:
        raise missing("voice")
    if request.instructions is not None:
        context.losses.report("instructions")
    output_format = _output_format(request, context.losses)
    settings = _settings(request, context.losses)
    own = {"voice_settings", _TIMESTAMPS} | _SETTINGS
    extras = known_extras(request.extra, _BODY | _QUERY | own, context.losses)
    body = {
        "text": request.text,
        "model_id": context.model or options.model,
        **without_nulls({"language_code": request.language, "voice_settings": settings or None}),
        **{name: value for name, value in extras.items() if name in _BODY},
    }
    query = {name: _query_text(value) for name, value in extras.items() if name in _QUERY}
    has_timestamps = _has_timestamps(request)
    return MediaRequest(
        body,
        query={"output_format": output_format, **query},
        path={"voice": options.voices.get(request.voice, request.voice)},
        suffix="/with-timestamps" if has_timestamps else "/stream" if request.stream else "",
        framing="json" if has_timestamps else "bytes",
    )


def decode_response(
    content: bytes, request: SpeechRequest, context: ClientContext, headers: Mapping[str, str]
) -> SpeechResponse:
    """Return the audio of a response; with timestamps it is JSON, and the alignment is native."""
    native, audio = None, content
    if not _has_timestamps(request) and is_json(headers):
        raise no_audio(content)
    if _has_timestamps(request):
        body = as_dict(whole_json(content, context))
        audio = audio_bytes(as_str(body.get("audio_base64")))
        if not audio:
            raise no_audio()
        native = {name: body[name] for name in ("alignment", "normalized_alignment") if body.get(name)}
    if speech_format(request) == "wav":
        audio = wav(audio, rate=_rate(request))
    return SpeechResponse(
        audio,
        media_type(request, headers),
        characters=_characters(headers, request),
        native=(NAME, native) if native else None,
    )


def media_type(request: SpeechRequest, headers: Mapping[str, str]) -> str:
    """Return the media type of the client's format: ElevenLabs sends a WAV file's samples as PCM."""
    return MEDIA_TYPES[speech_format(request)]


class ElevenLabsSpeechDecoder(MediaDecoder[SpeechEvent]):
    """Decode raw audio, which ends with the body; a WAV header comes before the first samples."""

    def __init__(self, request: SpeechRequest, context: ClientContext) -> None:
        super().__init__()
        self._header = wav_header(None, rate=_rate(request)) if speech_format(request) == "wav" else b""
        self._characters = len(request.text)

    def _decode(self, event: str | None, data: Any) -> list[SpeechEvent]:
        if not isinstance(data, bytes) or not data:
            return []
        header, self._header = self._header, b""
        return [SpeechDelta(header + data)]

    def _finish(self) -> list[SpeechEvent]:
        return [SpeechDone(characters=self._characters)]


def _output_format(request: SpeechRequest, losses: Losses) -> str:
    output_format = request.extra.get("output_format")
    if isinstance(output_format, str):
        return output_format
    name = speech_format(request)
    if name not in _FORMATS:
        losses.report("speech_format", f"ElevenLabs does not make '{name}'", param="response_format")
    return _FORMATS[name]


def _rate(request: SpeechRequest) -> int:
    """Return the samples per second of the PCM for a WAV file (``pcm_44100``)."""
    output_format = as_str(request.extra.get("output_format"), _FORMATS["wav"])
    digits = output_format.split("_")[1] if output_format.startswith("pcm_") else ""
    return int(digits) if digits.isdecimal() else 44_100


def _settings(request: SpeechRequest, losses: Losses) -> dict[str, Any]:
    """Return the settings that the client set: a default would change the voice."""
    settings = dict(as_dict(request.extra.get("voice_settings")))
    settings.update({name: request.extra[name] for name in sorted(_SETTINGS) if name in request.extra})
    if request.speed is not None:
        low, high = _SPEEDS
        settings["speed"] = max(low, min(high, request.speed))
        if settings["speed"] != request.speed:
            warning = f"ElevenLabs speaks at speeds from {low} to {high}; {settings['speed']} was sent"
            losses.report("speed", warning)
    return settings


def _has_timestamps(request: SpeechRequest) -> bool:
    return request.extra.get(_TIMESTAMPS) is True


def _query_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _characters(headers: Mapping[str, str], request: SpeechRequest) -> int:
    cost = headers.get("character-cost", "")
    return int(cost) if cost.isdecimal() else len(request.text)


DIALECT: Final = SpeechDialect(
    name=NAME,
    encode_request=encode_request,
    decode_response=decode_response,
    media_type=media_type,
    stream_decoder=ElevenLabsSpeechDecoder,
    decode_error=decode_error,
)
