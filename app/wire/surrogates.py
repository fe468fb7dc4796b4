"""Characters past U+FFFF whose two halves a provider sent in two frames of a stream.

Some servers cut text by UTF-16 units and escape each half by itself; joined, they are one
character. A half whose other half never comes is U+FFFD, in the frame that it came in: that
frame waits for the next one that could bring the other half.
"""

from __future__ import annotations

import re
from typing import Any, Final

_LONE: Final = re.compile("[\ud800-\udfff]")
_UNKNOWN: Final = "\ufffd"
_INDEXES: Final = ("index", "output_index", "content_index", "contentBlockIndex")
"""Members that say which of several growing texts a frame belongs to."""
_GROWING: Final = frozenset({"delta", "parts"})
_COMPLETION: Final = ("choices", "text")
_MAX_WAITING: Final = 16  # frames that may wait, while other texts of the same kind grow

Place = tuple[Any, ...]
ParsedFrame = tuple[str | None, Any]


class Halves:
    """Joins the texts of one stream's frames, in their order."""

    def __init__(self) -> None:
        self._waiting: dict[Place, tuple[Any, Any, str]] = {}
        self._frames: list[ParsedFrame] = []
        self._growing: set[Place] = set()

    @property
    def waiting(self) -> bool:
        """Whether a first half waits for its other half."""
        return bool(self._waiting)

    def feed(self, event: str | None, value: Any) -> list[ParsedFrame]:
        """Take a frame and return those that may go on, with whole characters alone."""
        earlier = list(self._waiting)
        self._growing = set()
        self._frames.append((event, self._join(value, ())))
        patient = len(self._frames) <= _MAX_WAITING
        for place in earlier:
            if place in self._waiting and not (patient and _shape(place) in self._growing):
                self._give_up(place)
        return [] if self._waiting else self._release()

    def end(self) -> list[ParsedFrame]:
        """Return the frames that waited, when no other comes."""
        for place in list(self._waiting):
            self._give_up(place)
        return self._release()

    def _release(self) -> list[ParsedFrame]:
        frames, self._frames = self._frames, []
        return frames

    def _give_up(self, place: Place) -> None:
        holder, name, _ = self._waiting.pop(place)
        holder[name] += _UNKNOWN

    def _join(self, value: Any, place: Place) -> Any:
        if isinstance(value, list):
            return self._members(list(value), enumerate(value), place)
        if not isinstance(value, dict):
            return _LONE.sub(_UNKNOWN, value) if isinstance(value, str) else value
        numbers = tuple(value[name] for name in _INDEXES if isinstance(value.get(name), int))
        inner = (
            (*place[:-1], *numbers)
            if numbers and place and isinstance(place[-1], int)
            else (*place, *numbers)
        )
        return self._members(dict(value), value.items(), inner)

    def _members(self, holder: Any, members: Any, place: Place) -> Any:
        """Return ``holder`` with its members joined."""
        for name, value in members:
            at = (*place, name)
            holder[name] = self._join(value, at)
            if isinstance(value, str) and _grows(at):
                self._growing.add(_shape(at))
                if value:
                    self._grow(holder, name, value, at)
        return holder

    def _grow(self, holder: Any, name: Any, text: str, place: Place) -> None:
        """Join a growing text to the half before it, and keep the half that it ends in."""
        if place in self._waiting:
            half = self._waiting[place][2]
            if "\udc00" <= text[0] <= "\udfff":
                del self._waiting[place]
                text = (half + text).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
            else:
                self._give_up(place)
        if "\ud800" <= text[-1] <= "\udbff":
            self._waiting[place] = (holder, name, text[-1])
            text = text[:-1]
        holder[name] = _LONE.sub(_UNKNOWN, text)


def _shape(place: Place) -> Place:
    """Return a place without its numbers."""
    return tuple(name for name in place if isinstance(name, str))


def _grows(place: Place) -> bool:
    """Tell whether the text at a place is a piece of a longer one, not a whole."""
    shape = _shape(place)
    return not _GROWING.isdisjoint(shape) or shape == _COMPLETION
