"""The pump between a streamed call and the client's socket.

A greenlet reads the upstream and fills a short channel; the WSGI generator empties it. So
the writer can wait with a time limit: hold lifecycle frames for content, send a comment when
nothing comes, and leave an upstream error before the status its real status.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import gevent
from gevent.queue import Empty, Queue

from app.dialects.base import Frame
from app.errors import GatewayError
from app.gateway.streaming import Batch, StreamRun
from app.wire.sse import comment

_DEPTH: Final = 16  # upstream reads that may wait for a slow client

Write = Callable[[list[Frame], bool], bytes]
"""Turns frames into the bytes of one write; the flag marks the last ones."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the writer waits, in seconds: ``hold`` for content after the first
    lifecycle frame, ``status_after`` in silence before the status is spent, ``comment_every``
    between comments, which are left out when that is None."""

    hold: float
    status_after: float
    comment_every: float | None


_Item = Batch | GatewayError | None


class Pump:
    """Runs one StreamRun in a greenlet of its own."""

    def __init__(
        self,
        run: StreamRun,
        pace: Pace,
        write: Write,
        fail: Callable[[GatewayError], list[Frame]],
        fault: Callable[[Exception], GatewayError],
    ) -> None:
        self._run = run
        self._pace = pace
        self._write = write
        self._fail = fail
        self._fault = fault
        self._channel: Queue[_Item] = Queue(_DEPTH)
        self._over = False
        self._first: Batch | None = None
        gevent.spawn(self._fill)

    def open(self) -> None:
        """Wait until the status may be sent.

        Returns on content, ``hold`` seconds after the first lifecycle frame, or after
        ``status_after`` seconds of silence; raises the GatewayError of a call that failed
        before any of these.
        """
        limit = time.monotonic() + self._pace.status_after
        while True:
            item = self._next(limit - time.monotonic())
            if isinstance(item, GatewayError):
                raise item
            if item is None:
                self._over = True
                return
            if item is _SILENCE:
                self._first = Batch(self._run.take_held(), last=False)
                return
            if item.frames:
                self._first = item
                return
            limit = min(limit, time.monotonic() + self._pace.hold) if self._run.holding else limit

    def chunks(self) -> Iterator[bytes]:
        """Yield what goes to the client, one piece for each upstream read, never an empty one
        (which would end a chunked body)."""
        try:
            for piece in self._pieces():
                if piece:
                    yield piece
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is logged and the stream cut
            raise ConnectionResetError(errno.ECONNRESET, "a stream that cannot be written is cut") from (
                self._fault(error)
            )
        finally:
            self.close()

    def _pieces(self) -> Iterator[bytes]:
        if self._first is not None:
            yield self._written(self._first) if self._first.frames else self._silent()
        while not self._over:
            item = self._next(self._wait())
            if item is _SILENCE:
                yield self._silent()
            elif isinstance(item, GatewayError):
                self._over = True
                yield self._write(self._fail(item), True)
            elif item is None:
                self._over = True
            else:
                yield self._written(item)

    def close(self) -> None:
        """Stop the call if it still runs, and let its greenlet end."""
        if not self._over:
            self._over = True
            self._run.outcome.call.abort(GatewayError("client_gone", "The client closed the connection."))
        self._channel.maxsize = None  # type: ignore[misc]  # gevent's stubs lack the setter
        if not self._channel.empty():
            self._channel.get_nowait()  # wakes a greenlet that waits for room

    def _wait(self) -> float | None:
        return self._pace.hold if self._run.holding else self._pace.comment_every

    def _silent(self) -> bytes:
        if self._run.holding:
            return self._written(Batch(self._run.take_held(), last=False))
        return comment("keep-alive") if self._pace.comment_every is not None else b""

    def _written(self, batch: Batch) -> bytes:
        return self._write(batch.frames, batch.last) if batch.frames else b""

    def _next(self, seconds: float | None) -> _Item:
        try:
            return self._channel.get(timeout=None if seconds is None else max(0.0, seconds))
        except Empty:
            return _SILENCE

    def _fill(self) -> None:
        try:
            for batch in self._run.batches():
                self._channel.put(batch)
        except GatewayError as error:
            self._channel.put(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an ending
            self._channel.put(self._fault(error))
        else:
            self._channel.put(None)


_SILENCE: Final = Batch([], last=False)
