"""Frames that say again what the last one said, but for a piece of text: nearly all of a stream.

Reading such a frame changes nothing but the text, so the whole look at its members need not
be repeated: one comparison of two JSON values stands for it. Where a text may stand is each
wire's own to say. Tests: tests/dialects/test_repeats.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from app.canonical.events import BlockDelta, Event

_MAX_MISSES: Final = 8  # frames in a row that repeated nothing, before it is no longer looked for

Place = tuple[str | int, ...]
"""The names and numbers that lead from a frame to a text."""

Grow = Callable[[str], object]
"""Keeps a further piece of a block's text."""


class Repeats:
    """Remembers the last frame that made one block longer, by a text at one of ``places``.

    Members of the frame in ``free`` may differ: they say nothing.
    """

    def __init__(self, *places: Place, free: Sequence[str] = ()) -> None:
        self._places = places
        self._may_differ = free
        self._last: Any = None
        self._place: Place = ()
        self._holder: Any = None
        self._free: list[str] = []
        self._block = 0
        self._grow: Grow = str
        self._misses = 0
        self.version = 0
        """Grows whenever another frame is remembered, or none."""
        self.is_repeated = False
        """Whether the frame that is remembered came again."""

    @property
    def latest(self) -> Any:
        """The frame that is remembered, with the strings that came last."""
        return self._last

    @property
    def places(self) -> list[Place]:
        """The places of the strings in ``latest`` that may differ, that of its text first."""
        last = self._last
        return [self._place, *((name,) for name in self._free if isinstance(last[name], str))]

    def repeat(self, text: str) -> BlockDelta:
        """Take the frame that is remembered with another ``text``: keep that text, and return what it says."""
        self._grow(text)
        return BlockDelta(self._block, text)

    def delta_of(self, frame: Any) -> BlockDelta | None:
        """Return what a frame says that differs from the last one by its text alone, and keep that
        text; None for any other, of which nothing is kept."""
        last, text = self._last, frame
        if last is None:
            return None
        try:
            for step in self._place:
                text = text[step]
        except (KeyError, IndexError, TypeError):
            return None
        if not text or not isinstance(text, str):
            return None
        self._holder[self._place[-1]] = text
        for name in self._free:
            last[name] = frame.get(name)
        if frame != last:
            return None
        self._misses = 0
        self.is_repeated = True
        return self.repeat(text)

    def learn(self, frame: Any, events: Sequence[Event], grow: Grow | None) -> None:
        """Remember a frame that was read as ``events``; ``grow`` is all that reading its text does
        beside the event, None where it does more."""
        self._misses += self._last is not None
        self._last = None
        self.version += 1
        self.is_repeated = False
        delta = events[0] if len(events) == 1 else None
        if grow is None or self._misses > _MAX_MISSES or not isinstance(delta, BlockDelta):
            return
        if delta != BlockDelta(delta.block, delta.text):
            return
        for place in self._places:
            last, holder = _copied(frame, place)
            if holder is not None and holder[place[-1]] == delta.text:
                self._last, self._holder, self._place = last, holder, place
                self._block, self._grow = delta.block, grow
                self._free = [name for name in self._may_differ if name in frame]
                return


def fill(frame: Any, places: Sequence[Place], strings: Iterable[str]) -> Any:
    """Return a copy of ``frame`` that has ``strings`` at ``places``; the rest of it is shared."""
    for place, text in zip(places, strings, strict=True):
        frame, holder = _copied(frame, place)
        holder[place[-1]] = text
    return frame


def _copied(frame: Any, place: Place) -> tuple[Any, Any]:
    """Return a frame whose way to ``place`` is its own, and the end of that way; None where there is none."""
    last = holder = frame.copy()
    try:
        for step in place[:-1]:
            holder[step] = holder[step].copy()
            holder = holder[step]
        holder[place[-1]]
    except (AttributeError, KeyError, IndexError, TypeError):
        return None, None
    return last, holder
