"""Frames that differ from the last one only by a piece of text, as nearly all frames of a stream do.

Decoding such a frame yields nothing but that text, so one comparison of two JSON values takes the place of a
full decoding. Each dialect lists where the text may be. Tests: tests/dialects/test_repeats.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from app.canonical.events import BlockDelta, Event

_MAX_MISSES: Final = 8  # frames in a row without a repetition, after which none is expected

Place = tuple[str | int, ...]
"""The path from a frame to a text or number: names of members and indexes."""

Value = str | int
"""What may differ from frame to frame."""

Grow = Callable[[str], object]
"""Records a further piece of a block's text."""


class Repeats:
    """Remembers the last frame that added text to one block, at one of ``places``.

    Members of the frame in ``free`` have no meaning and may differ, ``numbers`` count its frames.
    """

    def __init__(self, *places: Place, free: Sequence[str] = (), numbers: Sequence[str] = ()) -> None:
        self._places = places
        self._numbers = numbers
        self._may_differ = (*free, *numbers)
        self._last: Any = None
        self._place: Place = ()
        self._holder: Any = None
        self._free: list[str] = []
        self.block = 0
        """The number of the remembered frame's block."""
        self._grow: Grow = str
        self._misses = 0
        self.version = 0
        """Increases whenever another frame is remembered, or none any more."""
        self.is_repeated = False
        """True if the remembered frame was repeated."""

    @property
    def latest(self) -> Any:
        """The remembered frame, with the latest values."""
        return self._last

    @property
    def places(self) -> list[Place]:
        """The places of the values in ``latest`` that may differ; that of its text is the first."""
        last = self._last
        kinds = {name: int if name in self._numbers else str for name in self._free}
        return [self._place, *((name,) for name, kind in kinds.items() if type(last[name]) is kind)]

    def repeat(self, text: str) -> BlockDelta:
        """Record ``text`` as that of a repetition of the remembered frame, and return its event."""
        return BlockDelta(self.grow(text), text)

    def grow(self, text: str) -> int:
        """Record ``text`` as that of a repetition of the remembered frame, and return the number of its block."""
        self._grow(text)
        return self.block

    def delta_of(self, frame: Any) -> BlockDelta | None:
        """Return the event of a frame that differs from the remembered one only by its text, and record the text.

        Returns None for any other frame, and records nothing.
        """
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
        """Remember a frame whose decoding returned ``events``.

        ``grow`` is the only side effect of decoding its text, None if there are others.
        """
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
            last, holder = _copy_path(frame, place)
            if holder is not None and holder[place[-1]] == delta.text:
                self._last, self._holder, self._place = last, holder, place
                self.block, self._grow = delta.block, grow
                self._free = [name for name in self._may_differ if name in frame]
                return


def fill(frame: Any, places: Sequence[Place], values: Iterable[Value]) -> Any:
    """Return a copy of ``frame`` with ``values`` at ``places``; everything else is shared with it."""
    for place, value in zip(places, values, strict=True):
        frame, holder = _copy_path(frame, place)
        holder[place[-1]] = value
    return frame


def _copy_path(frame: Any, place: Place) -> tuple[Any, Any]:
    """Return a copy of a frame along the path ``place``, and the holder of the text; (None, None) without one."""
    last = holder = frame.copy()
    try:
        for step in place[:-1]:
            holder[step] = holder[step].copy()
            holder = holder[step]
        holder[place[-1]]
    except (AttributeError, KeyError, IndexError, TypeError):
        return None, None
    return last, holder
