"""What a caller of Responses wants of a stream's frames: without encrypted reasoning, and padded, unless it says otherwise.

Tests: tests/surfaces/test_repetition_writer.py, tests/behaviour.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from app.dialects.base import Frame
from app.dialects.responses.echo import strip_encrypted
from app.dialects.responses.obfuscation import OBFUSCATED, pad, padding_of


class ResponseShape:
    """The shape of one stream, by the request's ``body``."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        options = body.get("stream_options")
        self._include = body.get("include")
        self._pads = not (isinstance(options, dict) and options.get("include_obfuscation") is False)
        self._random = _Random()

    def apply(self, frames: list[Frame]) -> list[Frame]:
        """Return frames as the caller wants them."""
        return [Frame(frame.event, self._event(frame.data)) if frame.data else frame for frame in frames]

    def _event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return an event as the caller wants it; one that is padded has nothing else to change."""
        if event.get("type") not in OBFUSCATED:
            return strip_encrypted(event, self._include)
        return pad(event, self._random.take) if self._pads else dict(event)

    def padding(self, event: Mapping[str, Any]) -> Callable[[str], str] | None:
        """Return what makes the padding of a text in further events like ``event``, None where they have none."""
        if not self._pads or event.get("type") not in OBFUSCATED:
            return None
        return lambda text: padding_of(text, self._random.take)


class _Random:
    """Random text for padding; one call of the system yields many pieces."""

    def __init__(self) -> None:
        self._text = ""

    def take(self, length: int) -> str:
        """Return ``length`` new random characters."""
        if len(self._text) < length:
            self._text = secrets.token_hex(512 + length)
        piece, self._text = self._text[:length], self._text[length:]
        return piece
