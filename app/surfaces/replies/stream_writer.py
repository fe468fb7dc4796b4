"""The writer of a stream, between a call and its client's socket.

Until the first content a greenlet reads the upstream and fills a short queue, so that the writer can wait with a time
limit: it holds lifecycle frames back until content arrives, sends comments during silence, and gives an early upstream error
its own status. After that the writer reads the upstream itself, since a switch of greenlets costs as much as a read; and events
that repeat are relayed to ``_relay`` while it sleeps.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, Final

import gevent
from gevent.queue import Empty, Queue

from app.canonical.record import record
from app.dialects.base import Frame
from app.errors import GatewayError
from app.gateway.repetitions import Repetition
from app.gateway.run import Batch, Run
from app.wire.client_socket import is_closed
from app.wire.clocks import Quiet

_DEPTH: Final = 16  # upstream reads that may wait for a slow client before content
_HANGING: Final = 1.0  # seconds that a write may take after its call is aborted

Write = Callable[[Batch | Repetition], bytes]
"""Returns the bytes of a batch, for one write."""


@record
class Pace:
    """How long the writer waits, in seconds: ``hold`` for content after the first lifecycle frame, ``status_after``
    in silence before it sends the status, ``comment_every`` between comments (None: no comments)."""

    hold: float
    status_after: float
    comment_every: float | None


_Item = Batch | Repetition | GatewayError | None


class StreamWriter:
    """Writes one run. ``silence`` are the bytes that keep a silent connection open.

    ``write_now`` sends bytes at once, or returns False and leaves some of them for the next chunk."""

    def __init__(
        self,
        run: Run,
        pace: Pace,
        write: Write,
        fail: Callable[[GatewayError], list[Frame]],
        fault: Callable[[Exception], GatewayError],
        *,
        silence: bytes = b"",
        write_now: Callable[[bytes], bool] | None = None,
    ) -> None:
        self._run = run
        self._pace = pace
        self._write = write
        self._fail = fail
        self._fault = fault
        self._silence = silence
        self._write_now = write_now
        self._broken: Exception | None = None
        self._is_unsent = False
        self._source = self._items()
        self._channel: Queue[_Item] = Queue(_DEPTH)
        self._reads_itself = False  # not the greenlet
        self._over = False
        self._first: Batch | Repetition | None = None
        self._writes = 0
        self._writing = False
        self._written_at = time.monotonic()
        run.call.abort.listen(self._unblock)
        gevent.spawn(self._read_until_content)

    def open(self) -> None:
        """Wait until the status may be sent.

        Returns when content arrives, ``hold`` seconds after the first lifecycle frame, or after ``status_after`` seconds
        of silence. Raises the GatewayError of a call that fails before.
        """
        limit = time.monotonic() + self._pace.status_after
        while True:
            item = self._next(limit - time.monotonic())
            if isinstance(item, GatewayError):
                self._run.call.abort.forget()
                raise item
            if item is None:
                self._over = True
                return
            if item is _SILENCE or item.frames:
                self._first = Batch(self._run.flush_held(), last=False) if item is _SILENCE else item
                return
            limit = min(limit, time.monotonic() + self._pace.hold) if self._run.has_held else limit

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes for the client, one chunk for each upstream read; b"" only to send what a relayed chunk left."""
        try:
            chunk = self._first_bytes()
            while True:
                if chunk or self._is_unsent:
                    self._is_unsent = False
                    self._writes += 1
                    self._writing = True
                    yield chunk
                    self._writing = False
                self._written_at = time.monotonic() if chunk else self._written_at
                if self._over:
                    return
                if self._reads_itself and self._channel.empty():
                    item = next(self._source, None)
                else:
                    item = self._next(self._wait())
                broken, self._broken = self._broken, None
                chunk = self._bytes_of(item) if broken is None else self._end_otherwise(broken)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is logged and the stream cut
            raise ConnectionResetError(errno.ECONNRESET, "a stream that cannot be written is cut") from (
                self._fault(error)
            )
        finally:
            self._writing = False
            self.close()
            self._run.call.abort.forget()

    def _first_bytes(self) -> bytes:
        """Return the bytes of what ``open`` waited for."""
        if self._first is None:
            return b""
        return self._encode(self._first) if self._first.frames else self._encode_silence()

    def _written(self, batch: Batch | Repetition) -> bytes:
        """Return the bytes of ``batch``; if they cannot be made or kept, those that end the stream in that error."""
        try:
            return self._write(batch)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - the stream needs an end after any error
            return self._end_otherwise(error)

    def _end_otherwise(self, error: Exception) -> bytes:
        """Return the bytes that end the stream in ``error``; raise it if the run has ended or is read elsewhere."""
        if not self._reads_itself or self._over:
            raise error
        item = self._source.throw(error)
        if isinstance(item, GatewayError):
            self._over = True
            return self._write(Batch(self._fail(item), last=True))
        return self._write(item)

    def _relay(self, batch: Batch | Repetition) -> None:
        """Write ``batch`` while ``chunks`` waits for it; raise ``Quiet`` where it must go on: the client takes no more."""
        assert self._write_now is not None
        try:
            chunk = self._write(batch)
        except Exception as error:
            self._broken = error
            raise Quiet from error
        self._written_at = time.monotonic()
        if chunk and not self._write_now(chunk):
            self._is_unsent = True
            raise Quiet

    def _bytes_of(self, item: _Item) -> bytes:
        """Return the bytes of ``item``, perhaps none."""
        if isinstance(item, Repetition):
            return self._written(item)
        if item is None:
            self._over = True
            return b""
        if isinstance(item, GatewayError):
            self._over = True
            return self._write(Batch(self._fail(item), last=True))
        if item.frames or item.last:
            return self._written(item)  # the last batch may have no frames and is written anyway
        every = self._pace.comment_every
        due = every is not None and time.monotonic() - self._written_at >= every
        return self._encode_silence() if item is _SILENCE or (self._reads_itself and due) else b""

    def close(self) -> None:
        """Abort the call if it still runs, and read it to its end."""
        self._run.sink = None
        if not self._over:
            self._over = True
            self._run.call.abort(GatewayError("client_gone", "The client closed the connection."))
        if self._reads_itself:
            for _ in self._source:
                continue
        self._channel.maxsize = None  # type: ignore[misc]  # gevent's stubs lack the setter
        if not self._channel.empty():
            self._channel.get_nowait()  # wakes a greenlet that waits for room

    def _unblock(self) -> None:
        """Disconnect a client that does not read, now that the call is aborted."""
        if self._writing:
            gevent.spawn_later(_HANGING, self._cut, self._writes)

    def _cut(self, write: int) -> None:
        client: Any = self._run.call.socket
        if self._writing and self._writes == write and client is not None and not is_closed(client):
            client.shutdown(socket.SHUT_RDWR)

    def _wait(self) -> float | None:
        return self._pace.hold if self._run.has_held else self._pace.comment_every

    def _encode_silence(self) -> bytes:
        if self._run.has_held:
            return self._encode(Batch(self._run.flush_held(), last=False))
        return self._silence if self._pace.comment_every is not None else b""

    def _encode(self, batch: Batch | Repetition) -> bytes:
        return self._written(batch) if batch.frames else b""

    def _next(self, seconds: float | None) -> _Item:
        try:
            return self._channel.get(timeout=None if seconds is None else max(0.0, seconds))
        except Empty:
            return _SILENCE

    def _items(self) -> Generator[Batch | Repetition | GatewayError, None, None]:
        try:
            yield from self._run.batches()
        except GatewayError as error:
            yield error
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an ending
            yield self._fault(error)

    def _read_until_content(self) -> None:
        """Read until there is content to write, or to the end if the writer has left before."""
        for item in self._source:
            self._channel.put(item)
            has_frames = isinstance(item, Batch | Repetition) and item.frames
            if has_frames and self._run.content and not self._over:
                self._run.patience = self._pace.comment_every
                self._run.sink = None if self._write_now is None else self._relay
                self._reads_itself = True
                return
        self._channel.put(None)


_SILENCE: Final = Batch([], last=False)
