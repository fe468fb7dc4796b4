"""ElevenLabs' speech to text: the request is a form, the response has words with times (client half).

Segments are made of the words, since the API has none. Source: recorded
traffic (words of type ``word``, ``spacing`` and ``audio_event``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.media import (
    Transcript,
    TranscriptEvent,
    TranscriptionRequest,
    Word,
)
from app.dialects.base import ClientContext
from app.dialects.media.audio import (
    MediaDecoder,
    MediaRequest,
    TranscriptionDialect,
    cut_stream,
    replay_transcript,
    whole_json,
)
from app.dialects.media.elevenlabs_errors import decode_error
from app.dialects.media.multipart import Form
from app.dialects.media.transcripts import segments_of, space_words
from app.dialects.media.usage import transcript_usage
from app.dialects.shared.lenient_json import as_dict, as_str, dicts, number, opt_str, rest, without_nulls
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
        "entity_redaction",
        "entity_redaction_mode",
        "keyterms",
        "multichannel_output_style",
        "no_verbatim",
        "numbers_format",
        "secondary_language_codes",
        "source_url",
        "transcript_edit",
        "detect_speaker_roles",
        "use_speaker_library",
    }
)
_CANONICAL: Final = frozenset({"text", "language_code", "words", "transcripts", "audio_duration_secs"})


def encode_request(request: TranscriptionRequest, context: ClientContext) -> MediaRequest:
    """Return the form; the client's format decides whether speakers are requested."""
    diarize = request.format == "diarized_json" and "diarize" not in request.extra
    optional = {
        "language_code": request.language,
        "temperature": None if request.temperature is None else f"{request.temperature:g}",
        "diarize": "true" if diarize else None,
    }
    fields = [("model_id", context.model), *without_nulls(optional).items()]
    if request.prompt is not None:
        context.losses.report("spoken_prompt", "ElevenLabs takes no prompt", param="prompt")
    if request.include:
        context.losses.report("include", param="include")
    for name, value in request.extra.items():
        field, values = name.removesuffix("[]"), [value] if isinstance(value, str) else value
        if field in _SUPPORTED:
            fields += [(field, one) for one in values]
        else:
            context.losses.report("extra", param=name)
    return MediaRequest(form=Form(fields, request.file))


class ElevenLabsTranscriptDecoder(MediaDecoder[TranscriptEvent]):
    """Decode a response as a stream of one frame."""

    def __init__(self, request: TranscriptionRequest, context: ClientContext) -> None:
        super().__init__()
        self._speakers = request.format == "diarized_json"

    def _decode(self, event: str | None, data: Any) -> list[TranscriptEvent]:
        self._over = True
        return list(replay_transcript(_transcript(as_dict(data)), speakers=self._speakers))

    def _finish(self) -> list[TranscriptEvent]:
        return [cut_stream("The provider's transcript did not come.")]


def _transcript(body: dict[str, Any]) -> Transcript:
    channels = dicts(body.get("transcripts"))
    if not channels and not isinstance(body.get("text"), str):
        raise GatewayError("upstream_invalid", "The provider's answer holds no transcript.", raw=body)
    words = [word for channel in channels or [body] for word in _words(channel)]
    if channels:
        words.sort(key=lambda word: word.start)
    native, duration = rest(body, _CANONICAL), number(body.get("audio_duration_secs"))
    return Transcript(
        text="\n".join(as_str(channel.get("text")) for channel in channels or [body]),
        language=opt_str((channels or [body])[0].get("language_code")),
        duration=duration or (words[-1].end if words else None),
        segments=segments_of(words),
        words=tuple(words),
        usage=transcript_usage(None, duration, ""),
        native=(NAME, native) if native else None,
    )


def _words(body: Mapping[str, Any]) -> list[Word]:
    """Return the spoken words; the text has the spacing and sounds."""
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
    decode_response=lambda content, request, context, headers: _transcript(
        as_dict(whole_json(content, context))
    ),
    stream_decoder=ElevenLabsTranscriptDecoder,
    decode_error=decode_error,
)
