"""Connections to one origin without a proxy between: kept, and used with one packet a request.

``http.client`` writes a head line by line and ``urllib3`` wraps each answer twice; this is
what is left when the lines of the head are made once (``app.wire.request_head``) and
the head of the answer is read by ``app.wire.http1``. How a connection is made is passed in.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from gevent import get_hub, monkey
from gevent.hub import Waiter

from app.wire import http1, request_head

MAX_JOINED: Final = 16 * 1024  # bytes of a body that goes out together with the request's head
_FIRST_READ: Final = 64 * 1024  # bytes; most whole answers are smaller
_POLLIN: Final = 1  # the end of the stream, or unexpected bytes
_NOT_YET: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Connection(Protocol):
    """A connected socket and what closes it."""

    sock: Any

    def close(self) -> None:
        """Close it."""
        ...


class _Connection:
    """A connection, kept between two answers."""

    __slots__ = ("connection", "limit", "sock", "pending", "readable", "_poll")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.sock = connection.sock
        self.limit: float | None = -1.0  # of a read, in seconds, once one was set
        self.readable = getattr(self.sock, "_read_event", None)  # of gevent's sockets
        self.pending = getattr(self.sock, "pending", None)  # of TLS: bytes that need no wait
        self._poll = monkey.get_original("select", "poll")()  # gevent's own costs a switch to the hub
        self._poll.register(connection.sock.fileno(), _POLLIN)

    def is_silent(self) -> bool:
        """Tell whether it is open and nothing came unasked."""
        return not self._poll.poll(0)


class Origin:
    """The connections to one origin.

    ``host`` is the value of the header; ``connect`` takes its time limit in seconds and
    returns a connection. At most ``size`` are kept.
    """

    def __init__(
        self, host: str, connect: Callable[[float | None], Connection], *, agent: str, size: int
    ) -> None:
        self._start = f" HTTP/1.1\r\nHost: {host}\r\n"
        self._agent = agent
        self._connect = connect
        self._size = size
        self._idle: list[_Connection] = []

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        limits: tuple[float | None, float | None],
    ) -> Exchange:
        """Send a request and return it with the head of its answer.

        ``limits`` are for connecting and for one read, in seconds. Raises what ``request_head.lines_of``, sockets,
        TLS and ``http1.read_head`` raise.
        """
        lines = request_head.lines_of(tuple(headers.items()), self._agent)
        head = f"{method} {target}{self._start}{lines}{request_head.length_of(method, body)}\r\n"
        kept = self._borrow()
        connection = kept or _Connection(self._connect(limits[0]))
        try:
            if connection.limit != limits[1]:
                connection.limit = limits[1]
                connection.sock.settimeout(limits[1])
            whole = _write(connection.sock, head.encode("latin-1"), body or b"")
            return Exchange(connection, self._idle, self._size, whole=whole)
        except BaseException as error:
            connection.connection.close()
            if kept is not None and isinstance(error, OSError):
                self.close()  # the others are as old as this one: what ended it has ended them
            raise

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().connection.close()

    def _borrow(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_silent():
                return connection
            connection.connection.close()
        return None


def _write(sock: Any, head: bytes, body: bytes) -> bool:
    """Write a request; False where the other side closed before its end, perhaps with an answer."""
    try:
        if len(body) <= MAX_JOINED:
            packet = head + body
            sent = sock.send(packet)  # mostly takes all of it; sendall asks the kernel for its buffer first
            if sent < len(packet):
                sock.sendall(packet[sent:])
        else:
            sock.sendall(head)
            sock.sendall(body)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


class Exchange:
    """A request that was sent, and its answer: the head is read, the body begins at the next byte.

    While it waits it holds no buffer, which is what an open stream costs most of the time."""

    __slots__ = ("headers", "status", "_buffer", "_connection", "_idle", "_is_last", "_size")

    def __init__(self, kept: _Connection, idle: list[_Connection], size: int, *, whole: bool) -> None:
        self._connection = kept
        self._idle = idle
        self._size = size
        self._buffer = b""
        head = self._read_head()
        self.status = head.status
        self.headers = head.headers
        # after half a request it is the connection's last answer
        self._is_last = not whole or http1.ends_connection(head.minor, self.headers.get("connection", ""))

    def keep(self) -> None:
        """Keep the connection for another request, where the answer allows it."""
        if self._is_last or len(self._idle) >= self._size:
            self._connection.connection.close()
        else:
            self._idle.append(self._connection)

    def drop(self) -> None:
        """Close the connection, also one that is kept already: an answer without a body ends at once."""
        if self._connection in self._idle:
            self._idle.remove(self._connection)
        self._connection.connection.close()

    def _read_head(self) -> http1.Head:
        """Read the head of the final answer; raises what ``http1.read_head`` raises."""
        self._buffer = self.read1(_FIRST_READ)
        if (found := http1.whole_head(self._buffer)) is None:
            return http1.read_head(self)
        head, size = found
        self._buffer = self._buffer[size:]
        return head

    def readline(self, limit: int = http1.MAX_HEAD, /) -> bytes:
        """Return the next line with its end, or less at ``limit`` bytes and at the stream's end."""
        while (stop := self._buffer.find(b"\n") + 1) == 0 and len(self._buffer) < limit:
            begun, self._buffer = self._buffer, b""
            piece = self.read1(_FIRST_READ)
            self._buffer = begun + piece
            if not piece:
                break
        size = min(stop or len(self._buffer), limit)
        line, self._buffer = self._buffer[:size], self._buffer[size:]
        return line

    def read1(self, n: int = 65536) -> bytes:
        """Return what has arrived, waiting for at least a byte; ``b""`` at the end.

        An answer is always waited for, so the wait comes first: to look in vain costs a system call and an
        error, and a buffer would be held while nothing comes.
        """
        data: bytes = self._buffer
        if data:
            self._buffer = data[n:]
            return data[:n]
        kept = self._connection
        if kept.readable is not None and not (kept.pending is not None and kept.pending()):
            get_hub().wait(kept.readable)
        data = kept.sock.recv(n)
        return data

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes where exactly these are here; else ``b""``, and nothing happened."""
        data = self._buffer
        if len(data) != size:
            return b""
        self._buffer = b""
        return data

    def relay(self, take: Callable[[bytes], bool], n: int = 65536) -> bytes:
        """Return what ``read1`` does, after all that ``take`` takes.

        What arrives goes to ``take`` first, within the hub: this greenlet sleeps on while it returns True. It must not
        wait; what it raises is raised here.
        """
        kept = self._connection
        if self._buffer or kept.readable is None or (kept.pending is not None and kept.pending()):
            return self.read1(n)
        sock = kept.sock
        waiter: Any = Waiter()

        def receive() -> None:
            try:
                data = sock.recv(n)
            except _NOT_YET:
                return
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is the reader's
                waiter.throw(error)
                return
            try:
                if not (data and take(data)):
                    waiter.switch(data)
            except BaseException as error:  # noqa: BLE001
                waiter.throw(error)

        limit = sock.gettimeout()
        sock.settimeout(0.0)
        kept.readable.start(receive)
        try:
            data: bytes = waiter.get()
        finally:
            kept.readable.stop()
            sock.settimeout(limit)
        return data
