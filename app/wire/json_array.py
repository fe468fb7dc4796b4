"""A JSON array that grows: how Google streams without server-sent events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

KEEP_ALIVE: Final = b"\n"
"""White space between elements, which keeps a silent connection open."""


class JsonArray:
    """Writes elements, already JSON, as they come; ``end`` closes the array.

    An array that ends without an element is ``[]``.
    """

    def __init__(self) -> None:
        self._begun = False

    def write(self, elements: Iterable[bytes]) -> bytes:
        """Return the bytes of further elements, a separator before each but the very first."""
        pieces: list[bytes] = []
        for element in elements:
            pieces += (b",\r\n" if self._begun else b"[", element)
            self._begun = True
        return b"".join(pieces)

    def end(self) -> bytes:
        """Return what closes the array."""
        return b"\n]" if self._begun else b"[]"
