"""Decode subtitles, SubRip and WebVTT, which some providers send whatever format was requested."""

from __future__ import annotations

import re
from typing import Final

from app.canonical.media import Segment

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
            spoken = "\n".join(lines[index + 1 :]).strip()
            return Segment(_seconds(times.groups()[:4]), _seconds(times.groups()[4:]), spoken)
    return None


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, thousandths = (int(part or 0) for part in parts)
    return hours * 3600 + minutes * 60 + seconds + thousandths / 1000
