"""Reads of a stream that are the last event again but for its text and number, as nearly all are: they are not taken apart.

Once an event was read and came again, a further one of the same bytes but for these is known by its bytes
(``app.wire.json_template``); neither JSON nor events are made of it. What it stands for is what reading it would have
made. Tests: tests/gateway/test_repetitions.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from app.canonical.record import record
from app.dialects.base import Frame
from app.dialects.shared.repeats import Place, Repeats, Value, fill
from app.errors import GatewayError
from app.gateway.framing import FrameReader, SSEReader
from app.wire.json_template import JsonTemplate, template_of
from app.wire.offload import LARGE

NUMBER: Final = "sequence_number"
"""The member that numbers the frames of a stream."""

_EVENT_END: Final = b"\n\n"
_BRACKET_END: Final = b"}" + _EVENT_END
_PADDED_END: Final = b" " + _BRACKET_END
_MAX_MISSES: Final = 4  # templates in a row that no further read filled, before none is made any more


@record
class Original:
    """A frame that goes out again and again, with other values at ``places`` of its data, the text first."""

    event: str | None
    data: dict[str, Any]
    places: Sequence[Place]

    @property
    def is_numbered(self) -> bool:
        """Whether its dialect numbers frames."""
        return NUMBER in self.data


class Repetition:
    """A batch (``app.gateway.run``) of frames: ``original`` once for each of ``rows``, whose first values are those at its
    places. ``number`` is that of the first frame, if its dialect numbers them.

    The frames are made when they are asked for."""

    __slots__ = ("original", "rows", "number", "is_untouched", "_frames")

    last = False
    content = True
    answer = None

    def __init__(self, original: Original, rows: Sequence[Sequence[Value]]) -> None:
        self.original = original
        self.rows = rows
        self.number: int | None = None
        self.is_untouched = True
        """Whether the frames were not made, so that the original goes out."""
        self._frames: list[Frame] = []

    @property
    def frames(self) -> list[Frame]:
        """The frames; who changes one changes what goes out."""
        if self.is_untouched:
            event, data, places = self.original.event, self.original.data, self.original.places
            filled = [fill(data, places, values[: len(places)]) for values in self.rows]
            if self.number is not None:
                for number, members in enumerate(filled, self.number):
                    members[NUMBER] = number
            self._frames = [Frame(event, members) for members in filled]
            self.is_untouched = False
        return self._frames


class Repeating(Protocol):
    """A translator that can take what repeats."""

    repeats: Repeats | None

    def repeat(self, rows: Sequence[Sequence[Any]]) -> list[Frame] | Repetition:
        """Take the last frame once for each of ``rows``, the values at the places of ``repeats``."""
        ...

    def keep_original(self, frame: Frame) -> bool:
        """Keep what the last frame made, where one that repeats it makes the same but for these values; tell whether
        repetitions can be taken."""
        ...


class RepetitionReader:
    """Reads what repeats in one stream of server-sent events; ``reader`` and ``translator`` take all other reads.

    Of a translator that has no ``repeats``, or another ``reader``, it reads nothing.
    """

    def __init__(self, reader: FrameReader, translator: Any) -> None:
        self._reader = reader
        self._translator: Repeating = translator
        self._repeats: Repeats | None = None
        if isinstance(reader, SSEReader):
            self._repeats = getattr(translator, "repeats", None)
        self._template: JsonTemplate | None = None
        self._next: JsonTemplate | None = None  # the template, where the next byte begins an event
        self._version = 0
        self._shape: Any = None
        self._misses = 0

    def read(self, chunk: bytes) -> list[Frame] | Repetition | None:
        """Return what a read brings that repeats the last event; None for any other, of which nothing is kept."""
        if self._next is None or len(chunk) >= LARGE:
            return None
        rows = self._next.rows(_without_padding(chunk) if _PADDED_END in chunk else chunk)
        if rows is None:
            return None
        for row in rows:
            if not row[0]:
                return None
        self._misses = 0
        return self._translator.repeat(rows)

    def follow(self, chunk: bytes, frames: Sequence[Frame]) -> None:
        """Learn from the last event of a read that was taken apart, and made ``frames``."""
        self._next, repeats = None, self._repeats
        if repeats is None or not repeats.is_repeated or not self._is_between():
            return
        if self._version == repeats.version and self._shape == _shape_of(repeats):
            self._next = self._template
        elif frames and self._misses <= _MAX_MISSES:
            self._misses += 1
            self._template = self._next = _template_of(_last_event(chunk), repeats)
            self._version, self._shape = repeats.version, _shape_of(repeats)
            if self._template is not None and not self._translator.keep_original(frames[-1]):
                self._template = self._next = None

    def _is_between(self) -> bool:
        return isinstance(self._reader, SSEReader) and self._reader.is_between


def _last_event(chunk: bytes) -> bytes:
    events = _without_padding(chunk).split(_EVENT_END)
    return events[-2] + _EVENT_END if len(events) > 1 else chunk


def _without_padding(chunk: bytes) -> bytes:
    """Return a read without the spaces before the last bracket of an event, which Anthropic sends more or fewer of.

    No string goes on to the end of a line, so no text loses any."""
    *events, rest = chunk.split(_BRACKET_END)
    return b"".join([event.rstrip(b" ") + _BRACKET_END for event in events]) + rest


def _value_at(frame: Any, place: Place) -> Any:
    """Return what a frame holds at ``place``; None where it has no such place."""
    try:
        for step in place:
            frame = frame[step]
    except (KeyError, IndexError, TypeError):
        return None
    return frame


def original_of(frame: Frame, repeats: Repeats) -> Original | None:
    """Return a frame that went out for the one that ``repeats`` remembers, with places of its values; None where its values
    are others. Its number is its own, and it may lack the last of the others."""
    latest, places = repeats.latest, [place for place in repeats.places if place != (NUMBER,)]
    while len(places) > 1 and _value_at(frame.data, places[-1]) is None:
        places.pop()
    values = [_value_at(latest, place) for place in places]
    if values != [_value_at(frame.data, place) for place in places]:
        return None
    return Original(frame.event, fill(frame.data, places, values), places)


def _shape_of(repeats: Repeats) -> Any:
    """Return the frame that ``repeats`` remembers, without its values."""
    return fill(repeats.latest, repeats.places, [""] * len(repeats.places))


def _template_of(chunk: bytes, repeats: Repeats) -> JsonTemplate | None:
    """Return the template of a read that is just the frame that ``repeats`` remembers; None where it is not."""
    frame, places = repeats.latest, repeats.places
    values = [_value_at(frame, place) for place in places]
    template = template_of(chunk, values, [place[-1] for place in places])
    if template is None:
        return None
    others = [value + 1 if isinstance(value, int) else f"{value}?" for value in values]
    try:
        ((event, _),) = SSEReader().feed(chunk)
        found = list(SSEReader().feed(template.filled(others)))
    except (GatewayError, ValueError):
        return None
    return template if found == [(event, fill(frame, places, others))] else None
