"""How the worker reads its clients: gunicorn's reader, but fair, and with bounds on what frames a body.

gunicorn bounds neither the line of a chunk's size nor the trailers, and looks through all of them again
after each read.
"""

from __future__ import annotations

import os
import re
from typing import Any, Final

from gevent import get_hub
from gunicorn import http
from gunicorn.http import errors, message, parser
from gunicorn.http.body import ChunkedReader
from gunicorn.http.unreader import SocketUnreader

from app.server.environ import Request
from app.server.short_way import Requests
from app.wire.fairness import Turns

_MOST: Final = 16 * 1024  # bytes of a chunk's line, or of all trailers
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[^\r\n]*)?\r\n")


class Unreader(SocketUnreader):
    """The bytes of a connection."""

    def __init__(self, sock: Any, max_chunk: int = 8192) -> None:
        super().__init__(sock, max_chunk)
        self._turns = Turns()
        self._readable = None if hasattr(sock, "pending") else getattr(sock, "_read_event", None)

    def read(self, size: int | None = None) -> bytes:
        """Return up to ``size`` bytes, or what has arrived, waiting for at least a byte; ``b""`` at the end."""
        self._turns.take()
        data: bytes = super().read(size)
        return data

    def read_next(self) -> bytes:
        """Return what has arrived, as ``read`` does. Mostly nothing of a request is here before its client has read
        the last answer, so the wait comes first: looking in vain costs a system call and an error."""
        if self._readable is None or self.buf.seek(0, os.SEEK_END):
            return self.read()
        get_hub().wait(self._readable)
        self._turns.take()
        data: bytes = self.chunk()
        return data


class Chunks(ChunkedReader):
    """The content of a chunked body."""

    def parse_chunk_size(self, unreader: Any, data: bytes | None = None) -> tuple[int, bytes | None]:
        """Return the size of the next chunk, and what has arrived behind its line.

        A line feed alone ends no line and may not stand in one: a server in front that takes it for the
        end would see another request than this one."""
        line = bytearray(data or b"")
        while (end := line.find(b"\n")) < 0:
            if len(line) > _MOST or not (more := unreader.read()):
                raise errors.InvalidChunkSize(b"")
            line += more
        match = _CHUNK.fullmatch(line, 0, end + 1)
        if match is None:
            raise errors.InvalidChunkSize(b"")
        size, rest = int(match[1], 16), bytes(line[end + 1 :])
        if size > 0:
            return size, rest
        self.parse_trailers(unreader, rest)
        return 0, None

    def get_data(self, unreader: Any, buf: Any) -> None:
        """Read on in the trailers."""
        if buf.tell() > _MOST:
            raise errors.InvalidChunkSize(b"")
        super().get_data(unreader, buf)


def install() -> None:
    """Let gunicorn read by these classes, in this process."""
    http.RequestParser = Requests
    Requests.mesg_class = Request
    parser.SocketUnreader = Unreader
    message.ChunkedReader = Chunks
