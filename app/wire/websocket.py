"""A WebSocket's server side on a connected socket: whole text messages in, text frames out.

The protocol is that of ``websockets``' sans-I/O half (RFC 6455), without extensions; this module reads,
writes and keeps time. One greenlet reads into a short queue, so that a client that sends faster than it
is served waits. A write that makes no progress within the socket's own timeout ends the connection.

Tests: tests/surfaces/test_sockets.py.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import gevent
from gevent.lock import RLock
from gevent.queue import Queue
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from app.wire.fairness import Turns

_LOG: Final = logging.getLogger(__name__)

PING_EVERY: Final = 20.0  # seconds
_DEPTH: Final = 8  # messages that may wait
_CHUNK: Final = 65536
_READ: Final = 8192  # bytes, which may be a thousand frames
_LINGER: Final = 2.0  # seconds in which a client may still send, so that it reads why it was closed

NORMAL: Final = int(CloseCode.NORMAL_CLOSURE)
GOING_AWAY: Final = int(CloseCode.GOING_AWAY)
POLICY: Final = int(CloseCode.POLICY_VIOLATION)


class Refused(Exception):
    """An invalid handshake; ``status`` is the HTTP status of the answer."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


def text_frame(text: bytes) -> bytes:
    """Return the bytes of one unfragmented text frame of a server."""
    return Frame(Opcode.TEXT, text).serialize(mask=False)


class WebSocket:
    """One connection. ``messages`` has the texts that came, as bytes, then None at its end. A message has ``deadline``
    seconds to arrive."""

    def __init__(
        self, sock: Any, *, most: int, own: Callable[[str], bool], ping_every: float, deadline: float
    ) -> None:
        self.messages: Queue[Any] = Queue(_DEPTH)
        self._sock = sock
        self._protocol = ServerProtocol(max_size=most, select_subprotocol=_chooser(own))
        self._ping_every = ping_every
        self._deadline = deadline
        self._writing = RLock()
        self._text: bytearray | None = None
        self._last_message = self._began = time.monotonic()
        self._greenlets: list[Any] = []
        self._answer: Response

    def accept(self, headers: Iterable[tuple[str, str]]) -> None:
        """Make the answer to the handshake in ``headers``; raise ``Refused`` if it is invalid."""
        self._protocol.receive_data(Request("/", Headers(headers)).serialize())
        events = self._protocol.events_received()
        if not events:
            raise Refused(400, str(self._protocol.handshake_exc))
        answer = self._protocol.accept(events[0])  # type: ignore[arg-type]
        if answer.status_code != 101:
            raise Refused(answer.status_code, str(self._protocol.handshake_exc))
        self._answer = answer

    def open(self, headers: Iterable[tuple[str, str]]) -> None:
        """Send the answer, with further headers, and begin to read."""
        for name, value in headers:
            self._answer.headers[name] = value
        self._protocol.send_response(self._answer)
        self._flush()
        self._greenlets = [gevent.spawn(self._read), gevent.spawn(self._ping)]

    @property
    def is_open(self) -> bool:
        """True while frames may be written."""
        return self._protocol.state is State.OPEN

    def write(self, frames: bytes) -> None:
        """Write frames that ``text_frame`` made; OSError where the connection is over."""
        with self._writing:
            if not self.is_open:
                raise ConnectionResetError("the WebSocket is closed")
            self._write(frames)

    def close(self, code: int, reason: str = "") -> None:
        """Send the close ``code`` to the client, unless the connection is over."""
        if self.is_open:
            self._protocol.send_close(code, reason)
            self._flush()

    def finish(self) -> None:
        """Let the client read our last messages, then stop reading; the socket itself stays."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
            with gevent.Timeout(_LINGER, False):  # type: ignore[arg-type]  # the stubs lack it
                gevent.joinall(self._greenlets[:1])
                while self._sock.recv(_CHUNK):
                    continue
        except OSError as error:
            _LOG.debug("a WebSocket's client had left: %s", error)
        gevent.killall(self._greenlets)

    def _read(self) -> None:
        turns = Turns()
        while self.is_open:
            turns.take()
            data = self._receive()
            if data is None:
                continue
            self._last_message = time.monotonic()
            if self._text is None and not self._protocol.reader.buffer:
                self._began = self._last_message
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            for frame in self._protocol.events_received():
                self._take(frame)
            if self.is_open and self._last_message > self._began + self._deadline:
                late = f"the message did not arrive within {self._deadline:g} seconds"
                self._protocol.fail(CloseCode.POLICY_VIOLATION, late)
            self._flush()
        self.messages.put(None)

    def _receive(self) -> bytes | None:
        """Return what came, ``b""`` at the end, None when nothing came for a while."""
        try:
            data: bytes = self._sock.recv(_READ)
        except TimeoutError:  # the limit is for writing
            return None
        except OSError:
            return b""
        return data

    def _take(self, frame: Any) -> None:
        if not self.is_open:  # the client has closed the connection
            return
        if frame.opcode is Opcode.BINARY:
            self._protocol.fail(CloseCode.UNSUPPORTED_DATA, "send text frames")
        elif frame.opcode is Opcode.TEXT:
            self._gather(bytearray(frame.data), frame.fin)
        elif frame.opcode is Opcode.CONT and self._text is not None:
            self._text += frame.data
            self._gather(self._text, frame.fin)
        if self._text is None:
            self._began = time.monotonic()

    def _gather(self, text: bytearray, whole: bool) -> None:
        """Take a message as far as it came; pass it on when it is whole."""
        self._text = None if whole else text
        if not whole:
            return
        try:
            text.decode()
        except UnicodeDecodeError:
            self._protocol.fail(CloseCode.INVALID_DATA, "text must be UTF-8")
            return
        self._flush()  # a pong does not wait for room in the queue
        self.messages.put(bytes(text))

    def _ping(self) -> None:
        """Keep the connection alive, and end one whose client answers nothing any more."""
        while self.is_open:
            sent_at = time.monotonic()
            self._protocol.send_ping(b"")
            self._flush()
            gevent.sleep(self._ping_every)
            if self._last_message < sent_at and not self.messages.full():
                self._cut()
                return

    def _flush(self) -> None:
        """Write the protocol's pending bytes; a connection that does not take them is over."""
        with self._writing:
            try:
                self._write(b"".join(self._protocol.data_to_send()))
            except OSError as error:
                _LOG.debug("a WebSocket could not be written: %s", error)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            for at in range(0, len(view), _CHUNK):
                self._sock.sendall(view[at : at + _CHUNK])
        except OSError:
            self._cut()
            raise

    def _cut(self) -> None:
        """End a connection that is not read; its reader wakes and reports it."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            _LOG.debug("a WebSocket's client had left: %s", error)


def _chooser(own: Callable[[str], bool]) -> Any:
    """Return a function that chooses the first sub-protocol offered that is not one of our ``own``."""

    def choose(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return next((name for name in offered if not own(name)), None)

    return choose
