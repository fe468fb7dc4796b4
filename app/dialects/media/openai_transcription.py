"""OpenAI's transcription, server half and requests of the client half.

The request is a form, the response a transcript in one of several formats. Formats with times
(subtitles, verbose_json) are made here from a provider's own format with times, so that they
are the same for all providers; a provider without times refuses them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from app.canonical.events import Failed
from app.canonical.media import (
    Transcript,
    TranscriptDelta,
    TranscriptEvent,
    TranscriptionRequest,
    TranscriptSegment,
    Upload,
)
from app.canonical.record import record
from app.canonical.request import Origin
from app.dialects.base import DONE, ClientContext, Frame, ServerContext
from app.dialects.chat.errors import decode_error
from app.dialects.media.audio import Fields, MediaRequest, TranscriptionDialect, error_frames
from app.dialects.media.multipart import Form
from app.dialects.media.openai_transcript_in import OpenAITranscriptDecoder, decode_transcript
from app.dialects.media.transcripts import FORMATS, encode_speech, further_members, logprobs_members, render
from app.dialects.shared.lenient_json import without_nulls
from app.dialects.shared.losses import Losses
from app.dialects.shared.strict_json import invalid, missing, wrong_type, wrong_value

NAME: Final = "openai_transcription"

_CANONICAL: Final = frozenset(
    {
        "model",
        "language",
        "prompt",
        "response_format",
        "temperature",
        "timestamp_granularities",
        "include",
        "stream",
        "fallbacks",
    }
)
_FLAGS: Final[Mapping[str, bool]] = {"true": True, "false": False}
_GRANULARITIES: Final = frozenset({"word", "segment"})
_TIMED: Final = frozenset({"verbose_json", "srt", "vtt"})


@record
class TranscriptionOptions:
    """Quirks of one provider.

    ``formats``: its values of ``response_format``, none without that field; ``by_model`` (pattern,
    formats) takes precedence. ``members``: its optional fields. ``granular``: times are requested by
    ``timestamp_granularities[]`` alone. ``diarize``: the field that requests speakers.
    ``language``: the default of a required language. ``no_streams``: pattern of models that cannot
    stream.
    """

    formats: frozenset[str] = frozenset({"json", "verbose_json"})
    by_model: tuple[tuple[str, frozenset[str]], ...] = ()
    members: frozenset[str] = frozenset(
        {"language", "prompt", "temperature", "granularities", "include", "stream"}
    )
    granular: bool = False
    diarize: str | None = None
    language: str | None = None
    no_streams: str = r"whisper"

    def formats_of(self, model: str) -> frozenset[str]:
        """Return the formats of ``model``."""
        return next(
            (formats for pattern, formats in self.by_model if re.search(pattern, model)), self.formats
        )


OPENAI: Final = TranscriptionOptions(
    by_model=(
        (r"diarize", frozenset({"json", "text", "diarized_json"})),
        (r"gpt-\S*transcribe", frozenset({"json"})),
    )
)
GROQ: Final = TranscriptionOptions(members=frozenset({"language", "prompt", "temperature", "granularities"}))
MISTRAL: Final = TranscriptionOptions(
    formats=frozenset(),
    members=frozenset({"language", "temperature", "granularities", "stream"}),
    granular=True,
    diarize="diarize",
    no_streams=r"$^",
)
COHERE: Final = TranscriptionOptions(
    formats=frozenset(), members=frozenset({"language", "temperature"}), language="en"
)
OPENROUTER: Final = TranscriptionOptions(formats=frozenset(), members=frozenset({"language", "temperature"}))


def decode_request(fields: Fields, file: Upload | None, context: ServerContext) -> TranscriptionRequest:
    """Return the canonical request of a form; names of repeated fields may end with ``[]``.

    Raises ``bad_request`` with the name of a wrong field.
    """
    if file is None:
        raise missing("file")
    if not file.data:
        raise invalid("file", "it is empty.")
    form = _Fields(fields)
    response_format = form.one("response_format") or "json"
    if response_format not in FORMATS:
        raise wrong_value("response_format", response_format, ", ".join(f"'{name}'" for name in FORMATS))
    return TranscriptionRequest(
        model=form.one("model") or context.model or "",
        file=file,
        language=form.one("language"),
        prompt=form.one("prompt"),
        format=response_format,
        temperature=form.number("temperature"),
        granularities=form.choices("timestamp_granularities", _GRANULARITIES),
        include=form.all("include"),
        stream=form.flag("stream"),
        extra=form.rest(),
        origin=Origin(NAME, dict(fields)),
    )


def encode_request(request: TranscriptionRequest, context: ClientContext) -> MediaRequest:
    """Return the form; what the provider does not support is reported or refused."""
    options = context.options if isinstance(context.options, TranscriptionOptions) else OPENAI
    fields = [("model", context.model), *_optional_fields(request, options, context.losses)]
    fields += _format_fields(request, options, context)
    streams = (
        request.stream and "stream" in options.members and not re.search(options.no_streams, context.model)
    )
    if streams:
        fields.append(("stream", "true"))
    for name, values in request.extra.items():
        fields += [(name, value) for value in ([values] if isinstance(values, str) else values)]
    return MediaRequest(form=Form(fields, request.file), framing="sse" if streams else "json")


class TranscriptEncoder:
    """Encode events as OpenAI's frames; a stream ends with ``[DONE]`` (recorded traffic)."""

    def __init__(self) -> None:
        self._segments = 0

    def feed(self, event: TranscriptEvent) -> list[Frame]:
        """Return the frames of ``event``."""
        if isinstance(event, TranscriptDelta):
            return [Frame(None, _delta(event))]
        if isinstance(event, TranscriptSegment):
            self._segments += 1
            return [Frame(None, encode_speech(event.segment, self._segments - 1))]
        if isinstance(event, Failed):
            return error_frames(event.error)
        return [Frame(None, _done(event.transcript)), DONE]


