"""How the worker reads its clients: gunicorn's reader, but fair, and with bounds on what frames a body.

gunicorn bounds neither the line of a chunk's size nor the trailers, and looks through all of them again
after each read.
"""

from __future__ import annotations

from typing import Any, Final

from gunicorn.http import errors, message, parser
from gunicorn.http.body import ChunkedReader
from gunicorn.http.unreader import SocketUnreader

from app.wire.turns import Turns

_MOST: Final = 16 * 1024  # bytes of a chunk's line, or of all trailers


class Unreader(SocketUnreader):
    """The bytes of a connection."""

    def __init__(self, sock: Any, max_chunk: int = 8192) -> None:
        super().__init__(sock, max_chunk)
        self._turns = Turns()

    def read(self, size: int | None = None) -> bytes:
        """Return up to ``size`` bytes, or what has arrived, waiting for at least a byte; ``b""`` at the end."""
        self._turns.take()
        data: bytes = super().read(size)
        return data


class Chunks(ChunkedReader):
    """The content of a chunked body."""

    def get_data(self, unreader: Any, buf: Any) -> None:
        """Read on in a chunk's line, or in the trailers."""
        if buf.tell() > _MOST:
            raise errors.InvalidChunkSize(b"")
        super().get_data(unreader, buf)


def install() -> None:
    """Let gunicorn read by these classes, in this process."""
    parser.SocketUnreader = Unreader
    message.ChunkedReader = Chunks
