"""Writes a frame that goes out again and again but for its text (``app.gateway.repetitions``).

Its bytes are made once, with gaps for what differs. Tests: tests/surfaces/test_repetition_writer.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.dialects.shared.repeats import fill
from app.gateway.repetitions import Original, Repetition
from app.surfaces.replies.envelope import FrameEnvelope
from app.wire.json import dumps_ascii
from app.wire.sse import encode_frame

_MARK: Final = "a gap that Sluice fills, %d"


class RepetitionWriter:
    """Writes the repetitions of one stream as server-sent events in ``envelope``."""

    def __init__(self, envelope: FrameEnvelope) -> None:
        self._envelope = envelope
        self._original: Original | None = None
        self._form: bytes | None = None
        self._order: list[int] = []

    def write(self, repetition: Repetition) -> bytes | None:
        """Return the events; None where their frames must be written as any others."""
        if repetition.original is not self._original:
            self._learn(repetition.original)
        if self._form is None or not repetition.is_untouched:
            return None
        rows = repetition.rows
        return self._event(rows[0]) if len(rows) == 1 else b"".join(map(self._event, rows))

    def _event(self, strings: Sequence[str]) -> bytes:
        assert self._form is not None
        values = [dumps_ascii(text) for text in strings]
        values += [b"%d" % number for number in self._envelope.next_numbers()]
        return self._form % tuple([values[number] for number in self._order])

    def _learn(self, original: Original) -> None:
        """Make the form of a frame's event: its bytes with a gap for each string, then for each number of the envelope."""
        self._original, self._form = original, None
        marks = [_MARK % number for number in range(len(original.places) + self._envelope.numbers)]
        data = fill(original.data, original.places, marks[: len(original.places)])
        self._envelope.seal_with(data, marks[len(original.places) :])
        event = encode_frame(None, dumps_ascii(data)).replace(b"%", b"%%")
        gaps = [dumps_ascii(mark) for mark in marks]
        if any(event.count(gap) != 1 for gap in gaps):
            return
        self._order = sorted(range(len(gaps)), key=lambda number: event.find(gaps[number]))
        for gap in gaps:
            event = event.replace(gap, b"%b")
        self._form = event
