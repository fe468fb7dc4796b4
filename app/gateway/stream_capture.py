"""What a stream said, kept for the call log where that keeps bodies. Tests: tests/surfaces/test_bodies.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.dialects.base import Frame
from app.wire.json import dumps_ascii
from app.wire.sse import encode_frame

MOST: Final = 64 * 1024
"""Bytes of each side that are kept."""

_DONE: Final = b"data: [DONE]\n\n"


class StreamCapture:
    """Keeps what a stream said, as server-sent events; nothing is written once it is full."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.told = 0
        """Bytes that were no events: sound."""

    def add(self, frames: Sequence[Frame]) -> None:
        """Keep frames, as they are now."""
        for frame in frames:
            if isinstance(frame.data, bytes):
                self.told += len(frame.data)
            elif len(self.data) <= MOST:
                self.data += (
                    _DONE if frame.data is None else encode_frame(frame.event, dumps_ascii(frame.data))
                )
