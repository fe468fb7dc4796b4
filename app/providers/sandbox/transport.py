"""A stand-in for a socket: a script of timed bytes, played under the clocks of a call.

It keeps the contract of ``app.wire.upstream`` as HTTP does: every wait is under the watchdog, so an abort or
a clock ends it at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import gevent

from app.canonical.record import record
from app.wire.clocks import Clocks, Watchdog
from app.wire.offload import aside
from app.wire.response_body import WatchedBody
from app.wire.upstream import Abortable, Take, TransportError, Upstream

_LONGEST_SLEEP: Final = 3600.0


class Arrival(NamedTuple):
    """Bytes that arrive ``at`` seconds after the start of the body (infinity: never). With ``cut``, the
    connection breaks there."""

    at: float
    data: bytes = b""
    cut: bool = False


@record
class Script:
    """One answer: nothing for ``silence`` seconds, then status and headers, then the body."""

    status: int
    headers: Mapping[str, str]
    body: Iterable[Arrival]
    silence: float = 0.0


@record
class HttpRequest:
    """One HTTP request as it reached the sandbox; ``path`` begins with a slash."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


Writer = Callable[[HttpRequest], Script]


class ScriptedTransport:
    """Answers every request with the script that ``write`` makes of it."""

    def __init__(self, write: Writer) -> None:
        self._write = write

    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
        *,
        clocks: Clocks,
        stream: bool,
        on_open: Callable[[Abortable], object] | None = None,
    ) -> Upstream:
        """Return the answer once its silence is over; see ``Transport.open`` of egress."""
        watchdog = Watchdog(clocks)
        try:
            if on_open is not None:
                on_open(watchdog)
            whole = body if isinstance(body, bytes) else b"".join(body or ())
            lower = {name.lower(): value for name, value in headers.items()}
            request = HttpRequest(method, urlsplit(url).path, lower, whole)
            script = aside(len(whole), lambda: self._write(request))
            if script.silence > 0:
                _wait(script.silence, watchdog)
        except BaseException:
            watchdog.stop()
            raise
        return ScriptedUpstream(script, watchdog, stream=stream)


class ScriptedUpstream(WatchedBody):
    """Plays the body of one script; see ``app.wire.upstream.Upstream``."""

    def __init__(self, script: Script, watchdog: Watchdog, *, stream: bool) -> None:
        super().__init__(watchdog, stream=stream)
        self.status = script.status
        self.headers: Mapping[str, str] = script.headers
        self._body: Iterator[Arrival] = iter(script.body)
        self._next: Arrival | None = None
        self._started = time.monotonic()
        self._ended = False
        watchdog.on_abort = self._release

    def close(self) -> None:
        """Let go of the answer."""
        self._release()

    def _next_content(self, n: int, take: Take | None) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while size < n and (arrival := self._peek()) is not None:
            delay = self._started + arrival.at - time.monotonic()
            if delay > 0:
                if pieces:
                    break
                _wait(delay, self._watchdog)
            if arrival.cut and not pieces:
                raise TransportError("upstream_cut", "The provider's answer was cut off.", maybe_charged=True)
            if arrival.cut:
                break
            self._next = None
            pieces.append(arrival.data)
            size += len(arrival.data)
        return b"".join(pieces) if pieces else self._end()

    def _peek(self) -> Arrival | None:
        if self._next is None and not self._ended:
            self._next = next(self._body, None)
        return self._next

    def _end(self) -> bytes:
        """Return ``b""`` at the end of the body; raise the reason of an abort."""
        if self._watchdog.reason is not None:
            raise self._watchdog.reason
        self._release()
        return b""

    def _release(self) -> None:
        self._watchdog.stop()
        self._ended = True
        self._next = None


def _wait(seconds: float, watchdog: Watchdog) -> None:
    """Sleep for ``seconds``; the watchdog raises before they are over where the call is aborted."""
    until = time.monotonic() + seconds
    with watchdog:
        while (rest := until - time.monotonic()) > 0:
            gevent.sleep(min(rest, _LONGEST_SLEEP))
