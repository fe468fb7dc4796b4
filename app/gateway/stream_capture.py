"""Capture what a stream sends, for a call log that has bodies. Tests: tests/surfaces/test_bodies.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.dialects.base import Frame
from app.wire.json import dumps_ascii
from app.wire.sse import encode_frame

MOST: Final = 64 * 1024
"""Bytes of a request, and of an answer, that the call log has."""

_DONE: Final = b"data: [DONE]\n\n"


class StreamCapture:
    """Collects the server-sent events of a stream, until it is full."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.media_bytes = 0
        """Bytes that are no events: sound."""

    def add(self, frames: Sequence[Frame]) -> None:
        """Add frames as they are now."""
        for frame in frames:
            if isinstance(frame.data, bytes):
                self.media_bytes += len(frame.data)
            elif len(self.data) <= MOST:
                self.data += (
                    _DONE if frame.data is None else encode_frame(frame.event, dumps_ascii(frame.data))
                )
