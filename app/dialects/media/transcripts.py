"""Encode a transcript in the formats of OpenAI's transcription, JSON and subtitles; decode a provider's subtitles."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from app.canonical.media import Segment, Transcript, Word
from app.dialects.media.usage import encode_audio_usage
from app.dialects.shared.lenient_json import without_nulls

_SENTENCE_ENDS: Final = (".", "!", "?", "…", "。", "！", "？")
_MAX_CUE: Final = 84
"""Characters of a cue: two lines of 42, the common limit of subtitles."""
_SEARCH_LENGTH: Final = 200
"""Characters after a word in which the next word is searched."""
_PAUSE: Final = 1.0
"""Seconds of silence after which a new segment begins."""


class Cue(NamedTuple):
    """One subtitle; times are seconds."""

    start: float
    end: float
    text: str


def render(transcript: Transcript, form: str, granularities: Sequence[str] = ()) -> dict[str, Any] | str:
    """Return ``transcript`` in the format ``form``: an object for JSON, else a text.

    ``granularities`` are the times in a ``verbose_json``, by default those of segments.
    """
    if form in _TEXTS:
        return _TEXTS[form](transcript)
    return _OBJECTS.get(form, _json)(transcript, granularities)


def media_type_of(form: str) -> str:
    """Return the content type of a format; OpenAI sends subtitles as plain text."""
    return "text/plain; charset=utf-8" if form in _TEXTS else "application/json"


def segments_of(words: Sequence[Word]) -> tuple[Segment, ...]:
    """Return segments of words, divided by sentence, speaker, pause and length."""
    groups: list[list[Word]] = []
    for word in words:
        if not groups or _starts_segment(groups[-1], word):
            groups.append([])
        groups[-1].append(word)
    return tuple(map(_segment, groups))


def _starts_segment(segment: Sequence[Word], word: Word) -> bool:
    last = segment[-1]
    length = sum(len(one.text) + one.spaced for one in segment) + len(word.text)
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
    """Return words with ``spaced`` set by whether ``text`` has white space before them.

    Many languages have none. A word that is not found is spaced.
    """
    result, at = [], 0
    for word in words:
        position = text.find(word.text, at, at + _SEARCH_LENGTH + len(word.text)) if word.text else -1
        before = text[at:position]
        result.append(replace(word, spaced=position < 0 or not at or before != before.rstrip()))
        at = position + len(word.text) if position >= 0 else at
    return result


def duration_of(transcript: Transcript) -> float:
    """Return the duration in seconds: the reported one, else the end of the last segment or word, else 0."""
    if transcript.duration is not None:
        return transcript.duration
    ends = [*(one.end for one in transcript.segments), *(one.end for one in transcript.words)]
    return max(ends, default=0.0)


def _json(transcript: Transcript, granularities: Sequence[str]) -> dict[str, Any]:
    return {"text": transcript.text, **logprobs_members(transcript.logprobs), **further_members(transcript)}


def logprobs_members(logprobs: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """Return the member ``logprobs``, none without log probabilities."""
    return {} if logprobs is None else {"logprobs": [dict(token) for token in logprobs]}


def further_members(transcript: Transcript) -> dict[str, Any]:
    """Return the provider's further members, and ``usage`` if it is known."""
    own = {} if transcript.native is None else transcript.native[1]
    return {**own, **without_nulls({"usage": encode_audio_usage(transcript.usage)})}


def _verbose(transcript: Transcript, granularities: Sequence[str]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "task": "transcribe",
        "language": transcript.language or "",
        "duration": duration_of(transcript),
        "text": transcript.text,
    }
    if "word" in granularities:
        body["words"] = [
            without_nulls({"word": one.text, "start": one.start, "end": one.end, "speaker": one.speaker})
            for one in transcript.words
        ]
    if "segment" in granularities or not granularities:
        body["segments"] = [encode_segment(one, at) for at, one in enumerate(_segments(transcript))]
    return {**body, **further_members(transcript)}


def _segments(transcript: Transcript) -> tuple[Segment, ...]:
    return transcript.segments or segments_of(transcript.words)


def encode_segment(segment: Segment, index: int) -> dict[str, Any]:
    """Return a segment of ``verbose_json``, with the further members that the provider reported."""
    times = {"id": index, "start": segment.start, "end": segment.end}
    return {**times, "text": segment.text, **segment.native, **without_nulls({"speaker": segment.speaker})}


def _diarized(transcript: Transcript, granularities: Sequence[str]) -> dict[str, Any]:
    return {
        "task": "transcribe",
        "duration": duration_of(transcript),
        "text": transcript.text,
        "segments": [encode_speech(one, at) for at, one in enumerate(_segments(transcript))],
        **further_members(transcript),
    }


def encode_speech(segment: Segment, index: int) -> dict[str, Any]:
    """Return a segment of ``diarized_json``, which is also the event of a stream."""
    segment_id = segment.native.get("id")
    return {
        "type": "transcript.text.segment",
        "id": segment_id if isinstance(segment_id, str) else f"seg_{index}",
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "speaker": segment.speaker or "",
    }


def _cues(transcript: Transcript) -> list[Cue]:
    """Return a cue for each segment, one for the whole text if there are no times."""
    cues = [Cue(one.start, one.end, one.text.strip()) for one in _segments(transcript)]
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
    """Return WebVTT, which does not allow ``-->`` in the text of a cue."""
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
    "diarized_json": _diarized,
}

FORMATS: Final = (*_OBJECTS, *_TEXTS)
"""The values of a client's ``response_format``."""


_TIME: Final = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{3})"
_TIMES: Final = re.compile(rf"{_TIME}[ \t]+-->[ \t]+{_TIME}(?:[ \t].*)?")
_BEGINNING: Final = re.compile(rf"WEBVTT\b|\d+[ \t]*\n{_TIME}[ \t]+-->")


def cues_in(text: str) -> tuple[Segment, ...]:
    """Return the cues of a text in SubRip or WebVTT, none for any other text."""
    text = text.strip().removeprefix("\ufeff").replace("\r\n", "\n")
    if _BEGINNING.match(text) is None:
        return ()
    cues = (_cue(block.split("\n")) for block in re.split(r"\n[ \t]*\n", text))
    return tuple(cue for cue in cues if cue is not None)


def _cue(lines: list[str]) -> Segment | None:
    """Return the cue of one block: a line of times, which may have a name before it, then the text."""
    for index, line in enumerate(lines):
        times = _TIMES.fullmatch(line.strip())
        if times is not None:
            text = "\n".join(lines[index + 1 :]).strip()
            return Segment(_seconds(times.groups()[:4]), _seconds(times.groups()[4:]), text)
    return None


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, thousandths = (int(part or 0) for part in parts)
    return hours * 3600 + minutes * 60 + seconds + thousandths / 1000
