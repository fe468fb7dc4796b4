"""Characters past U+FFFF whose two halves a provider sent in two frames of a stream.

Some servers cut text by UTF-16 units and escape each half by itself; joined, they are one
character. A half whose other half never comes is U+FFFD.
"""

from __future__ import annotations

import re
from typing import Any, Final

_LONE: Final = re.compile("[\ud800-\udfff]")
_PLACES: Final = ("index", "output_index", "content_index", "contentBlockIndex")
"""Members that say which of several growing texts a frame belongs to."""

Place = tuple[Any, ...]


class Halves:
    """Joins the texts of one stream's frames; a first half is kept until its place grows again."""

    def __init__(self) -> None:
        self._kept: dict[Place, str] = {}

    @property
    def waiting(self) -> bool:
        """Whether a first half waits for its other half."""
        return bool(self._kept)

    def join(self, value: Any) -> Any:
        """Return a frame's JSON value with whole characters alone."""
        return self._joined(value, ())

    def _joined(self, value: Any, place: Place) -> Any:
        if isinstance(value, str):
            return self._text(value, place)
        if isinstance(value, list):
            return [self._joined(item, (*place, at)) for at, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        numbers = tuple(value[name] for name in _PLACES if isinstance(value.get(name), int))
        inner = (
            (*place[:-1], *numbers)
            if numbers and place and isinstance(place[-1], int)
            else (*place, *numbers)
        )
        return {name: self._joined(item, (*inner, name)) for name, item in value.items()}

    def _text(self, text: str, place: Place) -> str:
        first = self._kept.pop(place, "") if text else ""
        if first:
            text = (first + text).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._kept[place], text = text[-1], text[:-1]
        return _LONE.sub("\ufffd", text)
