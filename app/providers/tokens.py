"""Access tokens: one greenlet fetches them for all that wait, and renews them before they end.

With the vendors' libraries every waiting call fetches its own token; a lock for each credential makes that
one. Token servers are called through the provider's own transport, so its proxy and certificate authorities
apply to them, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from app.errors import GatewayError
from app.wire.egress import Clocks, Transport

MARGIN: Final = 240.0  # seconds before its end that a token is renewed; msal's own cache renews at 300
_CLOCKS: Final = Clocks(connect=10, first_byte=20, idle=20, total=30)
_MAX_ANSWER: Final = 1024 * 1024  # bytes
_FAILURE_SECONDS: Final = 1.0  # how long those who waited for a failed fetch get the same failure


class Token(NamedTuple):
    """A token and the seconds that it lasts from when it was fetched."""

    value: str
    lasts: float


class Reply(NamedTuple):
    """A token server's answer, as google-auth reads it, too."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class TokenSource:
    """One credential's token. ``fetch`` gets a new one; it is never called twice at a time. ``now`` gives the seconds of a
    clock that nobody sets."""

    def __init__(self, fetch: Callable[[], Token], now: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._now = now
        self._lock = threading.Lock()
        self._token: str | None = None
        self._ends = 0.0
        self._failure: tuple[float, GatewayError] | None = None

    def token(self) -> str:
        """Return a token with some time left; raises what ``fetch`` raises."""
        token = self._token
        if token is not None:
            seconds = self._ends - self._now()
            if seconds > MARGIN or (seconds > 0 and self._lock.locked()):
                return token
        with self._lock:
            return self._renew()

    def _renew(self) -> str:
        now = self._now()
        if self._token is not None and self._ends - now > MARGIN:
            return self._token
        if self._failure is not None and now - self._failure[0] < _FAILURE_SECONDS:
            raise self._failure[1]
        try:
            self._token, lasts = self._fetch()
        except GatewayError as error:
            self._failure = (self._now(), error)
            if self._token is not None and self._ends > now:
                return self._token  # the old one is still good; the next call tries again
            raise
        self._ends, self._failure = now + lasts, None
        return self._token


def call(
    transport: Transport, method: str, url: str, headers: Mapping[str, str], body: bytes | None
) -> Reply:
    """Call a token server and return its whole answer; raises GatewayError for a failed call."""
    upstream = transport.open(method, url, headers, body, clocks=_CLOCKS, stream=False)
    try:
        return Reply(upstream.status, upstream.headers, upstream.read(_MAX_ANSWER))
    finally:
        upstream.close()


def refusal(vendor: str, reason: object) -> GatewayError:
    """Return the error for credentials that a vendor's token server refused; ``reason`` is for operators."""
    return GatewayError(
        "upstream_auth",
        f"{vendor} gave no access token for the configured credentials.",
        raw=str(reason)[:500],
    )


def missing_library(extra: str) -> GatewayError:
    """Return the error for a cloud library that is not installed."""
    return GatewayError(
        "provider_not_configured",
        f"The library for these credentials is not installed: pip install 'sluice-gateway[{extra}]'.",
        param="model",
    )
