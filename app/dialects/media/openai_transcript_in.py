"""Decode transcripts in the formats of OpenAI, Groq and Mistral: responses and server-sent events (client half).

Segments and words have ``speaker`` or ``speaker_id``, ``word`` or ``text``, and times that may
be null (recorded traffic).
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.events import Failed
from app.canonical.media import (
    Segment,
    Transcript,
    TranscriptDelta,
    TranscriptDone,
    TranscriptEvent,
    TranscriptionRequest,
    TranscriptSegment,
    Word,
)
from app.dialects.base import ClientContext
from app.dialects.chat.errors import failure_in
from app.dialects.media.audio import MediaDecoder, cut_stream, is_json
from app.dialects.media.transcripts import cues_in
from app.dialects.media.usage import transcript_usage
from app.dialects.shared.lenient_json import as_dict, as_str, dicts, number, opt_str, rest, without_nulls
from app.errors import GatewayError

_CANONICAL_SEGMENT: Final = frozenset({"start", "end", "text", "speaker", "speaker_id", "type"})
_CANONICAL: Final = frozenset(
    {"text", "language", "duration", "segments", "words", "logprobs", "usage", "task", "type"}
)
_NAME: Final = "openai_transcription"
_LEAD: Final = 16
_PAGES: Final = (b"<!doctype html", b"<html")


def decode_transcript(
    content: bytes, headers: Mapping[str, str], loads: Callable[[bytes], Any]
) -> Transcript:
    """Return the transcript of a response: a JSON object, or a string of JSON, subtitles, or a text.

    Raises the error that a response of status 200 holds, and ``upstream_invalid`` for JSON
    without a text and for a web page.
    """
    content = content.removeprefix(BOM_UTF8).strip()
    says_json = is_json(headers)
    try:
        body = loads(content or b"null") if says_json or content.startswith(b"{") else None
    except ValueError:
        return _plain(content)
    if isinstance(body, str) or not says_json and body is None:
        return _plain(content if body is None else body.encode())
    if (failure := failure_in(body)) is not None:
        raise failure
    if not isinstance(as_dict(body).get("text"), str):
        raise GatewayError("upstream_invalid", "The provider's answer holds no transcript.", raw=body)
    return transcript_of(as_dict(body))


def _plain(content: bytes) -> Transcript:
    if content[:_LEAD].lower().startswith(_PAGES):  # by its beginning: some servers call any text a page
        raise GatewayError("upstream_invalid", "The provider answered with an HTML page.", raw=content[:4096])
    text = content.decode("utf-8", "replace").strip()
    cues = cues_in(text)
    return Transcript(" ".join(cue.text for cue in cues), segments=cues) if cues else Transcript(text)


def transcript_of(body: Mapping[str, Any]) -> Transcript:
    """Return the transcript of an object: a response or a final event."""
    logprobs = dicts(body.get("logprobs"))
    native = rest(body, _CANONICAL)
    duration = number(body.get("duration"))
    return Transcript(
        text=as_str(body.get("text")),
        language=opt_str(body.get("language")),
        duration=duration,
        segments=tuple(segment_of(entry) for entry in dicts(body.get("segments"))),
        words=tuple(_word(entry) for entry in dicts(body.get("words"))),
        logprobs=tuple(logprobs) or None,
        usage=transcript_usage(body.get("usage"), duration, as_str(body.get("text"))),
        native=(_NAME, native) if native else None,
    )


def segment_of(entry: Mapping[str, Any]) -> Segment:
    """Return a timed segment; times that are null count as 0."""
    return Segment(
        start=number(entry.get("start")) or 0.0,
        end=number(entry.get("end")) or 0.0,
        text=as_str(entry.get("text")),
        speaker=opt_str(entry.get("speaker")) or opt_str(entry.get("speaker_id")),
        native=rest(entry, _CANONICAL_SEGMENT),
    )


def _word(entry: Mapping[str, Any]) -> Word:
    return Word(
        start=number(entry.get("start")) or 0.0,
        end=number(entry.get("end")) or 0.0,
        text=as_str(entry.get("word")) or as_str(entry.get("text")),
        speaker=opt_str(entry.get("speaker")) or opt_str(entry.get("speaker_id")),
    )


class OpenAITranscriptDecoder(MediaDecoder[TranscriptEvent]):
    """Decode events ``transcript.text.*`` (OpenAI) and ``transcription.*`` (Mistral); others are ignored."""

    def __init__(self, request: TranscriptionRequest, context: ClientContext) -> None:
        super().__init__()
        self._texts: list[str] = []
        self._segments: list[Segment] = []
        self._language: str | None = None

    def _decode(self, event: str | None, data: Any) -> list[TranscriptEvent]:
        frame = as_dict(data)
        if (failure := failure_in(frame)) is not None:
            return self._end(Failed(failure))
        method = _METHODS.get(as_str(frame.get("type"), event or ""))
        return method(self, frame) if method else []

    def _finish(self) -> list[TranscriptEvent]:
        return [cut_stream("The provider's transcript ended before it was done.")]

    def _delta(self, frame: dict[str, Any]) -> list[TranscriptEvent]:
        text = as_str(frame.get("delta")) or as_str(frame.get("text"))
        self._texts.append(text)
        logprobs = tuple(dicts(frame.get("logprobs"))) or None
        return [TranscriptDelta(text, logprobs, opt_str(frame.get("segment_id")))]

    def _segment(self, frame: dict[str, Any]) -> list[TranscriptEvent]:
        segment = segment_of(frame)
        self._segments.append(segment)
        return [TranscriptSegment(segment)]

    def _take_language(self, frame: dict[str, Any]) -> list[TranscriptEvent]:
        self._language = opt_str(frame.get("audio_language"))
        return []

    def _done(self, frame: dict[str, Any]) -> list[TranscriptEvent]:
        so_far = {"text": "".join(self._texts), "language": self._language}
        transcript = transcript_of({**so_far, **without_nulls(frame)})
        segments = transcript.segments or tuple(self._segments)
        return self._end(TranscriptDone(replace(transcript, segments=segments)))


_Method = Callable[[OpenAITranscriptDecoder, dict[str, Any]], list[TranscriptEvent]]
_METHODS: Final[Mapping[str, _Method]] = {
    "transcript.text.delta": OpenAITranscriptDecoder._delta,
    "transcript.text.segment": OpenAITranscriptDecoder._segment,
    "transcript.text.done": OpenAITranscriptDecoder._done,
    "transcription.text.delta": OpenAITranscriptDecoder._delta,
    "transcription.segment": OpenAITranscriptDecoder._segment,
    "transcription.language": OpenAITranscriptDecoder._take_language,
    "transcription.done": OpenAITranscriptDecoder._done,
}
