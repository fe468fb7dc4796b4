"""Answers as they are written: the head in one packet with the first piece of the body."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from email.utils import formatdate
from functools import lru_cache
from types import TracebackType
from typing import Any, Final

from gevent.exceptions import BlockingSwitchOutError
from gunicorn import SERVER
from gunicorn.http.errors import InvalidHeader, InvalidHeaderName
from gunicorn.http.message import TOKEN_RE
from gunicorn.http.wsgi import HEADER_VALUE_RE
from gunicorn.util import is_hoppish

_LENGTH: Final = "content-length"

_Raised = tuple[type[BaseException], BaseException, TracebackType]


class Answer:
    """The answer to ``request``, by the rules of WSGI. Its head waits for the first piece of the body.

    An empty piece sends the head alone; ``close`` sends what is left. The headers of the connection are the server's:
    those of the application are left out. ``closes``: the connection ends with this answer, as it must where a body was
    never invited; the head decides it."""

    __slots__ = (
        "closes",
        "headers_sent",
        "_chunked",
        "_headers",
        "_left",
        "_request",
        "_sock",
        "_status",
        "_unsent",
    )

    def __init__(self, request: Any, sock: Any, *, closes: bool = False) -> None:
        self.headers_sent = False
        self._request = request
        self._sock = sock
        self.closes = closes
        self._chunked = False
        self._status = ""
        self._headers: Sequence[tuple[str, str]] = ()
        self._left: int | None = None  # bytes of the body that may still go out; None: any number
        self._unsent = b""  # what a client did not take at once

    def start_response(
        self, status: str, headers: Sequence[tuple[str, str]], exc_info: _Raised | None = None
    ) -> Callable[[bytes], None]:
        """Take status and headers, and return what writes the body.

        Raises gunicorn's ``ParseException`` for a header that would be another one on the wire."""
        if self._status and exc_info is None:
            raise AssertionError("the answer has headers already")
        if exc_info is not None and self.headers_sent:
            raise exc_info[1].with_traceback(exc_info[2])
        names, values = zip(*headers, strict=True) if headers else ((), ())
        text = "".join(values)
        if not (text.isascii() and text.isprintable()) and HEADER_VALUE_RE.fullmatch(text) is None:
            raise InvalidHeader("a header's value")
        place = _place_of_length(names)
        if place is None:
            headers = [header for header in headers if not is_hoppish(header[0])]
            place = _place_of_length(tuple([name for name, _ in headers])) or 0
        self._frame(int(status[:3]), int(headers[place - 1][1]) if place else None)
        self._status, self._headers = status, headers
        return self.write

    def _frame(self, code: int, length: int | None) -> None:
        """Decide how the client finds the end of the body: none, its length, chunks, or the end of the connection."""
        if self._request.method == "HEAD" or code < 200 or code in (204, 304):
            self._left = 0
        elif length is not None:
            self._left = length
        elif self._request.version > (1, 0):
            self._chunked = True
        else:
            self.closes = True

    def write(self, piece: bytes) -> None:
        """Send ``piece``, as far as the answer may have a body."""
        self._send(self._chunk(piece))

    def write_now(self, piece: bytes) -> bool:
        """Send ``piece`` after the head without waiting for the client.

        False where the client does not take all of it: the next ``write`` sends the rest, or raises the client's error."""
        data = self._unsent + self._chunk(piece)
        try:
            count = self._sock.send(data, 0, 0.0)
        except (OSError, BlockingSwitchOutError):  # over TLS gevent waits, which nobody may in the hub
            count = 0
        self._unsent = data[count:]
        return not self._unsent

    def _chunk(self, piece: bytes) -> bytes:
        if self._chunked:
            return b"%X\r\n%b\r\n" % (len(piece), piece) if piece else b""
        if self._left is not None:
            piece = piece[: self._left]
            self._left -= len(piece)
        return piece

    def close(self) -> None:
        """Send the end of the answer."""
        if self._chunked or self._unsent or not self.headers_sent:
            self._send(b"0\r\n\r\n" if self._chunked else b"")

    def _send(self, data: bytes) -> None:
        """Send the head, if it waits, and ``data``: in one call if the socket takes them, as it mostly does."""
        if not self.headers_sent:
            data = self._head() + data
            self.headers_sent = True
        if self._unsent:
            data, self._unsent = self._unsent + data, b""
        count = self._sock.send(data) if data else 0
        if count < len(data):
            self._sock.sendall(memoryview(data)[count:])

    def _head(self) -> bytes:
        major, minor = self._request.version
        self.closes = self.closes or self._request.body.is_uninvited or self._request.should_close()
        connection = "close" if self.closes else "keep-alive"
        own = [("Server", SERVER), ("Date", _date(int(time.time()))), ("Connection", connection)]
        if self._chunked:
            own.append(("Transfer-Encoding", "chunked"))
        lines = "\r\n".join(map(": ".join, [*own, *self._headers]))
        return f"HTTP/{major}.{minor} {self._status}\r\n{lines}\r\n\r\n".encode("latin-1")


@lru_cache(maxsize=1024)
def _place_of_length(names: tuple[str, ...]) -> int | None:
    """Return which of an answer's headers is the length of its body: 1 for the first, 0 for none of them.

    None if some headers belong to the connection. Raises ``InvalidHeaderName`` for an invalid name."""
    for name in names:
        if not TOKEN_RE.fullmatch(name):
            raise InvalidHeaderName(repr(name))
    if any(map(is_hoppish, names)):
        return None
    lower_names = [name.lower() for name in names]
    return lower_names.index(_LENGTH) + 1 if _LENGTH in lower_names else 0


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """Return a time in Unix seconds as an HTTP date."""
    return formatdate(second, usegmt=True)
