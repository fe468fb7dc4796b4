"""Speech of Gemini's generateContent: the response is PCM, the client gets a WAV file (client half).

The samples are 16 bit, mono, and 24 kHz unless the media type has another rate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from app.canonical.events import Ended
from app.canonical.media import SpeechDelta, SpeechDone, SpeechEvent, SpeechRequest, SpeechResponse
from app.canonical.request import AudioPart, Part
from app.canonical.response import Response
from app.dialects.base import ClientContext
from app.dialects.gemini.dialect import DIALECT as GENERATION
from app.dialects.gemini.request_out import speech_config
from app.dialects.media.audio import (
    MEDIA_TYPES,
    MediaRequest,
    SpeechDialect,
    audio_bytes,
    no_audio,
    wav,
    wav_header,
    whole_json,
)
from app.dialects.media.gemini_media import GeminiMediaDecoder
from app.dialects.media.usage import complete_audio_usage
from app.dialects.shared.lenient_json import without_nulls
from app.dialects.shared.unmapped_members import known_extras
from app.errors import GatewayError

NAME: Final = "gemini_speech"

_RATE: Final = 24_000
_FORMATS: Final = frozenset({"wav", "pcm"})
_SPEAKERS: Final = "multi_speaker_voice_config"


def encode_request(request: SpeechRequest, context: ClientContext) -> MediaRequest:
    """Return the request; formats other than wav (the default) and pcm are refused.

    Instructions are put before the text, as in Google's guide ("Say cheerfully: …").
    """
    losses = context.losses
    if request.format is not None and request.format not in _FORMATS:
        warning = f"Gemini speaks 'wav' and 'pcm', not '{request.format}'"
        losses.report("speech_format", warning, param="response_format")
    if request.speed is not None and request.speed != 1:
        losses.report("speed")
    text = f"{request.instructions}: {request.text}" if request.instructions else request.text
    config = without_nulls({"responseModalities": ["AUDIO"], "speechConfig": _voice(request) or None})
    known_extras(request.extra, {_SPEAKERS}, losses)
    body = {"contents": [{"role": "user", "parts": [{"text": text}]}], "generationConfig": config}
    return MediaRequest(body, framing="sse" if request.stream else "json")


def decode_response(
    content: bytes, request: SpeechRequest, context: ClientContext, headers: Mapping[str, str]
) -> SpeechResponse:
    """Return the audio of a response, all its parts joined."""
    response = GENERATION.decode_response(whole_json(content, context), context)
    parts = [part for part in response.first.parts if isinstance(part, AudioPart)]
    if not parts:
        raise _no_audio_error(response)
    samples = b"".join(audio_bytes(part.data or "") for part in parts)
    if request.format != "pcm":
        samples = wav(samples, rate=_rate(parts[0]))
    return SpeechResponse(
        samples, media_type(request, headers), complete_audio_usage(response.usage, "input", request.text)
    )


def media_type(request: SpeechRequest, headers: Mapping[str, str]) -> str:
    """Return the media type of the client's format, by default that of WAV."""
    return MEDIA_TYPES[request.format or "wav"]


class GeminiSpeechDecoder(GeminiMediaDecoder[SpeechEvent]):
    """Decode the audio of a stream; a WAV header of unknown length comes before the first samples."""

    part_type = AudioPart

    def __init__(self, request: SpeechRequest, context: ClientContext) -> None:
        super().__init__(context)
        self._text = request.text
        self._needs_header = request.format != "pcm"
        self._rate = _RATE

    def _start(self, part: Part) -> None:
        self._rate = _rate(part)

    def _delta(self, text: str) -> SpeechEvent:
        header = wav_header(None, rate=self._rate) if self._needs_header else b""
        self._needs_header = False
        return SpeechDelta(header + audio_bytes(text))

    def _ended(self, event: Ended) -> SpeechEvent:
        return SpeechDone(complete_audio_usage(event.usage, "input", self._text))


def _voice(request: SpeechRequest) -> dict[str, Any]:
    speakers = request.extra.get(_SPEAKERS)
    config: dict[str, Any] = {"multiSpeakerVoiceConfig": speakers} if speakers else {}
    if not config and request.voice is not None:
        config = speech_config(request.voice)
    return {**config, "languageCode": request.language} if request.language else config


def _rate(part: Part) -> int:
    """Return the samples per second of a media type such as ``audio/L16;codec=pcm;rate=24000``."""
    media_type = str(part.native[1].get("mimeType", "")) if part.native else ""
    rate = re.search(r"rate=(\d{4,6})", media_type)
    return int(rate.group(1)) if rate else _RATE


def _no_audio_error(response: Response) -> GatewayError:
    finish = response.first.finish
    if finish is None or finish.reason != "content_filter":
        return no_audio()
    return GatewayError(
        "content_filter", f"The provider refused to generate the speech ({finish.raw}).", raw=finish.raw
    )


DIALECT: Final = SpeechDialect(
    name=NAME,
    encode_request=encode_request,
    decode_response=decode_response,
    media_type=media_type,
    stream_decoder=GeminiSpeechDecoder,
    decode_error=GENERATION.decode_error,
)
