"""Writes a frame that goes out again and again but for its text and number (``app.gateway.repetitions``).

Its bytes are made once, with gaps for what differs. Tests: tests/surfaces/test_repetition_writer.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, Final

from app.dialects.responses.obfuscation import PADDING
from app.dialects.shared.repeats import fill
from app.gateway.repetitions import NUMBER, Original, Repetition
from app.surfaces.replies.envelope import FrameEnvelope
from app.wire.json import dumps_ascii
from app.wire.sse import encode_frame

_MARK: Final = "a gap that Sluice fills, %d"


Padding = Callable[[Mapping[str, Any]], Callable[[str], str] | None]
"""Returns what makes the padding of a text in further events like this one, None where they have none."""


class RepetitionWriter:
    """Writes the repetitions of one stream as server-sent events in ``envelope``, with their ``padding``."""

    def __init__(self, envelope: FrameEnvelope, padding: Padding | None = None) -> None:
        self._envelope = envelope
        self._padding = padding
        self._original: Original | None = None
        self._form: bytes | None = None
        self._pad: Callable[[str], str] | None = None
        self._in_order: Callable[[list[Any]], Any] = tuple

    def write(self, repetition: Repetition) -> bytes | None:
        """Return the events; None where their frames must be written as any others."""
        if repetition.original is not self._original:
            self._learn(repetition.original)
        if self._form is None or not repetition.is_untouched:
            return None
        events, count, number = [], len(repetition.original.places), repetition.number
        for row in repetition.rows:
            values: list[Any] = [*map(dumps_ascii, row[:count])]
            if self._pad is not None:
                values.append(dumps_ascii(self._pad(str(row[0]))))
            if number is not None:
                values.append(number)
                number += 1
            values += self._envelope.next_numbers()
            events.append(self._form % self._in_order(values))
        return b"".join(events)

    def _learn(self, original: Original) -> None:
        """Make the form of a frame's event: its bytes with a gap for each value, its padding, its number and those of the
        envelope."""
        self._original, self._form = original, None
        self._pad = None if self._padding is None else self._padding(original.data)
        count, own = len(original.places), int(original.is_numbered)
        texts = count + (self._pad is not None)
        marks = [_MARK % number for number in range(texts + own + self._envelope.numbers)]
        data = fill(original.data, original.places, marks[:count])
        if own:
            data[NUMBER] = marks[texts]
        if self._pad is not None:
            data[PADDING] = marks[count]
        self._envelope.seal_with(data, marks[texts + own :])
        event = encode_frame(original.event, dumps_ascii(data)).replace(b"%", b"%%")
        gaps = [dumps_ascii(mark) for mark in marks]
        if any(event.count(gap) != 1 for gap in gaps):
            return
        self._in_order = itemgetter(*sorted(range(len(gaps)), key=lambda number: event.find(gaps[number])))
        for number, gap in enumerate(gaps):
            event = event.replace(gap, b"%b" if number < texts else b"%d")
        self._form = event
