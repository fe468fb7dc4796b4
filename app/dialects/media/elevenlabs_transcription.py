"""ElevenLabs' speech to text: a form in, words with times out.

Segments are made of the words, since the API has none. Sources: contract/providers.md
3.11 and recorded answers (words of type ``word``, ``spacing`` and ``audio_event``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.events import Failed
from app.canonical.media import (
    Transcript,
    TranscriptEvent,
    TranscriptionRequest,
    Word,
)
from app.dialects.base import ClientContext
from app.dialects.media.audio import MediaRequest, TranscriptionDialect, replay_transcript, whole_json
from app.dialects.media.elevenlabs_errors import decode_error
from app.dialects.media.multipart import Form
from app.dialects.media.transcripts import segments_of, space_words
from app.dialects.shared.lenient_json import as_dict, as_str, dicts, number, opt_str, rest
from app.errors import GatewayError

NAME: Final = "elevenlabs_transcription"

_SUPPORTED: Final = frozenset(
    {
        "tag_audio_events",
        "num_speakers",
        "timestamps_granularity",
        "diarize",
        "diarization_threshold",
        "additional_formats",
        "file_format",
        "cloud_storage_url",
        "seed",
        "use_multi_channel",
        "enable_logging",
        "entity_detection",
        "keyterms",
    }
)
_ANSWER_KNOWN: Final = frozenset({"text", "language_code", "words", "transcripts", "audio_duration_secs"})


def encode_request(request: TranscriptionRequest, context: ClientContext) -> MediaRequest:
    """Return the form; speakers are asked for where the client wants them told."""
    fields = [("model_id", context.model)]
    if request.language is not None:
        fields.append(("language_code", request.language))
    if request.temperature is not None:
        fields.append(("temperature", f"{request.temperature:g}"))
    if request.format == "diarized_json" and "diarize" not in request.extra:
        fields.append(("diarize", "true"))
    if request.prompt is not None:
        context.losses.report("spoken_prompt", "ElevenLabs takes no prompt", param="prompt")
    if request.include:
        context.losses.report("include", param="include")
    for name, value in request.extra.items():
        if name.removesuffix("[]") in _SUPPORTED:
            fields += [
                (name.removesuffix("[]"), one) for one in ([value] if isinstance(value, str) else value)
            ]
        else:
            context.losses.report("extra", param=name)
    return MediaRequest(form=Form(fields, request.file))


def decode_response(
    content: bytes,
    request: TranscriptionRequest,
    context: ClientContext,
    headers: Mapping[str, str],
) -> Transcript:
    """Read a whole answer; the channels of a multi-channel one are joined."""
    return _transcript(as_dict(whole_json(content)))


def stream_decoder(request: TranscriptionRequest, context: ClientContext) -> ElevenLabsTranscriptDecoder:
    """Return a decoder that takes the whole answer as its only frame."""
    return ElevenLabsTranscriptDecoder(speakers=request.format == "diarized_json")


class ElevenLabsTranscriptDecoder:
    """A whole answer as a stream of one frame."""

    def __init__(self, *, speakers: bool) -> None:
        self._speakers = speakers
        self._over = False

    def feed(self, event: str | None, data: Any) -> list[TranscriptEvent]:
        """Take the parsed answer."""
        if self._over:
            return []
        self._over = True
        return list(replay_transcript(_transcript(as_dict(data)), speakers=self._speakers))

    def done(self) -> list[TranscriptEvent]:
        """This wire has no ``[DONE]``."""
        return self.eof()

    def eof(self) -> list[TranscriptEvent]:
        """Nothing came: the answer was cut."""
        if self._over:
            return []
        self._over = True
        return [Failed(GatewayError("upstream_cut", "The provider's transcript did not come."))]


def _transcript(body: dict[str, Any]) -> Transcript:
    channels = dicts(body.get("transcripts"))
    if not channels and not isinstance(body.get("text"), str):
        raise GatewayError("upstream_invalid", "The provider's answer holds no transcript.", raw=body)
    if channels:
        words = sorted(
            (word for channel in channels for word in _words(channel)), key=lambda word: word.start
        )
        text = "\n".join(as_str(channel.get("text")) for channel in channels)
        language = opt_str(channels[0].get("language_code"))
    else:
        words, text, language = _words(body), as_str(body.get("text")), opt_str(body.get("language_code"))
    native = rest(body, _ANSWER_KNOWN)
    return Transcript(
        text=text,
        language=language,
        duration=number(body.get("audio_duration_secs")) or (words[-1].end if words else None),
        segments=segments_of(words),
        words=tuple(words),
        native=(NAME, native) if native else None,
    )


def _words(body: Mapping[str, Any]) -> list[Word]:
    """Spoken words only: spacing and sounds are in the text anyway."""
    words = [
        Word(
            number(entry.get("start")) or 0.0,
            number(entry.get("end")) or 0.0,
            as_str(entry.get("text")),
            opt_str(entry.get("speaker_id")),
        )
        for entry in dicts(body.get("words"))
        if entry.get("type", "word") == "word"
    ]
    return space_words(words, as_str(body.get("text")))


DIALECT: Final = TranscriptionDialect(
    name=NAME,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=stream_decoder,
    decode_error=decode_error,
)
