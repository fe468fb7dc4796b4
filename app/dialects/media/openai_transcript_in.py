"""Transcripts as OpenAI's likes answer with them: whole, or as server-sent events.

Segments and words differ in small ways: ``speaker`` or ``speaker_id``, ``word`` or
``text``, times that may be null (recorded traffic of OpenAI, Groq and Mistral).
"""

from __future__ import annotations

import json
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
    TranscriptSegment,
    Word,
)
from app.dialects.chat.errors import failure_in
from app.dialects.media.audio_usage import decode_audio_usage
from app.dialects.media.subtitles import cues_in
from app.dialects.shared.lenient_json import as_dict, as_str, dicts, number, opt_str, rest, without_nulls
from app.errors import GatewayError

_SEGMENT_KNOWN: Final = frozenset({"start", "end", "text", "speaker", "speaker_id", "type"})
_ANSWER_KNOWN: Final = frozenset(
    {"text", "language", "duration", "segments", "words", "logprobs", "usage", "task", "type"}
)
_NAME: Final = "openai_transcription"


def decode_transcript(content: bytes) -> Transcript:
    """Read a whole answer; what is no JSON object is subtitles or the text itself.

    Raises the error that a 200 holds, and ``upstream_invalid`` for an object without text.
    """
    if not content.lstrip().startswith(b"{"):
        return _plain(content)
    try:
        body = json.loads(content)
    except ValueError:
        return _plain(content)
    failure = failure_in(body)
    if failure is not None:
        raise failure
    if not isinstance(body.get("text"), str):
        raise GatewayError("upstream_invalid", "The provider's answer holds no transcript.", raw=body)
    return transcript_of(body)


def _plain(content: bytes) -> Transcript:
    text = content.decode("utf-8", "replace").strip()
    cues = cues_in(text)
    return Transcript(" ".join(cue.text for cue in cues), segments=cues) if cues else Transcript(text)


def transcript_of(body: Mapping[str, Any]) -> Transcript:
    """Return the transcript that an object holds (a whole answer or a final event)."""
    logprobs = dicts(body.get("logprobs"))
    native = rest(body, _ANSWER_KNOWN)
    return Transcript(
        text=as_str(body.get("text")),
        language=opt_str(body.get("language")),
        duration=number(body.get("duration")),
        segments=tuple(segment_of(entry) for entry in dicts(body.get("segments"))),
        words=tuple(_word(entry) for entry in dicts(body.get("words"))),
        logprobs=tuple(logprobs) or None,
        usage=decode_audio_usage(body.get("usage")),
        native=(_NAME, native) if native else None,
    )


def segment_of(entry: Mapping[str, Any]) -> Segment:
    """Return a timed segment; times that are null count as 0."""
    return Segment(
        start=number(entry.get("start")) or 0.0,
        end=number(entry.get("end")) or 0.0,
        text=as_str(entry.get("text")),
        speaker=opt_str(entry.get("speaker")) or opt_str(entry.get("speaker_id")),
        native=rest(entry, _SEGMENT_KNOWN),
    )


def _word(entry: Mapping[str, Any]) -> Word:
    return Word(
        start=number(entry.get("start")) or 0.0,
        end=number(entry.get("end")) or 0.0,
        text=as_str(entry.get("word")) or as_str(entry.get("text")),
        speaker=opt_str(entry.get("speaker")) or opt_str(entry.get("speaker_id")),
    )


class OpenAITranscriptDecoder:
    """Events ``transcript.text.*`` (OpenAI) and ``transcription.*`` (Mistral)."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._segments: list[Segment] = []
        self._language: str | None = None
        self._over = False

    def feed(self, event: str | None, data: Any) -> list[TranscriptEvent]:
        """Take one frame; events of other types are passed over."""
        if self._over:
            return []
        frame = as_dict(data)
        failure = failure_in(frame)
        if failure is not None:
            self._over = True
            return [Failed(failure)]
        reader = _READERS.get(as_str(frame.get("type"), event or ""))
        return reader(self, frame) if reader else []

    def done(self) -> list[TranscriptEvent]:
        """Take ``[DONE]``, which follows the final event."""
        return self.eof()

    def eof(self) -> list[TranscriptEvent]:
        """A stream that ends before its final event was cut."""
        if self._over:
            return []
        self._over = True
        return [Failed(GatewayError("upstream_cut", "The provider's transcript ended before it was done."))]

    def _delta(self, frame: dict[str, Any]) -> list[TranscriptEvent]:
        text = as_str(frame.get("delta")) or as_str(frame.get("text"))
        self._texts.append(text)
        logprobs = tuple(dicts(frame.get("logprobs"))) or None
        return [TranscriptDelta(text, logprobs, opt_str(frame.get("segment_id")))]

    def _segment(self, frame: dict[str, Any]) -> list[TranscriptEvent]:
        segment = segment_of(frame)
        self._segments.append(segment)
        return [TranscriptSegment(segment)]

    def _read_language(self, frame: dict[str, Any]) -> list[TranscriptEvent]:
        self._language = opt_str(frame.get("audio_language"))
        return []

    def _done(self, frame: dict[str, Any]) -> list[TranscriptEvent]:
        self._over = True
        whole = transcript_of(
            {"text": "".join(self._texts), "language": self._language, **without_nulls(frame)}
        )
        if not whole.segments and self._segments:
            whole = replace(whole, segments=tuple(self._segments))
        return [TranscriptDone(whole)]


_Reader = Callable[[OpenAITranscriptDecoder, dict[str, Any]], list[TranscriptEvent]]
_READERS: Final[Mapping[str, _Reader]] = {
    "transcript.text.delta": OpenAITranscriptDecoder._delta,
    "transcript.text.segment": OpenAITranscriptDecoder._segment,
    "transcript.text.done": OpenAITranscriptDecoder._done,
    "transcription.text.delta": OpenAITranscriptDecoder._delta,
    "transcription.segment": OpenAITranscriptDecoder._segment,
    "transcription.language": OpenAITranscriptDecoder._read_language,
    "transcription.done": OpenAITranscriptDecoder._done,
}
