"""HTTP/1.1 answers as bytes: the head read strictly, the framing taken off the body.

``http.client`` accepts a head that a closed socket cut short, takes 103 for the final answer, and
returns chunked bodies one chunk per call. Here a head is whole or an error, interim answers are
skipped, and all chunks of one read come out joined, which is what makes many small events cheap.
Sockets and pools are not known here.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

MAX_HEAD: Final = 256 * 1024  # bytes of status line and headers
MAX_HEADERS: Final = 200
MAX_INTERIM: Final = 10  # answers of status 1xx before the final one
MAX_CHUNK_LINE: Final = 4096

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n")
_HEADER_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\r\n]*)\r?\n")
_WHOLE_HEAD: Final = re.compile(
    rb"HTTP/1\.([01]) ([2-9][0-9]{2})(?: ([^\r\n]*+))?+\r?\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[^\r\n]*+\r?\n)*+)\r?\n"
)
_PLAIN_SIZE: Final = re.compile(rb"([1-9a-fA-F][0-9a-fA-F]{0,7})\r\n")
_CHUNK_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(?:;.*)?")


class Malformed(http.client.HTTPException):
    """The bytes are no HTTP/1.1 answer."""


class Closed(http.client.RemoteDisconnected):
    """The connection ended before a byte of the answer came."""


class Cut(http.client.HTTPException):
    """The connection ended before the answer did."""


class _Lines(Protocol):
    def readline(self, limit: int = -1, /) -> bytes: ...


class Head(NamedTuple):
    """Status line and headers of one answer, by lower-case name; repeated ones are joined by a comma and a space. Values are
    Latin-1 texts."""

    minor: int
    status: int
    reason: str
    headers: dict[str, str]


def read_head(file: _Lines) -> Head:
    """Read the head of the final answer, past interim ones.

    Raises ``Closed`` when the connection ended before a byte came, ``Cut`` when it
    ended within the head, ``Malformed`` for the rest.
    """
    for _ in range(MAX_INTERIM + 1):
        head = _read_one_head(file)
        if head.status == 101 or head.status >= 200:
            return head
    raise Malformed("too many interim answers")


def _read_one_head(file: _Lines) -> Head:
    line = file.readline(MAX_HEAD)
    if not line:
        raise Closed("closed without an answer")
    status = _STATUS_LINE.fullmatch(line)
    if status is None:
        raise Malformed("no HTTP/1.1 status line") if line.endswith(b"\n") else Cut("cut in the status line")
    headers: list[tuple[str, str]] = []
    room = MAX_HEAD - len(line)
    while (line := file.readline(room + 1)) not in (b"\r\n", b"\n"):
        room -= len(line)
        if room < 0 or len(headers) == MAX_HEADERS:
            raise Malformed("too many headers")
        if not line.endswith(b"\n"):
            raise Cut("cut in the headers")
        header = _HEADER_LINE.fullmatch(line)
        if header is None:
            raise Malformed("an invalid header line")
        headers.append((header[1].decode("ascii"), header[2].decode("latin-1")))
    return Head(int(status[1]), int(status[2]), (status[3] or b"").decode("latin-1"), _join(headers))


def whole_head(data: bytes) -> tuple[Head, int] | None:
    """Return the head that ``data`` begins with, and its size in bytes; None if it is incomplete, interim
    or malformed, which ``read_head`` decides.
    """
    match = _WHOLE_HEAD.match(data)
    if match is None or match.end() > MAX_HEAD:
        return None
    *lines, _ = match[4].decode("latin-1").split("\n")
    if len(lines) > MAX_HEADERS:
        return None
    headers = _join([line.split(":", 1) for line in lines])
    return Head(int(match[1]), int(match[2]), (match[3] or b"").decode("latin-1"), headers), match.end()


class Response(http.client.HTTPResponse):
    """``http.client``'s response with the head read by ``read_head``.

    Its ``fp`` is then at the first byte of the body, which a ``Body`` takes over.
    """

    joined_headers: dict[str, str]

    def begin(self) -> None:
        """Read the head once."""
        if self.headers is not None:
            return
        head = read_head(self.fp)
        self.version = 10 + head.minor
        self.code = self.status = head.status
        self.reason = head.reason
        self.joined_headers = head.headers
        self.headers = self.msg = http.client.HTTPMessage()
        for name, value in head.headers.items():
            self.headers[name] = value
        self.chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        self.length = None
        self.will_close = ends_connection(head.minor, self.headers.get("connection", ""))


def ends_connection(minor: int, connection: str) -> bool:
    """Tell whether an answer of HTTP/1.``minor`` with this ``Connection`` header is the last."""
    tokens = connection.lower()
    return "close" in tokens or (minor == 0 and "keep-alive" not in tokens)


def _join(headers: Iterable[Sequence[str]]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in headers:
        key, value = name.lower(), value.strip(" \t\r")
        values[key] = f"{values[key]}, {value}" if key in values else value
    return values


class Body(Protocol):
    """Takes the framing off one body. ``ended``: all of it has been fed; ``reusable``: the
    connection may carry another answer."""

    ended: bool
    reusable: bool

    def feed(self, data: bytes) -> bytes:
        """Return the content in ``data``; ``Malformed`` if the framing is broken."""
        ...

    def content_of(self, data: bytes) -> bytes | None:
        """Return what ``feed`` would, if ``data`` begins and ends between two chunks; else None. Nothing is kept."""
        ...

    def end(self) -> None:
        """Note that the connection ended; ``Cut`` if the body had not."""
        ...


def body_of(method: str, status: int, headers: Mapping[str, str]) -> Body:
    """Return the ``Body`` that fits an answer (RFC 9112, section 6.3).

    ``headers`` has lower-case names. Raises ``Malformed`` for a transfer coding other than chunked
    and for lengths that differ.
    """
    if method == "HEAD" or status in (204, 304) or status < 200:
        return SizedBody(0)
    coding = headers.get("transfer-encoding")
    if coding is not None:
        if coding.lower() != "chunked":
            raise Malformed("an unknown transfer coding")
        return ChunkedBody(reusable="content-length" not in headers)
    if "content-length" not in headers:
        return OpenBody()
    length = headers["content-length"]
    if "," in length:  # sent more than once
        lengths = {part.strip() for part in length.split(",")}
        length = lengths.pop() if len(lengths) == 1 else ""
    if not (length.isascii() and length.isdigit() and len(length) < 16):
        raise Malformed("an invalid content length")
    return SizedBody(int(length))


class SizedBody:
    """A body of known length in bytes, of which ``left`` are still to come."""

    def __init__(self, length: int) -> None:
        self.ended = length == 0
        self.reusable = True
        self.left = length

    def feed(self, data: bytes) -> bytes:
        """Return ``data`` up to the length; what goes past it spoils the connection."""
        if len(data) > self.left:
            self.reusable = False
            data = data[: self.left]
        self.left -= len(data)
        self.ended = self.left == 0
        return data

    def content_of(self, data: bytes) -> bytes | None:
        """Return None: there are no chunks."""
        return None

    def end(self) -> None:
        """The connection ended."""
        if not self.ended:
            raise Cut("cut before its content length")


class OpenBody:
    """A body that ends with the connection: a cut looks like an end."""

    def __init__(self) -> None:
        self.ended = False
        self.reusable = False

    def feed(self, data: bytes) -> bytes:
        """Return ``data``."""
        return data

    def content_of(self, data: bytes) -> bytes | None:
        """Return ``data``, which has no framing."""
        return data

    def end(self) -> None:
        """The connection ended, and so did the body."""
        self.ended = True


_SIZE_LINE, _AFTER_CHUNK, _TRAILER_LINE = range(3)  # what the next line of a chunked body is


class ChunkedBody:
    """A chunked body (RFC 9112, section 7.1). Extensions and trailers are dropped."""

    def __init__(self, *, reusable: bool = True) -> None:
        self.ended = False
        self.reusable = reusable
        self._left = 0  # bytes of the current chunk still to come
        self._line = b""  # the start of an unfinished line
        self._trailers = 0
        self._expect = _SIZE_LINE
        self._between = True  # the next byte begins a size line

    def feed(self, data: bytes) -> bytes:
        """Return the content of all chunks in ``data``, joined."""
        content, at = self._whole_chunks(data)
        if at < len(data):
            content.append(self._all_chunks(data[at:] if at else data))
        return content[0] if len(content) == 1 else b"".join(content)

    def content_of(self, data: bytes) -> bytes | None:
        """Return the content of ``data`` if it is whole chunks, None otherwise."""
        size = _PLAIN_SIZE.match(data) if self._between else None
        if size is not None and len(data) == size.end() + int(size[1], 16) + 2 and data.endswith(b"\r\n"):
            return data[size.end() : -2]
        content, at = self._whole_chunks(data)
        if at < len(data):
            return None
        return content[0] if len(content) == 1 else b"".join(content)

    def _whole_chunks(self, data: bytes) -> tuple[list[bytes], int]:
        """Return the contents of the whole chunks that ``data`` begins with, as nearly all do, and where they end."""
        content: list[bytes] = []
        at = 0
        while self._between and (size := _PLAIN_SIZE.match(data, at)) is not None:
            start = size.end()
            stop = start + int(size[1], 16)
            if data[stop : stop + 2] != b"\r\n":
                break
            content.append(data[start:stop])
            at = stop + 2
        return content, at

    def _all_chunks(self, data: bytes) -> bytes:
        content: list[bytes] = []
        at = 0
        while at < len(data) and not self.ended:
            if self._left:
                piece = data[at : at + self._left]
                content.append(piece)
                self._left -= len(piece)
                at += len(piece)
                continue
            stop = data.find(b"\n", at)
            if stop < 0:
                self._line += data[at:]
                at = len(data)
            else:
                line, self._line = self._line + data[at:stop], b""
                _LINES[self._expect](self, line.removesuffix(b"\r"))
                at = stop + 1
            if len(self._line) > MAX_CHUNK_LINE:
                raise Malformed("a chunk line too long")
        if at < len(data):
            self.reusable = False
        self._between = self._expect == _SIZE_LINE and not self._line
        return content[0] if len(content) == 1 else b"".join(content)

    def end(self) -> None:
        """The connection ended."""
        if not self.ended:
            raise Cut("cut before the last chunk")

    def _size_line(self, line: bytes) -> None:
        size = _CHUNK_SIZE.fullmatch(line)
        if size is None:
            raise Malformed("an invalid chunk size")
        self._left = int(size[1], 16)
        self._expect = _AFTER_CHUNK if self._left else _TRAILER_LINE

    def _after_chunk(self, line: bytes) -> None:
        if line:
            raise Malformed("a chunk longer than its size")
        self._expect = _SIZE_LINE

    def _trailer_line(self, line: bytes) -> None:
        self.ended = not line
        self._trailers += 1
        if self._trailers > MAX_HEADERS:
            raise Malformed("too many trailers")


_LINES: Final = (ChunkedBody._size_line, ChunkedBody._after_chunk, ChunkedBody._trailer_line)
