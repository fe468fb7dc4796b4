"""ElevenLabs' text to speech: the voice is in the path, the format in the query.

Raw PCM becomes a WAV file here, because the API has no WAV of its own. Sources:
contract/providers.md 3.11 and ElevenLabs' published request schema.
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
    MediaRequest,
    SpeechDialect,
    audio_bytes,
    no_audio,
    speech_format,
    whole_json,
)
from app.dialects.media.elevenlabs_errors import decode_error
from app.dialects.media.wav import wav, wav_header
from app.dialects.shared.lenient_json import as_dict, as_str
from app.dialects.shared.losses import Losses
from app.dialects.shared.strict_json import missing

NAME: Final = "elevenlabs_speech"

_FORMATS: Final[Mapping[str, str]] = {
    "mp3": "mp3_44100_128",
    "opus": "opus_48000_128",
    "wav": "pcm_44100",
    "pcm": "pcm_24000",
}
"""OpenAI's pcm is 24 kHz by definition; a WAV file tells its own rate."""

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
        "language_code",
    }
)
_QUERY: Final = frozenset({"output_format", "enable_logging", "optimize_streaming_latency"})
_SETTINGS: Final = frozenset({"stability", "similarity_boost", "style", "use_speaker_boost", "speed"})
_SPEEDS: Final = (0.7, 1.2)
_TIMESTAMPS: Final = "with_timestamps"


@record
class ElevenLabsOptions:
    """``voices`` maps the client's voice names (``alloy``) to voice ids, ``model`` stands
    in where the call names none."""

    voices: Mapping[str, str] = field(default_factory=dict)
    model: str = "eleven_multilingual_v2"


def encode_request(request: SpeechRequest, context: ClientContext) -> MediaRequest:
    """Return body, query and the voice of the path; unset voice settings stay unset."""
    options = _options(context)
    if request.voice is None:
        raise missing("voice")
    body: dict[str, Any] = {"text": request.text, "model_id": context.model or options.model}
    if request.language is not None:
        body["language_code"] = request.language
    if request.instructions is not None:
        context.losses.report("instructions")
    query = {"output_format": _wire_format(request, context.losses)}
    settings = _settings(request, context.losses)
    if settings:
        body["voice_settings"] = settings
    for name, value in request.extra.items():
        if name in _BODY:
            body[name] = value
        elif name in _QUERY:
            query[name] = _query_text(value)
        elif name not in {"voice_settings", _TIMESTAMPS} | _SETTINGS:
            context.losses.report("extra", param=name)
    return MediaRequest(
        body,
        query=query,
        path={"voice": options.voices.get(request.voice, request.voice)},
        suffix=_suffix(request),
        framing="json" if _wants_timestamps(request) else "bytes",
    )


def decode_response(
    content: bytes, request: SpeechRequest, context: ClientContext, headers: Mapping[str, str]
) -> SpeechResponse:
    """Read audio, or the JSON of ``with_timestamps``, whose alignment is kept as native."""
    native, audio = None, content
    if not _wants_timestamps(request) and headers.get("content-type", "").startswith("application/json"):
        raise no_audio(content)
    if _wants_timestamps(request):
        body = as_dict(whole_json(content))
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
    """Return the type of what was asked for: upstream calls a WAV file's samples pcm."""
    return MEDIA_TYPES[speech_format(request)]


def stream_decoder(request: SpeechRequest, context: ClientContext) -> ElevenLabsSpeechDecoder:
    """Return a decoder for raw audio; a WAV file's header goes before its first piece."""
    header = wav_header(None, rate=_rate(request)) if speech_format(request) == "wav" else b""
    return ElevenLabsSpeechDecoder(header, len(request.text))


class ElevenLabsSpeechDecoder:
    """Raw bytes to deltas; the body's end is the end."""

    def __init__(self, header: bytes, characters: int) -> None:
        self._header = header
        self._characters = characters
        self._over = False

    def feed(self, event: str | None, data: Any) -> list[SpeechEvent]:
        """Take ``(None, bytes)``."""
        if self._over or not isinstance(data, bytes) or not data:
            return []
        header, self._header = self._header, b""
        return [SpeechDelta(header + data)]

    def done(self) -> list[SpeechEvent]:
        """Raw audio has no ``[DONE]``."""
        return self.eof()

    def eof(self) -> list[SpeechEvent]:
        """Return the end, once."""
        if self._over:
            return []
        self._over = True
        return [SpeechDone(characters=self._characters)]


def _wire_format(request: SpeechRequest, losses: Losses) -> str:
    wire_format = request.extra.get("output_format")
    if isinstance(wire_format, str):
        return wire_format
    name = speech_format(request)
    if name not in _FORMATS:
        losses.report("speech_format", f"ElevenLabs does not make '{name}'", param="response_format")
    return _FORMATS[name]


def _rate(request: SpeechRequest) -> int:
    """Samples a second of the PCM that a WAV file is made of (``pcm_44100``)."""
    wire_format = as_str(request.extra.get("output_format"), _FORMATS["wav"])
    digits = wire_format.split("_")[1] if wire_format.startswith("pcm_") else ""
    return int(digits) if digits.isdecimal() else 44_100


def _settings(request: SpeechRequest, losses: Losses) -> dict[str, Any]:
    """Only what the client set: a zero filled in would change the voice."""
    settings = dict(as_dict(request.extra.get("voice_settings")))
    settings.update({name: request.extra[name] for name in sorted(_SETTINGS) if name in request.extra})
    if request.speed is not None:
        low, high = _SPEEDS
        settings["speed"] = max(low, min(high, request.speed))
        if settings["speed"] != request.speed:
            losses.report(
                "speed", f"ElevenLabs speaks at speeds from {low} to {high}; {settings['speed']} was sent"
            )
    return settings


def _suffix(request: SpeechRequest) -> str:
    if _wants_timestamps(request):
        return "/with-timestamps"
    return "/stream" if request.stream else ""


def _wants_timestamps(request: SpeechRequest) -> bool:
    return request.extra.get(_TIMESTAMPS) is True


def _query_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _characters(headers: Mapping[str, str], request: SpeechRequest) -> int:
    cost = headers.get("character-cost", "")
    return int(cost) if cost.isdecimal() else len(request.text)


def _options(context: ClientContext) -> ElevenLabsOptions:
    return context.options if isinstance(context.options, ElevenLabsOptions) else ElevenLabsOptions()


DIALECT: Final = SpeechDialect(
    name=NAME,
    encode_request=encode_request,
    decode_response=decode_response,
    media_type=media_type,
    stream_decoder=stream_decoder,
    decode_error=decode_error,
)
