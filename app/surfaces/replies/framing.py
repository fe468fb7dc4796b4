"""How the frames of a stream become bytes: server-sent events, a growing JSON array, or AWS's event stream."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Final, Protocol

from app.dialects.base import Frame
from app.wire.eventstream import encode_event
from app.wire.json import dumps_ascii
from app.wire.json_array import KEEP_ALIVE, JsonArray
from app.wire.sse import comment, encode_frame

_UNBUFFERED: Final = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
_DONE: Final = b"data: [DONE]\n\n"


class Framing(Protocol):
    """Writes one stream. ``silence`` are the bytes that keep a silent stream open."""

    headers: Mapping[str, str]
    silence: bytes

    def write(self, frames: list[Frame], *, last: bool) -> bytes:
        """Return the bytes of ``frames``; ``last``: they end the stream."""
        ...


class Events:
    """Server-sent events; ``done`` adds a last ``[DONE]`` for a dialect that has none."""

    headers: Mapping[str, str] = {"content-type": "text/event-stream; charset=utf-8", **_UNBUFFERED}

    def __init__(self, *, done: bool = False, silence: bytes = comment("keep-alive")) -> None:
        self.silence = silence
        self._done = done

    def write(self, frames: list[Frame], *, last: bool) -> bytes:
        """Return the events."""
        if len(frames) == 1 and frames[0].data is not None and not last:  # as nearly all are
            return encode_frame(frames[0].event, dumps_ascii(frames[0].data))
        events = [_DONE if f.data is None else encode_frame(f.event, dumps_ascii(f.data)) for f in frames]
        return b"".join(events) + (_DONE if last and self._done else b"")


class GrowingArray:
    """One JSON array with an element for each frame; white space keeps it open."""

    headers: Mapping[str, str] = {"content-type": "application/json; charset=UTF-8", **_UNBUFFERED}
    silence = KEEP_ALIVE

    def __init__(self) -> None:
        self._array = JsonArray()

    def write(self, frames: list[Frame], *, last: bool) -> bytes:
        """Return the next elements."""
        array = copy(self._array) if last else self._array  # another end may take the place of this one
        elements = array.write(dumps_ascii(frame.data) for frame in frames)
        return elements + (array.end() if last else b"")


class Messages:
    """AWS's event stream. Its SDKs ignore unknown events, so one of these keeps it open."""

    headers: Mapping[str, str] = {
        "content-type": "application/vnd.amazon.eventstream",
        "x-amzn-bedrock-content-type": "application/json",
        **_UNBUFFERED,
    }
    silence = encode_event("ping", b"{}")

    def write(self, frames: list[Frame], *, last: bool) -> bytes:
        """Return the messages."""
        return b"".join(encode_event(frame.event or "", dumps_ascii(frame.data)) for frame in frames)
