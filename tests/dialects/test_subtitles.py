"""Subtitles that a server answers with, whatever form it was asked for."""

from __future__ import annotations

import json

import pytest

from app.canonical.media import Segment, Transcript
from app.dialects.media.openai_transcript_in import decode_transcript
from app.dialects.media.transcripts import render

SEGMENTS = (Segment(0.0, 1.25, "Hello there."), Segment(3600.5, 3661.5, "Bye"))
TALK = Transcript("Hello there. Bye", segments=SEGMENTS)


@pytest.mark.parametrize("form", ["srt", "vtt"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_subtitles_are_read_as_such(form: str, end: str) -> None:
    assert decode_transcript(render(TALK, form).replace("\n", end).encode(), {}, json.loads) == TALK


def test_short_times_settings_and_notes_of_webvtt_are_read() -> None:
    written = "WEBVTT - talk\n\nNOTE nothing\n\nfirst\n00:00.000 --> 00:01.250 align:start\nHello\nthere.\n"
    assert decode_transcript(written.encode(), {}, json.loads).segments == (
        Segment(0.0, 1.25, "Hello\nthere."),
    )


@pytest.mark.parametrize(
    "spoken", ["1 --> 2 is none", "1", "WEBVTT", "He said\n00:00:00,000 --> 00:00:01,000"]
)
def test_other_text_is_the_transcript(spoken: str) -> None:
    assert decode_transcript(spoken.encode(), {}, json.loads) == Transcript(spoken)
