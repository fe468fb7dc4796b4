"""OpenAI's transcription, server half and the request of the client half.

Multipart fields in, a form of the transcript out. Timed forms (subtitles, verbose_json)
are rendered here, from what the wire's own timed form tells, so they work alike for all
providers; a wire without timings refuses them.
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
from app.dialects.media.audio_usage import encode_audio_usage
from app.dialects.media.multipart import Form
from app.dialects.media.openai_transcript_in import OpenAITranscriptDecoder, decode_transcript
from app.dialects.media.transcripts import FORMS, encode_speech, render
from app.dialects.shared.losses import Losses
from app.dialects.shared.strict_json import missing, wrong_type, wrong_value
from app.errors import GatewayError

NAME: Final = "openai_transcription"

_KNOWN: Final = frozenset(
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
    """Quirks of one wire.

    ``formats``: the values of ``response_format`` it has, none where it has no such
    member; ``by_model`` (pattern, formats) goes before. ``members``: the optional fields
    it knows. ``granular``: timings come by ``timestamp_granularities[]`` alone.
    ``diarize``: the field that asks for speakers. ``language``: what a required language
    defaults to. ``mute``: pattern of models that cannot stream.
    """

    formats: frozenset[str] = frozenset({"json", "verbose_json"})
    by_model: tuple[tuple[str, frozenset[str]], ...] = ()
    members: frozenset[str] = frozenset(
        {"language", "prompt", "temperature", "granularities", "include", "stream"}
    )
    granular: bool = False
    diarize: str | None = None
    language: str | None = None
    mute: str = r"whisper"

    def formats_of(self, model: str) -> frozenset[str]:
        """Return the formats that ``model`` makes."""
        return next((found for pattern, found in self.by_model if re.search(pattern, model)), self.formats)


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
    mute=r"$^",
)
COHERE: Final = TranscriptionOptions(
    formats=frozenset(), members=frozenset({"language", "temperature"}), language="en"
)
OPENROUTER: Final = TranscriptionOptions(formats=frozenset(), members=frozenset({"language", "temperature"}))


def decode_request(fields: Fields, file: Upload | None, context: ServerContext) -> TranscriptionRequest:
    """Read a client's form; repeated fields may be named with or without ``[]``.

    Raises ``bad_request`` naming the field that is wrong.
    """
    if file is None:
        raise missing("file")
    if not file.data:
        raise GatewayError("bad_request", "Invalid 'file': it is empty.", param="file", code="invalid_value")
    form = _Fields(fields)
    chosen = form.one("response_format") or "json"
    if chosen not in FORMS:
        raise wrong_value("response_format", chosen, ", ".join(f"'{known}'" for known in FORMS))
    return TranscriptionRequest(
        model=form.one("model") or context.model or "",
        file=file,
        language=form.one("language"),
        prompt=form.one("prompt"),
        format=chosen,
        temperature=form.number("temperature"),
        granularities=form.choices("timestamp_granularities", _GRANULARITIES),
        include=form.all("include"),
        stream=form.flag("stream"),
        extra=form.rest(),
        origin=Origin(NAME, dict(fields)),
    )


def encode_response(transcript: Transcript, request: TranscriptionRequest) -> dict[str, Any] | str:
    """Return the answer in the form asked for; its content type is ``media_type_of(form)``."""
    return render(transcript, request.format, request.granularities)


def encode_request(request: TranscriptionRequest, context: ClientContext) -> MediaRequest:
    """Return the form; what the wire lacks is reported or refused."""
    options, losses = _options(context), context.losses
    fields = [("model", context.model), *_text_response(request, options, losses)]
    fields += _form_of(request, options, context)
    streams = request.stream and "stream" in options.members and not re.search(options.mute, context.model)
    if streams:
        fields.append(("stream", "true"))
    for name, values in request.extra.items():
        fields += [(name, value) for value in ([values] if isinstance(values, str) else values)]
    return MediaRequest(form=Form(fields, request.file), framing="sse" if streams else "json")


def decode_response(
    content: bytes,
    request: TranscriptionRequest,
    context: ClientContext,
    headers: Mapping[str, str],
) -> Transcript:
    """Read a whole answer: a JSON object, or text as it is."""
    return decode_transcript(content)


def stream_decoder(request: TranscriptionRequest, context: ClientContext) -> OpenAITranscriptDecoder:
    """Return a decoder for one stream."""
    return OpenAITranscriptDecoder()


class TranscriptEncoder:
    """Events to OpenAI's frames; its streams end with ``[DONE]`` (recorded traffic)."""

    def __init__(self) -> None:
        self._segments = 0

    def feed(self, event: TranscriptEvent) -> list[Frame]:
        """Return the frames that ``event`` makes."""
        if isinstance(event, TranscriptDelta):
            return [Frame(None, _delta(event))]
        if isinstance(event, TranscriptSegment):
            self._segments += 1
            return [Frame(None, encode_speech(event.segment, self._segments - 1))]
        if isinstance(event, Failed):
            return error_frames(event.error)
        return [Frame(None, _done(event.transcript)), DONE]


