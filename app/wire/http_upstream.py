"""The body of an HTTP answer, read from its live connection under a watchdog.

Knows framing (``app.wire.http1``) and clocks; how connections are made and pooled is
``app.wire.egress``'s business, which passes in what keeps or drops this one.
"""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from functools import partial
from typing import Final, Protocol

import gevent

from app.wire import content_coding, http1
from app.wire.clocks import Watchdog
from app.wire.direct_connection import Exchange
from app.wire.fairness import Turns
from app.wire.response_body import WatchedBody, broken_body
from app.wire.upstream import MAX_BODY, Take, TransportError

MAX_STREAM: Final = (
    1024 * 1024 * 1024
)  # bytes that one answer may bring, compressed and inflated, read piecemeal
LINGER: Final = 0.01  # seconds to wait for a body's last bytes, so that its connection can be kept
_MAX_RELAYED: Final = 16 * 1024  # bytes of a read; a larger one is taken in turns (app.wire.fairness)
PLAIN_ERRORS: Final = (OSError, http.client.HTTPException, ValueError)  # what a broken connection raises


class Live(Protocol):
    """An answer on its connection: the head is read, the body begins at the next byte. ``headers`` has lower-case names."""

    status: int
    headers: dict[str, str]

    def read1(self, n: int = 65536, /) -> bytes:
        """Return what has arrived, waiting for at least a byte; ``b""`` at the end."""
        ...

    def keep(self) -> None:
        """Keep the connection for another request."""
        ...

    def drop(self) -> None:
        """Close the connection."""
        ...


class HttpUpstream(WatchedBody):
    """One HTTP answer; see ``app.wire.upstream.Upstream`` for the contract.

    ``live`` stands at the first byte of the body; its connection is kept or dropped, once.
    """

    def __init__(self, live: Live, watchdog: Watchdog, *, method: str, stream: bool) -> None:
        super().__init__(watchdog, stream=stream)
        self.status: int = live.status
        self.headers: Mapping[str, str] = live.headers
        self._live = live
        self._received = 0
        self._turns: Turns | None = None
        try:
            self._body = http1.body_of(method, self.status, self.headers)
            is_coded = "content-encoding" in self.headers
            self._inflater = content_coding.inflater_of(self.headers) if is_coded else None
        except http1.Malformed as error:
            raise broken_body(str(error)) from error
        watchdog.on_abort = self._drop
        if self._body.ended:
            self._finish()

    def read(self, limit: int = MAX_BODY) -> bytes:
        """Return the rest of the body; see ``WatchedBody.read``. A body that came whole with its head is taken as it is."""
        body, live = self._body, self._live
        if isinstance(body, http1.SizedBody) and isinstance(live, Exchange):
            plain = self._inflater is None and self._fault is None and self._watchdog.reason is None
            if plain and 0 < body.left <= limit and (data := live.take(body.left)):
                body.feed(data)
                self._finish()
                return data
        return super().read(limit)

    def close(self) -> None:
        """Let go of the answer. To keep the connection, this waits a moment for the last bytes of a body."""
        if not self._body.ended:
            if self._received:
                self._linger()
            self._release()

    def _next_content(self, n: int, take: Take | None) -> bytes:
        inflater = self._inflater
        turns = self._turns = self._turns or Turns()
        relay = None
        if take is not None and inflater is None and isinstance(self._live, Exchange):
            relay = partial(self._live.relay, partial(self._relay, take))
        try:
            while True:
                turns.take()
                if (
                    inflater is not None
                    and inflater.holds
                    and (content := self._count(inflater.feed(b"", n)))
                ):
                    return content
                if self._body.ended:
                    return self._last_word()
                with self._watchdog:
                    data = self._live.read1(n) if relay is None else relay(n)
                content = self._take(data)
                if inflater is not None:
                    content = self._count(inflater.feed(content, n))
                if content:
                    return content
        except PLAIN_ERRORS as error:
            raise _fault_of(error) from error

    def _relay(self, take: Take, data: bytes) -> bool:
        """Offer ``take`` the content of one read; False if it does not take it, and then nothing has
        happened."""
        content = self._body.content_of(data) if len(data) <= _MAX_RELAYED else None
        if not content or self._received + len(data) > MAX_STREAM or not take(content):
            return False
        self._received += len(data)
        return True

    def _last_word(self) -> bytes:
        """Return ``b""`` at a real end; raise the error of a cut body."""
        if self._watchdog.reason is not None:
            raise self._watchdog.reason
        if self._inflater is not None:
            self._inflater.end()
        return b""

    def _take(self, data: bytes) -> bytes:
        """Take the framing off what one read brought; the end of the body frees the connection."""
        self._count(data)
        if not data:
            self._body.end()
        content = self._body.feed(data)
        if self._body.ended:
            self._finish()
        return content

    def _count(self, data: bytes) -> bytes:
        """Return what was received, or inflated from that, where it is not too much."""
        self._received += len(data)
        if self._received > MAX_STREAM:
            raise http1.Malformed(f"larger than {MAX_STREAM} bytes")
        return data

    def _linger(self) -> None:
        try:
            with gevent.Timeout(LINGER, False):  # type: ignore[arg-type]  # False: end in silence
                self._take(self._live.read1())
        except PLAIN_ERRORS:
            self._drop()  # the caller has what it wanted

    def _finish(self) -> None:
        self._watchdog.stop()
        if self._body.reusable:
            self._live.keep()
        else:
            self._live.drop()

    def _release(self) -> None:
        if not self._body.ended:
            self._drop()

    def _drop(self) -> None:
        self._watchdog.stop()
        self._body = http1.SizedBody(0)
        self._live.drop()


def _fault_of(error: Exception) -> TransportError:
    if isinstance(error, http1.Malformed):
        return broken_body(str(error))
    message = "The provider's answer was cut off."
    return TransportError("upstream_cut", message, maybe_charged=True, raw=f"{type(error).__name__}: {error}")
