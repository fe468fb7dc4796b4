"""Answers as they are written: the head in one packet with the first piece of the body."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from gunicorn.http.message import TOKEN_RE
from gunicorn.http.wsgi import HEADER_VALUE_RE, Response
from gunicorn.util import is_hoppish


class Answer(Response):
    """gunicorn's response, whose head waits for the first piece of the body.

    An empty piece sends the head alone; ``close`` sends what is left."""

    def __init__(self, request: Any, sock: Any, config: Any) -> None:
        super().__init__(request, sock, config)
        self.headers_sent: bool = False
        self._head = b""

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Take the application's headers: gunicorn looks at those that mean something to it, or are faulty."""
        sound = HEADER_VALUE_RE.fullmatch("".join([value for _, value in headers])) is not None
        for header in headers:
            if sound and _is_plain(header[0]):
                self.headers.append(header)
            else:
                super().process_headers([header])

    def send_headers(self) -> None:
        """Make the head, which goes out with what is sent next."""
        if self.headers_sent:
            return
        lines = [*self.default_headers(), *[f"{name}: {value}\r\n" for name, value in self.headers], "\r\n"]
        self._head = "".join(lines).encode("latin-1")
        self.headers_sent = True

    def should_close(self) -> bool:
        """Tell whether the connection ends with this answer, as it must where a body was never invited."""
        return self.req.framing.is_uninvited or bool(super().should_close())

    def default_headers(self) -> list[str]:
        """Return the lines that every answer begins with."""
        major, minor = self.req.version
        connection = "upgrade" if self.upgrade else "close" if self.should_close() else "keep-alive"
        lines = [
            f"HTTP/{major}.{minor} {self.status}\r\nServer: {self.version}\r\n",
            f"Date: {_date(int(time.time()))}\r\nConnection: {connection}\r\n",
        ]
        return [*lines, "Transfer-Encoding: chunked\r\n"] if self.chunked else lines

    def write(self, piece: bytes) -> None:
        """Send ``piece``, as far as the answer may have a body."""
        if piece and self.chunked and self.headers_sent:  # one more of many
            self.sent += len(piece)
            self._send(b"%X\r\n%b\r\n" % (len(piece), piece))
            return
        super().write(piece)
        if not piece:
            self._send(b"")

    def _emit_body(self, data: bytes) -> None:
        self._send(b"%X\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    def close(self) -> None:
        """Send the end of the answer."""
        self.send_headers()
        self._send(b"0\r\n\r\n" if self.chunked else b"")

    def _send(self, data: bytes) -> None:
        """Send the head, if it waits, and ``data``: by one call where the socket takes it, as it mostly does."""
        if self._head:
            data, self._head = self._head + data, b""
        sent = self.sock.send(data) if data else 0
        if sent < len(data):
            self.sock.sendall(memoryview(data)[sent:])


@lru_cache(maxsize=1024)
def _is_plain(name: str) -> bool:
    """Tell whether a header is the application's alone: no matter of the connection or of framing."""
    return bool(TOKEN_RE.fullmatch(name)) and name.lower() != "content-length" and not is_hoppish(name)


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """Return a second since 1970 as HTTP writes it."""
    return formatdate(second, usegmt=True)