class _Fields:
    """The fields of a form by name; ``name[]`` is the same as ``name``."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of a field, in order."""
        return tuple(value for key, value in self._fields if key.removesuffix("[]") == name and value)

    def one(self, name: str) -> str | None:
        """Return the last value of a field, None if it is absent or empty."""
        return next(reversed(self.all(name)), None)

    def number(self, name: str) -> float | None:
        """Return a field that must be a finite number."""
        text = self.one(name)
        try:
            value = None if text is None else float(text)
        except ValueError as error:
            raise wrong_type(name, "a number", text) from error
        if value is not None and not math.isfinite(value):
            raise wrong_type(name, "a number", text)
        return value

    def flag(self, name: str) -> bool:
        """Return a field that must be ``true`` or ``false``, False if it is absent."""
        text = self.one(name) or "false"
        if text.lower() not in _FLAGS:
            raise wrong_type(name, "a boolean", text)
        return _FLAGS[text.lower()]

    def choices(self, name: str, options: frozenset[str]) -> tuple[str, ...]:
        """Return the values of a field, which must be among ``options``."""
        values = self.all(name)
        for value in values:
            if value not in options:
                raise wrong_value(name, value, " and ".join(f"'{one}'" for one in sorted(options)))
        return values

    def rest(self) -> dict[str, str | list[str]]:
        """Return the unknown fields; those named ``…[]`` are lists."""
        unknown = [(name, value) for name, value in self._fields if name.removesuffix("[]") not in _CANONICAL]
        lists = {name: [value for other, value in unknown if other == name] for name, _ in unknown}
        return {name: values if name.endswith("[]") else values[-1] for name, values in lists.items()}


def _optional_fields(
    request: TranscriptionRequest, options: TranscriptionOptions, losses: Losses
) -> list[tuple[str, str]]:
    """Return language, prompt, temperature and includes that the provider supports."""
    members = {
        "language": request.language,
        "prompt": request.prompt,
        "temperature": None if request.temperature is None else f"{request.temperature:g}",
    }
    if request.language is None and options.language is not None:
        members["language"] = options.language
        losses.report("language", f"This model requires a language; '{options.language}' was sent")
    present = [(name, value) for name, value in members.items() if value is not None]
    fields = [(name, value) for name, value in present if name in options.members]
    for name, _ in present:
        if name not in options.members:
            losses.report(f"spoken_{name}", param=name)
    if request.include and "include" not in options.members:
        losses.report("include", param="include")
        return fields
    return [*fields, *(("include[]", value) for value in request.include)]


def _format_fields(
    request: TranscriptionRequest, options: TranscriptionOptions, context: ClientContext
) -> list[tuple[str, str]]:
    """Return the fields that request the client's format, or one that it can be made of."""
    formats = options.formats_of(context.model)
    granularities = request.granularities
    if request.format == "diarized_json":
        return _diarization(options, formats, context.losses)
    if request.format in _TIMED and "verbose_json" in formats:
        if request.format != "verbose_json" and "granularities" in options.members:
            granularities = ("segment",)
        fields = [("response_format", "verbose_json")]
    elif request.format in _TIMED and options.granular:
        fields, granularities = [], granularities[:1] or ("segment",)
    elif request.format in _TIMED:
        context.losses.report("transcript_format", param="response_format")
        return []
    else:
        fields = [("response_format", "json")] if "json" in formats else []
    if granularities and "granularities" not in options.members:
        context.losses.report("timestamp_granularities", param="timestamp_granularities")
        return fields
    return [*fields, *(("timestamp_granularities[]", value) for value in granularities)]


def _diarization(
    options: TranscriptionOptions, formats: frozenset[str], losses: Losses
) -> list[tuple[str, str]]:
    if "diarized_json" in formats:
        return [("response_format", "diarized_json")]
    if options.diarize is None:
        losses.report("transcript_format", param="response_format")
        return []
    granular = [("timestamp_granularities[]", "segment")] if options.granular else []
    return [(options.diarize, "true"), *granular]


def _delta(event: TranscriptDelta) -> dict[str, Any]:
    segment = without_nulls({"segment_id": event.segment_id})
    return {
        "type": "transcript.text.delta",
        "delta": event.text,
        **logprobs_members(event.logprobs),
        **segment,
    }


def _done(transcript: Transcript) -> dict[str, Any]:
    text = {"type": "transcript.text.done", "text": transcript.text}
    return {**text, **logprobs_members(transcript.logprobs), **further_members(transcript)}


DIALECT: Final = TranscriptionDialect(
    name=NAME,
    encode_request=encode_request,
    decode_response=lambda content, request, context, headers: decode_transcript(
        content, headers, context.loads
    ),
    stream_decoder=OpenAITranscriptDecoder,
    decode_error=decode_error,
    decode_request=decode_request,
    encode_response=lambda transcript, request: render(transcript, request.format, request.granularities),
    stream_encoder=TranscriptEncoder,
)
