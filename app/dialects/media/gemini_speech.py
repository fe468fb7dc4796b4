"""Speech by Gemini's generateContent: PCM in the answer, a WAV file for the client.

The samples are 16 bit, mono, 24 kHz unless the media type says another rate
(contract/providers.md 3.6).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from app.canonical.events import BlockDelta, BlockStarted, Ended, Event, Failed
from app.canonical.media import SpeechDelta, SpeechDone, SpeechEvent, SpeechRequest, SpeechResponse
from app.canonical.request import AudioPart
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
    whole_json,
)
from app.dialects.media.wav import wav, wav_header
from app.errors import GatewayError

NAME: Final = "gemini_speech"

_RATE: Final = 24_000
_FORMATS: Final = frozenset({"wav", "pcm"})
_SPEAKERS: Final = "multi_speaker_voice_config"


def encode_request(request: SpeechRequest, context: ClientContext) -> MediaRequest:
    """Return the body. Absent, wav and pcm are served; another format is refused.

    Instructions go before the text as Google's guide has it ("Say cheerfully: …").
    """
    losses = context.losses
    if request.format is not None and request.format not in _FORMATS:
        losses.report(
            "speech_format",
            f"Gemini speaks 'wav' and 'pcm', not '{request.format}'",
            param="response_format",
        )
    if request.speed is not None and request.speed != 1:
        losses.report("speed")
    text = f"{request.instructions}: {request.text}" if request.instructions else request.text
    config: dict[str, Any] = {"responseModalities": ["AUDIO"]}
    voice = _voice(request)
    if voice:
        config["speechConfig"] = voice
    for name in request.extra:
        if name != _SPEAKERS:
            losses.report("extra", param=name)
    body = {"contents": [{"role": "user", "parts": [{"text": text}]}], "generationConfig": config}
    return MediaRequest(body, framing="sse" if request.stream else "json")


def decode_response(
    content: bytes, request: SpeechRequest, context: ClientContext, headers: Mapping[str, str]
) -> SpeechResponse:
    """Read a whole answer; its audio parts are joined."""
    response = GENERATION.decode_response(whole_json(content), context)
    audio_parts = _audio_parts(response)
    if not audio_parts:
        raise _no_audio_error(response)
    samples = b"".join(audio_bytes(sound.data or "") for sound in audio_parts)
    if request.format != "pcm":
        samples = wav(samples, rate=_rate(audio_parts[0]))
    return SpeechResponse(samples, media_type(request, headers), response.usage)


def media_type(request: SpeechRequest, headers: Mapping[str, str]) -> str:
    """Return WAV's type, or PCM's where the client wants samples."""
    return MEDIA_TYPES[request.format or "wav"]


def stream_decoder(request: SpeechRequest, context: ClientContext) -> GeminiSpeechDecoder:
    """Return a decoder for chunks of streamGenerateContent."""
    return GeminiSpeechDecoder(context, headed=request.format != "pcm")


class GeminiSpeechDecoder:
    """Chunks to audio; the WAV header goes before the first piece, its length unknown."""

    def __init__(self, context: ClientContext, *, headed: bool) -> None:
        self._chunks = GENERATION.stream_decoder(context)
        self._headed = headed
        self._blocks: set[int] = set()
        self._rate = _RATE

    def feed(self, event: str | None, data: Any) -> list[SpeechEvent]:
        """Take one chunk."""
        return self._speech_events(self._chunks.feed(event, data))

    def done(self) -> list[SpeechEvent]:
        """This wire has no ``[DONE]``."""
        return self.eof()

    def eof(self) -> list[SpeechEvent]:
        """Return the end, or what went wrong."""
        return self._speech_events(self._chunks.eof())

    def _speech_events(self, events: list[Event]) -> list[SpeechEvent]:
        spoken: list[SpeechEvent] = []
        for event in events:
            if isinstance(event, BlockStarted) and isinstance(event.part, AudioPart):
                self._blocks.add(event.block)
                self._rate = _rate(event.part)
            elif isinstance(event, BlockDelta) and event.block in self._blocks:
                spoken.append(SpeechDelta(self._header() + audio_bytes(event.text)))
            elif isinstance(event, Ended):
                spoken.append(SpeechDone(event.usage))
            elif isinstance(event, Failed):
                spoken.append(event)
        return spoken

    def _header(self) -> bytes:
        headed, self._headed = self._headed, False
        return wav_header(None, rate=self._rate) if headed else b""


def _voice(request: SpeechRequest) -> dict[str, Any]:
    speakers = request.extra.get(_SPEAKERS)
    config: dict[str, Any] = {"multiSpeakerVoiceConfig": speakers} if speakers else {}
    if not config and request.voice is not None:
        config = speech_config(request.voice)
    return {**config, "languageCode": request.language} if request.language else config


def _audio_parts(response: Response) -> list[AudioPart]:
    return [
        part
        for choice in response.choices[:1]
        for message in choice.messages
        for part in message.parts
        if isinstance(part, AudioPart)
    ]


def _rate(sound: AudioPart) -> int:
    """Samples a second, from ``audio/L16;codec=pcm;rate=24000``."""
    media_type = str(sound.native[1].get("mimeType", "")) if sound.native else ""
    found = re.search(r"rate=(\d{4,6})", media_type)
    return int(found.group(1)) if found else _RATE


def _no_audio_error(response: Response) -> GatewayError:
    finish = response.choices[0].finish if response.choices else None
    if finish is not None and finish.reason == "content_filter":
        return GatewayError(
            "content_filter", f"The provider refused to speak ({finish.raw}).", raw=finish.raw
        )
    return no_audio()


DIALECT: Final = SpeechDialect(
    name=NAME,
    encode_request=encode_request,
    decode_response=decode_response,
    media_type=media_type,
    stream_decoder=stream_decoder,
    decode_error=GENERATION.decode_error,
)
