"""Server-sent events: bytes to frames and back (WHATWG HTML, section 9.2).

Works on bytes, because text splitting breaks lines at U+2028 and its like, which
stand raw in model output. Knows nothing of what the data means.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from app.errors import GatewayError

MAX_LINE: Final = 8 * 1024 * 1024  # bytes; a frame may carry a whole image in base64
MAX_EVENT: Final = 16 * 1024 * 1024

_BOM: Final = b"\xef\xbb\xbf"


class RawFrame(NamedTuple):
    """One event: its name if the stream gave one, its data lines joined by LF, its id if any."""

    event: str | None
    data: bytes
    id: str | None = None


class SSEDecoder:
    """Cuts a byte stream into frames, however the stream is cut into chunks.

    Lines end with LF, CRLF or CR; comments are skipped. At the end of the stream ``pending``
    tells that an event was begun and not finished; ``end`` returns it. ``max_line`` and
    ``max_event`` are bytes.
    """

    def __init__(self, max_line: int = MAX_LINE, max_event: int = MAX_EVENT) -> None:
        self._max_line = max_line
        self._max_event = max_event
        self._most = min(max_line, max_event)
        self._partial: list[bytes] = []  # pieces of an unfinished line
        self._partial_size = 0
        self._after_cr = False  # an LF at the start of the next chunk belongs to that CR
        self._at_start = True
        self._event: str | None = None
        self._id: str | None = None
        self._data: list[bytes] = []
        self._data_size = 0
        self._fault: GatewayError | None = None
        self.is_between = False
        """Whether the next byte begins an event."""

    @property
    def pending(self) -> bool:
        """Whether the stream, if it ended now, would lose an event it had begun."""
        return bool(self._data or self._partial_size)

    def feed(self, chunk: bytes) -> list[RawFrame]:
        """Return the frames that ``chunk`` completes.

        Raises ``upstream_invalid`` for a line or event past its cap and for an event
        that is not UTF-8. The good frames before a fault are returned first: then
        the next call raises, with whatever chunk.
        """
        if self._fault is not None:
            raise self._fault
        if self.is_between and (whole := self._one_event(chunk)) is not None:
            return [whole]
        frames: list[RawFrame] = []
        try:
            for line in self._lines(chunk):
                if not line:
                    self._end_event(frames)
                elif line.startswith(b"data:"):
                    self._add_data(line[6:] if line[5:6] == b" " else line[5:])
                else:
                    self._read_field(line)
        except GatewayError as fault:
            self._fault = fault
        self.is_between = not (
            self.pending or self._after_cr or self._at_start or self._event or self._id or self._fault
        )
        if self._fault is not None and not frames:
            raise self._fault
        return frames

    def _one_event(self, chunk: bytes) -> RawFrame | None:
        """Return the event of a chunk that is exactly one event with one line of data, as nearly all are; else
        None."""
        if not chunk.endswith(b"\n\n") or len(chunk) > self._most or not chunk.isascii():
            return None
        lines = chunk.splitlines()
        data = lines[-2]
        if len(lines) > 3 or not data.startswith(b"data: "):
            return None
        if len(lines) == 2:
            return RawFrame(None, data[6:])
        return RawFrame(lines[0][7:].decode() or None, data[6:]) if lines[0].startswith(b"event: ") else None

    def end(self) -> list[RawFrame]:
        """Return the event that the body ended in, if it lacks nothing but its blank line.

        The standard discards it; servers that close early after it are common. The caller checks
        whether its data is whole.
        """
        try:
            return self.feed(b"\n\n") if self.pending else []
        except GatewayError:
            return []  # cut off within a character: no event

    def _lines(self, chunk: bytes) -> list[bytes]:
        """Return the complete lines, without their ends; keep the rest for the next chunk."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if self._at_start and chunk:
            chunk = self._without_bom(chunk)
        if not chunk:
            return []
        lines = chunk.splitlines()  # of bytes: at LF, CR and CRLF only
        last = chunk[-1]
        self._after_cr = last == 13
        rest = b"" if last in (10, 13) else lines.pop()
        if self._partial_size and lines:
            lines[0] = b"".join((*self._partial, lines[0]))
            self._partial.clear()
            self._partial_size = 0
        if rest:
            self._partial.append(rest)
            self._partial_size += len(rest)
        if max(len(chunk), self._partial_size, len(lines[0]) if lines else 0) > self._max_line:
            lines = self._before_long_line(lines)
        return lines

    def _before_long_line(self, lines: list[bytes]) -> list[bytes]:
        """Return the lines before the first that is too long, which becomes the fault."""
        sizes = [len(line) for line in lines] + [self._partial_size]
        at = next((at for at, size in enumerate(sizes) if size > self._max_line), len(lines))
        if sizes[at] > self._max_line:
            self._fault = _invalid(f"a line is longer than {self._max_line} bytes")
        return lines[:at]

    def _without_bom(self, chunk: bytes) -> bytes:
        """Take a byte order mark off the start of the stream, even one that comes in pieces."""
        chunk = b"".join((*self._partial, chunk))
        self._partial.clear()
        self._partial_size = 0
        if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
            self._partial.append(chunk)
            self._partial_size = len(chunk)
            return b""
        self._at_start = False
        return chunk.removeprefix(_BOM)

    def _add_data(self, value: bytes) -> None:
        self._data_size += len(value) + 1
        if self._data_size > self._max_event:
            raise _invalid(f"an event is larger than {self._max_event} bytes")
        self._data.append(value)

    def _read_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._event = _text(value) or None
        elif name == b"data":
            self._add_data(value)
        elif name == b"id" and b"\0" not in value:
            self._id = _text(value)

    def _end_event(self, frames: list[RawFrame]) -> None:
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            if not data.isascii():
                _text(data)
            frames.append(RawFrame(self._event, data, self._id))
            self._data.clear()
            self._data_size = 0
        self._event = self._id = None


def encode_frame(event: str | None, data: bytes) -> bytes:
    """Return one frame, blank line included. Data of several lines becomes several ``data:`` lines.

    Raises ``ValueError`` for an event name that holds a line end.
    """
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join((data + b"\n").splitlines())
    if event is None:
        return b"data: %b\n\n" % data
    return b"event: %b\ndata: %b\n\n" % (_one_line(event), data)


def comment(text: str = "") -> bytes:
    """Return a comment (``: text``), which keeps a silent connection open."""
    return b": %b\n\n" % _one_line(text)


def _one_line(text: str) -> bytes:
    if "\n" in text or "\r" in text:
        raise ValueError("a line end cannot stand here")
    return text.encode("utf-8")


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _invalid("an event is not UTF-8") from error


def _invalid(what: str) -> GatewayError:
    return GatewayError("upstream_invalid", f"The provider's event stream is broken: {what}.")
