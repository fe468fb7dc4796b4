"""A transcript in the forms that OpenAI's transcription answers with: JSON and subtitles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from app.canonical.media import Segment, Transcript, Word
from app.dialects.media.audio_usage import encode_audio_usage

_SENTENCE_ENDS: Final = (".", "!", "?", "…", "。", "！", "？")
_MAX_CUE: Final = 84
"""Characters of a cue: two lines of 42, the usual limit of subtitles."""
_NEAR: Final = 200
"""Characters after the last word among which the next one is looked for."""
_PAUSE: Final = 1.0
"""Seconds of silence after which a new segment begins."""


class Cue(NamedTuple):
    """One subtitle: times in seconds."""

    start: float
    end: float
    text: str


def render(transcript: Transcript, form: str, granularities: Sequence[str] = ()) -> dict[str, Any] | str:
    """Return ``transcript`` in ``form``: an object for the JSON forms, else text.

    ``granularities`` say which timings a ``verbose_json`` holds; segments by default.
    """
    if form in _TEXTS:
        return _TEXTS[form](transcript)
    return _OBJECTS.get(form, _json)(transcript, granularities)


def media_type_of(form: str) -> str:
    """Return the content type of a form; subtitles are plain text, as OpenAI sends them."""
    return "text/plain; charset=utf-8" if form in _TEXTS else "application/json"


def segments_of(words: Sequence[Word]) -> tuple[Segment, ...]:
    """Join timed words to segments: by sentence, speaker, pause and length."""
    segments: list[Segment] = []
    held: list[Word] = []
    for word in words:
        if held and _starts_segment(held, word):
            segments.append(_segment(held))
            held = []
        held.append(word)
    return tuple([*segments, _segment(held)] if held else segments)


def _starts_segment(held: Sequence[Word], word: Word) -> bool:
    last = held[-1]
    length = sum(len(one.text) + one.spaced for one in held) + len(word.text)
    return (
        last.text.endswith(_SENTENCE_ENDS)
        or last.speaker != word.speaker
        or word.start - last.end >= _PAUSE
        or length > _MAX_CUE
    )


def _segment(words: Sequence[Word]) -> Segment:
    text = "".join(f" {word.text}" if word.spaced else word.text for word in words).strip()
    return Segment(words[0].start, words[-1].end, text, words[0].speaker)


def space_words(words: Iterable[Word], text: str) -> list[Word]:
    """Return words that know whether white space stands before them in ``text``: many languages
    have none. A word that is not found near its place counts as one with a space."""
    marked, at = [], 0
    for word in words:
        found = text.find(word.text, at, at + _NEAR + len(word.text)) if word.text else -1
        before = text[at:found]
        marked.append(replace(word, spaced=found < 0 or not at or before != before.rstrip()))
        at = found + len(word.text) if found >= 0 else at
    return marked


def duration_of(transcript: Transcript) -> float:
    """Return the duration in seconds: as told, else where the last timing ends, else 0."""
    if transcript.duration is not None:
        return transcript.duration
    ends = [*(one.end for one in transcript.segments), *(one.end for one in transcript.words)]
    return max(ends, default=0.0)


def _json(transcript: Transcript, granularities: Sequence[str]) -> dict[str, Any]:
    body: dict[str, Any] = {"text": transcript.text}
    if transcript.logprobs is not None:
        body["logprobs"] = [dict(token) for token in transcript.logprobs]
    return _with_usage(body, transcript)


def _verbose(transcript: Transcript, granularities: Sequence[str]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "task": "transcribe",
        "language": transcript.language or "",
        "duration": duration_of(transcript),
        "text": transcript.text,
    }
    if "word" in granularities:
        body["words"] = [
            {"word": word.text, "start": word.start, "end": word.end} for word in transcript.words
        ]
    if "segment" in granularities or not granularities:
        segments = transcript.segments or segments_of(transcript.words)
        body["segments"] = [encode_segment(segment, index) for index, segment in enumerate(segments)]
    return _with_usage(body, transcript)


def encode_segment(segment: Segment, index: int) -> dict[str, Any]:
    """Return a segment of ``verbose_json``; numbers the wire did not tell are left out."""
    body = {"id": index, "start": segment.start, "end": segment.end, "text": segment.text, **segment.native}
    return body if segment.speaker is None else {**body, "speaker": segment.speaker}


def _write_diarized(transcript: Transcript, granularities: Sequence[str]) -> dict[str, Any]:
    segments = transcript.segments or segments_of(transcript.words)
    body: dict[str, Any] = {
        "task": "transcribe",
        "duration": duration_of(transcript),
        "text": transcript.text,
        "segments": [encode_speech(segment, index) for index, segment in enumerate(segments)],
    }
    return _with_usage(body, transcript)


def encode_speech(segment: Segment, index: int) -> dict[str, Any]:
    """Return a segment of ``diarized_json``, which is also the event of a stream."""
    known = segment.native.get("id")
    return {
        "type": "transcript.text.segment",
        "id": known if isinstance(known, str) else f"seg_{index}",
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "speaker": segment.speaker or "",
    }


def _with_usage(body: dict[str, Any], transcript: Transcript) -> dict[str, Any]:
    usage = encode_audio_usage(transcript.usage)
    return body if usage is None else {**body, "usage": usage}


def _cues(transcript: Transcript) -> list[Cue]:
    """Segments as cues; without any timing the whole text is one cue."""
    segments: Iterable[Segment] = transcript.segments or segments_of(transcript.words)
    cues = [Cue(segment.start, segment.end, segment.text.strip()) for segment in segments]
    if not cues and transcript.text:
        return [Cue(0.0, duration_of(transcript), transcript.text.strip())]
    return cues


def _srt(transcript: Transcript) -> str:
    blocks = (
        f"{number}\n{_timestamp(cue.start, ',')} --> {_timestamp(cue.end, ',')}\n{cue.text}\n\n"
        for number, cue in enumerate(_cues(transcript), 1)
    )
    return "".join(blocks)


def _vtt(transcript: Transcript) -> str:
    """WebVTT; ``-->`` may not stand in a cue's text."""
    blocks = (
        f"{_timestamp(cue.start, '.')} --> {_timestamp(cue.end, '.')}\n{cue.text.replace('-->', '->')}\n\n"
        for cue in _cues(transcript)
    )
    return "WEBVTT\n\n" + "".join(blocks)


def _timestamp(seconds: float, point: str) -> str:
    """Return ``HH:MM:SS`` with milliseconds after ``point``."""
    total = max(0, round(seconds * 1000))
    hours, rest = divmod(total, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    whole, milliseconds = divmod(rest, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02}{point}{milliseconds:03}"


_TEXTS: Final[Mapping[str, Callable[[Transcript], str]]] = {
    "text": lambda transcript: f"{transcript.text}\n",
    "srt": _srt,
    "vtt": _vtt,
}
_OBJECTS: Final[Mapping[str, Callable[[Transcript, Sequence[str]], dict[str, Any]]]] = {
    "json": _json,
    "verbose_json": _verbose,
    "diarized_json": _write_diarized,
}

FORMS: Final = (*_OBJECTS, *_TEXTS)
"""What a client may ask for as ``response_format``."""