class _Fields:
    """The fields of a form by name, ``name[]`` and ``name`` being one."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of a field, in order."""
        return tuple(value for key, value in self._fields if key.removesuffix("[]") == name and value)

    def one(self, name: str) -> str | None:
        """Return the last value of a field, None when absent or empty."""
        values = self.all(name)
        return values[-1] if values else None

    def number(self, name: str) -> float | None:
        """Return a field that is a finite number."""
        text = self.one(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError as error:
            raise wrong_type(name, "a number", text) from error
        if not math.isfinite(value):
            raise wrong_type(name, "a number", text)
        return value

    def flag(self, name: str) -> bool:
        """Return a field that is ``true`` or ``false``; absent is False."""
        text = self.one(name)
        if text is None:
            return False
        if text.lower() not in _FLAGS:
            raise wrong_type(name, "a boolean", text)
        return _FLAGS[text.lower()]

    def choices(self, name: str, known: frozenset[str]) -> tuple[str, ...]:
        """Return values that must be among ``known``."""
        values = self.all(name)
        for value in values:
            if value not in known:
                raise wrong_value(name, value, " and ".join(f"'{one}'" for one in sorted(known)))
        return values

    def rest(self) -> dict[str, str | list[str]]:
        """Return unknown fields under their own names; those named ``…[]`` as lists."""
        found: dict[str, str | list[str]] = {}
        for name, value in self._fields:
            if name.removesuffix("[]") in _KNOWN:
                continue
            known = found.get(name)
            if isinstance(known, list):
                known.append(value)
            else:
                found[name] = [value] if name.endswith("[]") else value
        return found


def _text_response(
    request: TranscriptionRequest, options: TranscriptionOptions, losses: Losses
) -> list[tuple[str, str]]:
    """Language, prompt, temperature and includes, as far as the wire has them."""
    members = {
        "language": request.language,
        "prompt": request.prompt,
        "temperature": None if request.temperature is None else f"{request.temperature:g}",
    }
    if request.language is None and options.language is not None:
        members["language"] = options.language
        losses.report("language", f"This model must be told a language; '{options.language}' was sent")
    fields = []
    for name, value in members.items():
        if value is not None and name in options.members:
            fields.append((name, value))
        elif value is not None:
            losses.report(f"spoken_{name}", param=name)
    if request.include and "include" not in options.members:
        losses.report("include", param="include")
        return fields
    return [*fields, *(("include[]", value) for value in request.include)]


def _form_of(
    request: TranscriptionRequest, options: TranscriptionOptions, context: ClientContext
) -> list[tuple[str, str]]:
    """What asks for the client's form, or for what it can be rendered from."""
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
    body: dict[str, Any] = {"type": "transcript.text.delta", "delta": event.text}
    if event.logprobs is not None:
        body["logprobs"] = [dict(token) for token in event.logprobs]
    return body if event.segment_id is None else {**body, "segment_id": event.segment_id}


def _done(transcript: Transcript) -> dict[str, Any]:
    body: dict[str, Any] = {"type": "transcript.text.done", "text": transcript.text}
    if transcript.logprobs is not None:
        body["logprobs"] = [dict(token) for token in transcript.logprobs]
    usage = encode_audio_usage(transcript.usage)
    return body if usage is None else {**body, "usage": usage}


def _options(context: ClientContext) -> TranscriptionOptions:
    return context.options if isinstance(context.options, TranscriptionOptions) else OPENAI


DIALECT: Final = TranscriptionDialect(
    name=NAME,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=stream_decoder,
    decode_error=decode_error,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=TranscriptEncoder,
)
