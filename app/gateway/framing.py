"""From upstream chunks to (event name, parsed JSON), by the framing of the wire.

Tests: tests/wire/test_sse.py, tests/wire/test_eventstream.py, tests/behaviour/test_cuts_of_every_wire.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, Protocol

from app.errors import GatewayError
from app.wire.eventstream import EventStreamDecoder
from app.wire.json import dumps, loads_lenient
from app.wire.offload import LARGE, aside
from app.wire.sse import RawFrame, SSEDecoder
from app.wire.surrogates import Halves

_DONE: Final = b"[DONE]"
_MOST_WORDS: Final = 4096
_AUDIO: Final = (b"ID3", b"\xff", b"RIFF", b"OggS", b"fLaC")


class FrameReader(Protocol):
    """Takes chunks, gives frames; ``data`` None is ``[DONE]``. ``size``: bytes of the frame that came last."""

    size: int

    def feed(self, chunk: bytes) -> Iterable[tuple[str | None, Any]]:
        """Yield the frames that ``chunk`` completes, those before a fault first."""
        ...


class SSEReader:
    """Server-sent events whose data is JSON."""

    def __init__(self) -> None:
        self.size = 0
        self._decoder = SSEDecoder()
        self._halves = Halves()

    @property
    def is_between(self) -> bool:
        """Whether all that was fed is read, so that the next byte begins an event."""
        return self._decoder.is_between and not self._halves.waiting

    def feed(self, chunk: bytes) -> Iterable[tuple[str | None, Any]]:
        """Return the frames that ``chunk`` completes; raises upstream_invalid for bad JSON.

        ``b""`` is the end of the body: an event that only lacks its blank line is whole.
        """
        frames = self._decoder.feed(chunk) if chunk else self._last()
        if len(frames) == 1 and chunk:  # as nearly all do
            event, data, _ = frames[0]
            if data[:1] == b"{" and len(data) < LARGE and _is_whole(data, self._halves):
                try:
                    found = loads_lenient(data)
                except ValueError:
                    return self._parsed(frames)
                self.size = len(data)
                return ((event, found),)
        return self._parsed(frames, last=not chunk)

    def _parsed(self, frames: list[RawFrame], *, last: bool = False) -> Iterator[tuple[str | None, Any]]:
        for raw in frames:
            data = raw.data.strip()
            self.size = len(data)
            if data == _DONE:
                yield from self._halves.end()
                yield raw.event, None
            elif data:
                yield from _parse(raw.event, data, self._halves)
        if last:
            yield from self._halves.end()

    def _last(self) -> list[RawFrame]:
        """Return the last event at the end of the body; an event that was cut off does not count."""
        frames = self._decoder.end()
        return [f for f in frames if f.data.strip() == _DONE or _is_error(f.event) or _is_json(f.data)]


class AWSReader:
    """AWS event stream messages; exceptions get the event name ``exception:NAME``."""

    def __init__(self) -> None:
        self.size = 0
        self._decoder = EventStreamDecoder()
        self._halves = Halves()

    def feed(self, chunk: bytes) -> Iterator[tuple[str | None, Any]]:
        """Yield the messages that ``chunk`` completes."""
        for message in self._decoder.feed(chunk):
            self.size = len(message.payload)
            yield from self._frames(message.headers, message.payload)
        if not chunk:
            yield from self._halves.end()

    def _frames(self, headers: dict[str, str], payload: bytes) -> Iterator[tuple[str | None, Any]]:
        kind = headers.get(":message-type")
        event = headers.get(":event-type")
        if kind == "exception":
            event = f"exception:{headers.get(':exception-type', 'unknown')}"
        if kind == "error":
            event = f"exception:{headers.get(':error-code', 'unknown')}"
            payload = dumps({"message": headers.get(":error-message")})
        yield from _parse(event, payload or b"{}", self._halves)


class BytesReader:
    """No framing: each chunk is a frame of its own (raw audio)."""

    size = 0  # nothing is read in it

    def feed(self, chunk: bytes) -> list[tuple[str | None, Any]]:
        """Return ``chunk`` itself."""
        return [(None, chunk)] if chunk else []


_READERS: Final[Mapping[str, Callable[[], FrameReader]]] = {
    "sse": SSEReader,
    "eventstream": AWSReader,
    "bytes": BytesReader,
}


def frame_reader(framing: str, content_type: str = "", lead: bytes = b"") -> FrameReader:
    """Return a new reader for ``framing``: sse, eventstream or bytes.

    A body that says it is audio, or begins as a file of audio does, is read as bytes, whatever was asked
    for: a model that cannot send events of speech sends the bare file.
    """
    is_audio = content_type.startswith("audio/") or lead.startswith(_AUDIO)
    return BytesReader() if is_audio else _READERS[framing]()


def _parse(event: str | None, data: bytes, halves: Halves) -> Iterator[tuple[str | None, Any]]:
    whole = _is_whole(data, halves)
    try:
        value = aside(len(data), partial(loads_lenient, data, halves=not whole))
        if _is_error(event) and not isinstance(value, dict):
            value = _error_of(value if isinstance(value, str) else _words(data))
        frames = [(event, value)] if whole else halves.feed(event, value)
    except ValueError as error:
        yield from halves.end()
        if _is_error(event):
            yield event, _error_of(_words(data))
            return
        raise GatewayError(
            "upstream_invalid",
            "The provider sent a stream event that is not valid JSON.",
            raw=data[:_MOST_WORDS],
        ) from error
    yield from (frame for frame in frames if frame[1] is not None)  # null says nothing


def _is_whole(data: bytes, halves: Halves) -> bool:
    """Tell whether no character of a frame can be the half of one."""
    return b"\\ud" not in data and b"\\uD" not in data and not halves.waiting


def _is_error(event: str | None) -> bool:
    return event is not None and (event == "error" or event.startswith("exception:"))


def _words(data: bytes) -> str:
    return data[:_MOST_WORDS].decode("utf-8", "replace")


def _error_of(message: str) -> dict[str, Any]:
    """Return an error that came as words alone, as an object that the decoders of all wires read."""
    return {"type": "error", "error": {"message": message}, "message": message}


def _is_json(data: bytes) -> bool:
    try:
        loads_lenient(data)
    except ValueError:
        return False
    return True


_BEGINNINGS: Final[Mapping[str, tuple[bytes, ...]]] = {
    "sse": (b"d", b"e", b"i", b"r", b":"),  # data, event, id, retry, a comment
    "eventstream": (b"\0", b"\1"),  # the first byte of a length of at most 24 MiB
}


def is_event_stream(lead: bytes, framing: str) -> bool:
    """Tell whether a body that calls itself JSON begins as an event stream of ``framing`` does."""
    return lead[:1] in _BEGINNINGS.get(framing, ())
