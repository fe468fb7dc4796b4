"""One request to a provider: its headers, its clocks and its errors.

Tests: tests/behaviour/test_faults_of_connections.py, tests/behaviour/test_timing.py, tests/golden.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Protocol

from app.config import Settings
from app.errors import GatewayError
from app.gateway.call import Attempt, Call, Target
from app.gateway.exchange import Sent
from app.providers.base import Outgoing, Wire
from app.wire.clocks import Clocks
from app.wire.json import loads_lenient
from app.wire.upstream import Upstream

_DEFAULT_FIRST_BYTE: Final = 120.0
_ERROR_LIMIT: Final = 1024 * 1024


class ErrorReader(Protocol):
    """What a request needs of an exchange."""

    wire: Wire

    def error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
        """Read an upstream error; ``body`` is parsed JSON or text."""


class OpenRequest:
    """One request to a provider, open within a ``with`` block, which gives its answer. The attempt notes the seconds.

    Entering raises the exchange's error for a status other than 2xx."""

    __slots__ = ("_attempt", "_began", "_exchange", "_sent", "_settings", "_stream", "_upstream")

    def __init__(
        self, settings: Settings, attempt: Attempt, exchange: ErrorReader, sent: Sent, *, stream: bool
    ) -> None:
        self._settings = settings
        self._attempt = attempt
        self._exchange = exchange
        self._sent = sent
        self._stream = stream
        self._upstream: Upstream | None = None
        self._began = 0.0

    def __enter__(self) -> Upstream:
        attempt, exchange, sent = self._attempt, self._exchange, self._sent
        wire = sent.wire or exchange.wire
        headers = client_headers(attempt.call, attempt.target, sent, wire)
        if attempt.trace_parent is not None:
            headers["traceparent"] = attempt.trace_parent
        target, stream = attempt.target, self._stream and wire.streams
        outgoing = target.provider.outgoing(
            wire, target.key, target.model, sent.body, stream=stream, headers=headers
        )
        attempt.call.abort.check()  # a call that was stopped while it waited sends nothing
        self._began = time.monotonic()
        try:
            self._upstream = upstream = _open(self._settings, attempt, outgoing, stream=stream)
            attempt.status = upstream.status
            if not 200 <= upstream.status < 300:
                raise exchange.error(
                    upstream.status,
                    error_body(upstream),
                    _with_date(upstream.headers),
                )
        except BaseException as error:
            self._leave(error)
            raise
        return upstream

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        attempt = self._attempt
        if error is not None and (attempt.call.abort.reason or not isinstance(error, GatewayError)):
            attempt.maybe_charged = True  # it was stopped from outside, after something was sent
        try:
            if self._upstream is not None:
                self._upstream.close()
        finally:
            attempt.away += time.monotonic() - self._began


def _open(settings: Settings, attempt: Attempt, outgoing: Outgoing, *, stream: bool) -> Upstream:
    call = attempt.call
    upstream: Upstream = attempt.target.provider.transport.open(
        outgoing.method,
        outgoing.url,
        outgoing.headers,
        outgoing.body,
        clocks=_clocks(settings, call, attempt.target, stream),
        stream=stream,
        on_open=call.abort.watch,
    )
    return upstream


def client_headers(call: Call, target: Target, sent: Sent, wire: Wire) -> dict[str, str]:
    """Return the exchange's headers and those of the client that this provider, or this wire, takes."""
    headers = dict(sent.headers)
    dialect_headers = wire.dialect_headers if wire.dialect == call.dialect else ()
    for name in (*target.provider.spec.forwards, *wire.forwards, *dialect_headers):
        value = call.client_headers.get(name)
        if value is not None:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    if target.members is not None:
        headers.update(target.members.headers)
    return headers


def _clocks(settings: Settings, call: Call, target: Target, stream: bool) -> Clocks:
    """Return the clocks of one request: those of the target, else of the settings. Its total is the time that is left: retries
    and fallbacks share one."""
    times, remaining = settings.timeouts, call.remaining()
    if target.members is not None and target.members.timeouts:
        times = replace(times, **target.members.timeouts)
        remaining = min(remaining, target.members.timeouts.get("total", remaining))
    first_byte = times.first_byte
    if first_byte is None:
        first_byte = _DEFAULT_FIRST_BYTE if stream else remaining
    return Clocks(min(times.connect, remaining), first_byte, times.idle, remaining)


def error_body(upstream: Upstream) -> Any:
    """Read the body of an error; what is past a mebibyte is left out, since the status tells more than the error of a long body."""
    pieces: list[bytes] = []
    size = 0
    while size <= _ERROR_LIMIT and (piece := upstream.read1()):
        pieces.append(piece)
        size += len(piece)
    return parse_error_body(b"".join(pieces)[:_ERROR_LIMIT])


def parse_error_body(data: bytes) -> Any:
    """Return an error body as JSON where it is JSON, else as text."""
    try:
        return loads_lenient(data)
    except ValueError:
        return data.decode("utf-8", "replace")


def _with_date(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers with a date: the start of a wait until a point in time."""
    if "date" in headers:
        return headers
    now = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    return {**headers, "date": now}


def json_of(sent: Sent) -> Any:
    """Return the body of a request to a provider as JSON; None if it is not JSON."""
    if not isinstance(sent.body, bytes):
        return None
    try:
        return loads_lenient(sent.body)
    except ValueError:
        return None
