"""What stands in for a socket: a script of timed bytes, played under the clocks of a call.

Keeps the contract of ``app.wire.upstream`` as HTTP does: nothing is waited for except under
the watchdog, so an abort or a clock ends every wait at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import gevent

from app.errors import GatewayError
from app.wire.clocks import Clocks, Watchdog
from app.wire.upstream import MAX_BODY, Abortable, TransportError, Upstream

_LONGEST_SLEEP: Final = 3600.0


class Arrival(NamedTuple):
    """Bytes that arrive ``at`` seconds after the start of the body. ``cut``: the connection
    breaks after them; infinity never comes."""

    at: float
    data: bytes = b""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """One answer: nothing for ``silence`` seconds, then status and headers, then the body."""

    status: int
    headers: Mapping[str, str]
    body: Iterable[Arrival]
    silence: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One HTTP request as it reached the sandbox; ``path`` begins with a slash."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


Writer = Callable[[Asked], Script]


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
            script = self._write(Asked(method, urlsplit(url).path, lower, whole))
            if script.silence > 0:
                _wait(script.silence, watchdog)
        except BaseException:
            watchdog.stop()
            raise
        return ScriptedUpstream(script, watchdog, counts_bytes=not stream)


class ScriptedUpstream:
    """Plays the body of one script; see ``app.wire.upstream.Upstream``."""

    def __init__(self, script: Script, watchdog: Watchdog, *, counts_bytes: bool) -> None:
        self.status = script.status
        self.headers: Mapping[str, str] = script.headers
        self._body: Iterator[Arrival] = iter(script.body)
        self._next: Arrival | None = None
        self._watchdog = watchdog
        self._counts_bytes = counts_bytes
        self._started = time.monotonic()
        self._fault: BaseException | None = None
        self._ended = False
        watchdog.on_abort = self._drop

    def read1(self, n: int = 65536) -> bytes:
        """Return what is due by now, waiting for at least a byte; ``b""`` at the end.

        Raises upstream_cut, or the reason of whoever aborted; then again, each time.
        """
        if self._fault is not None:
            raise self._fault
        try:
            data = self._arrived(n)
        except BaseException as error:
            self._fault = error
            self._drop()
            raise
        if data and self._counts_bytes:
            self._watchdog.progress()
        return data

    def read(self, limit: int = MAX_BODY) -> bytes:
        """Return the rest of the body; upstream_invalid past ``limit`` bytes."""
        pieces: list[bytes] = []
        size = 0
        while piece := self.read1():
            size += len(piece)
            if size > limit:
                self._fault = TransportError("upstream_invalid", f"The answer is larger than {limit} bytes.")
                self._drop()
                raise self._fault
            pieces.append(piece)
        return b"".join(pieces)

    def progress(self) -> None:
        """Note a data event, which restarts the idle clock."""
        self._watchdog.progress()

    def abort(self, reason: GatewayError) -> bool:
        """Stop for ``reason``, from any greenlet: who reads raises it; False if it had ended."""
        return self._watchdog.abort(reason)

    def close(self) -> None:
        """Let go of the answer."""
        self._drop()

    def _arrived(self, n: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while size < n and (arrival := self._upcoming()) is not None:
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
        return b"".join(pieces) if pieces else self._last_word()

    def _upcoming(self) -> Arrival | None:
        if self._next is None and not self._ended:
            self._next = next(self._body, None)
        return self._next

    def _last_word(self) -> bytes:
        """Return ``b""`` at a true end, or raise why it is none."""
        if self._watchdog.reason is not None:
            raise self._watchdog.reason
        self._drop()
        return b""

    def _drop(self) -> None:
        self._watchdog.stop()
        self._ended = True
        self._next = None


def _wait(seconds: float, watchdog: Watchdog) -> None:
    """Sleep until ``seconds`` are over or the watchdog says why not."""
    until = time.monotonic() + seconds
    with watchdog:
        while (left := until - time.monotonic()) > 0:
            gevent.sleep(min(left, _LONGEST_SLEEP))
