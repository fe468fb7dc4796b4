"""Outbound HTTP. ``app.wire.connections`` and ``app.wire.requests_adapter`` are the only users of urllib3 and requests
beside it.

One ``Egress`` per worker holds the operator's proxies and authorities; each provider gets one
long-lived ``Transport`` from it, and each call an ``Upstream``. There is no Session: no cookies, no
.netrc, no environment, no redirects and no retries exist here. Requests are prepared by hand and
sent by an adapter, bodies are read straight from the connection under ``app.wire.http1``.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import SplitResult

import urllib3
from gevent import monkey

from app.wire import direct_connection, http1, proxies, request_head, tls
from app.wire.clocks import Clocks, Watchdog
from app.wire.connections import AGENT, CONNECTIONS, address_of, target
from app.wire.http_upstream import PLAIN_ERRORS, HttpUpstream, Live
from app.wire.paths import host_label, segment
from app.wire.upstream import Abortable, Opener, TransportError, Upstream

if TYPE_CHECKING:
    from app.wire.requests_adapter import Adapter

__all__ = ["Clocks", "Egress", "Transport", "TransportError", "Upstream", "host_label", "segment"]

MAX_WAYS: Final = 256  # URLs of a provider that are remembered
POOL_SIZE: Final = 1000  # kept connections per host; beyond it urllib3 drops one, which costs a handshake


class Egress:
    """The way out: proxies, authorities, transports.

    ``environ`` is read here, once. Raises ``ValueError`` for a proxy that is not a URL and for a CA
    path that does not exist.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = environ or {}
        self._rules = proxies.rules_of(environ)
        self._ca_paths = tls.paths_of(environ)
        self._contexts: dict[tls.Trust, ssl.SSLContext] = {}
        self._openers: dict[str, Opener] = {}
        self._transports: list[Transport] = []

    def register(self, scheme: str, opener: Opener) -> None:
        """Let ``opener`` serve every URL of ``scheme`` (``sandbox``), without a socket."""
        self._openers[scheme] = opener

    def opener(self, scheme: str) -> Opener | None:
        """Return what was registered for ``scheme``."""
        return self._openers.get(scheme)

    def transport(
        self,
        *,
        proxy: str | None = None,
        ca_bundle: str | None = None,
        client_cert: str | tuple[str, str] | None = None,
    ) -> Transport:
        """Return a new transport; make one per provider and keep it.

        ``proxy`` wins over everything, ``NO_PROXY`` included (``direct``: none);
        ``ca_bundle`` is added to the authorities; ``client_cert`` is a PEM file with
        certificate and key, or the pair of them.
        """
        rules = self._rules if proxy is None else proxies.fixed_rules(proxy)
        paths = tls.existing((*self._ca_paths, *([ca_bundle] if ca_bundle else [])))
        ways = _Ways(
            rules,
            target_tls=lambda: self._context(tls.Trust(paths, client_cert)),
            proxy_tls=lambda: self._context(tls.Trust(paths)),
        )
        transport = Transport(ways, self.opener)
        self._transports.append(transport)
        return transport

    def close(self) -> None:
        """Close every idle connection."""
        for transport in self._transports:
            transport.close()

    def _context(self, trust: tls.Trust) -> ssl.SSLContext:
        if trust not in self._contexts:
            self._contexts[trust] = trust.context()
        return self._contexts[trust]


class _Route(NamedTuple):
    """Where a URL leads, resolved once: the target of the origin's request line; the origin, None behind a proxy;
    and the opener that serves the URL's scheme without a socket, if there is one."""

    target: str
    origin: direct_connection.Origin | None
    opener: Opener | None


class Transport:
    """Sends requests to one provider over kept connections."""

    def __init__(self, ways: _Ways, opener: Callable[[str], Opener | None]) -> None:
        self._ways = ways
        self._opener = opener
        self._routes: dict[str, _Route] = {}
        # Where the watchdog works, reads need no limit of the socket, which would cost a timer for each
        # read.
        self._has_watchdog = monkey.is_module_patched("socket")

    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None = None,
        *,
        clocks: Clocks,
        stream: bool,
        on_open: Callable[[Abortable], object] | None = None,
    ) -> Upstream:
        """Send a request and return the answer once its headers are here, whatever its status.

        A body in pieces goes out with the caller's ``content-length``, else chunked.
        With ``stream`` the caller reports each data event by ``progress()``; without,
        every byte counts. ``on_open`` gets, before anything is sent, what aborts the
        call even while its headers are awaited.

        Raises ``bad_request`` for a URL or header that must not go out, and a
        ``TransportError`` of the kinds upstream_unreachable, upstream_dns,
        upstream_tls, egress_proxy, upstream_timeout and upstream_invalid (a redirect
        among them), or the reason of an abort.
        """
        way = self._routes.get(url) or self._find_way(url)
        if way.opener is not None:
            return way.opener(method, url, headers, body, clocks=clocks, stream=stream, on_open=on_open)
        watchdog = Watchdog(clocks)
        limits = (clocks.connect, None if self._has_watchdog else clocks.total)
        live: Live | None = None
        try:
            if on_open is not None:
                on_open(watchdog)
            with watchdog:
                live = self._ways.send(way, method, url, headers, body, limits)
            upstream = HttpUpstream(live, watchdog, method=method, stream=stream)
            return _accept(upstream, proxied=way.origin is None)
        except BaseException as error:
            if live is not None:
                live.drop()
            watchdog.stop()
            if isinstance(error, _FAILURES):
                raise _fault_of(error) from error
            raise

    def close(self) -> None:
        """Close the idle connections."""
        self._ways.close()

    def _find_way(self, url: str) -> _Route:
        """Return where a URL leads, and remember it; raises for a URL that must not be
        requested."""
        parts = request_head.split_url(url)
        opener, origin = self._opener(parts.scheme), None
        if opener is None:
            request_head.check_url(url, parts)
            origin = self._ways.origin(parts)
        if len(self._routes) >= MAX_WAYS:
            self._routes.clear()
        way = self._routes[url] = _Route(target(parts), origin, opener)
        return way


class _Ways:
    """The ways to origins: direct, over connections of our own, or through ``requests`` if there is a proxy or
    the body comes in pieces."""

    def __init__(
        self,
        rules: proxies.ProxyRules,
        *,
        target_tls: Callable[[], ssl.SSLContext],
        proxy_tls: Callable[[], ssl.SSLContext],
    ) -> None:
        self._rules = rules
        self._target_tls = target_tls
        self._proxy_tls = proxy_tls
        self._direct: dict[tuple[str, str], direct_connection.Origin] = {}
        self._adapter: Adapter | None = None

    def origin(self, parts: SplitResult) -> direct_connection.Origin | None:
        """Return the connections to the origin of a URL, None if it is reached through a proxy."""
        if self._rules.proxy_for(parts.scheme, *address_of(parts)) is not None:
            return None
        return self._direct.get((parts.scheme, parts.netloc)) or self._open_direct(parts)

    def send(
        self,
        way: _Route,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
        limits: tuple[float, float | None],
    ) -> Live:
        """Send a request; ``limits`` are for connecting and for a read, in seconds. Raises what either way raises."""
        if way.origin is not None and isinstance(body, bytes | None):
            return way.origin.send(method, way.target, headers, body, limits)
        all_headers = request_head.headers_of(method, headers, body)
        return self.adapter().send_by_requests(method, url, all_headers, body, limits)

    def adapter(self) -> Adapter:
        """Return requests' adapter, loaded at its first use."""
        from app.wire.requests_adapter import Adapter

        if self._adapter is None:
            self._adapter = Adapter(
                self._rules,
                target_tls=self._target_tls,
                proxy_tls=self._proxy_tls,
                pool_size=POOL_SIZE,
            )
        return self._adapter

    def close(self) -> None:
        """Close the idle connections."""
        if self._adapter is not None:
            self._adapter.close()
        for origin in self._direct.values():
            origin.close()

    def _open_direct(self, parts: SplitResult) -> direct_connection.Origin:
        host, port = address_of(parts)

        def connect(timeout: float | None) -> Any:
            secure = {"ssl_context": self._target_tls()} if parts.scheme == "https" else {}
            connection = CONNECTIONS[parts.scheme](host, port, timeout=timeout, **secure)
            try:
                connection.connect()
            except BaseException:
                connection.close()
                raise
            return connection

        netloc = f"[{host}]" if ":" in host else host
        value = netloc if port == request_head.PORTS[parts.scheme] else f"{netloc}:{port}"
        origin = direct_connection.Origin(value, connect, agent=AGENT, size=POOL_SIZE)
        self._direct[parts.scheme, parts.netloc] = origin
        return origin


# --- the answer and its faults ----------------------------------------------------------------


def _accept(upstream: HttpUpstream, *, proxied: bool) -> HttpUpstream:
    """Return an answer that may be read, or raise for one that no provider sends."""
    if upstream.status == 407 or (proxied and upstream.status < 500 and _is_html(upstream)):
        raise TransportError("egress_proxy", "The egress proxy refused the request to the provider.")
    if upstream.status < 200 or 300 <= upstream.status < 400 or upstream.status > 599:
        what = "a redirect, which is never followed" if 300 <= upstream.status < 400 else "no final status"
        raise TransportError(
            "upstream_invalid", f"The provider answered with {what} ({upstream.status}).", maybe_charged=True
        )
    return upstream


def _is_html(upstream: HttpUpstream) -> bool:
    return upstream.headers.get("content-type", "").lower().startswith("text/html")


_FAILURES: Final = (urllib3.exceptions.HTTPError, *PLAIN_ERRORS)  # those of requests are OSErrors

# Exception, kind, message, maybe_charged. The first row that fits any exception of the chain decides.
_FAULTS: Final[tuple[tuple[type[BaseException], str, str, bool], ...]] = (
    (urllib3.exceptions.ProxyError, "egress_proxy", "The egress proxy could not be used.", False),
    (
        urllib3.exceptions.NameResolutionError,
        "upstream_dns",
        "The provider's name could not be resolved.",
        False,
    ),
    (
        urllib3.exceptions.NewConnectionError,
        "upstream_unreachable",
        "The provider could not be reached.",
        False,
    ),
    (
        urllib3.exceptions.ConnectTimeoutError,
        "upstream_timeout",
        "The provider did not connect in time.",
        False,
    ),
    (urllib3.exceptions.SSLError, "upstream_tls", "The TLS connection to the provider failed.", False),
    (ssl.SSLError, "upstream_tls", "The TLS connection to the provider failed.", False),
    (urllib3.exceptions.TimeoutError, "upstream_timeout", "The provider did not answer in time.", True),
    (TimeoutError, "upstream_timeout", "The provider did not answer in time.", True),
    (http1.Closed, "upstream_unreachable", "The provider closed the connection.", True),
    # heads are read by http1; only a tunnel's answer still comes from http.client itself
    (http.client.BadStatusLine, "egress_proxy", "The egress proxy did not answer in HTTP.", False),
    (http1.Cut, "upstream_cut", "The provider's answer was cut off.", True),
    (http.client.HTTPException, "upstream_invalid", "The provider's answer is not HTTP.", True),
    (UnicodeError, "bad_request", "A value in this request cannot be sent to the provider.", False),
    (urllib3.exceptions.InvalidHeader, "upstream_invalid", "The provider's answer is not HTTP.", True),
    (Exception, "upstream_unreachable", "The connection to the provider failed.", True),
)


def _fault_of(error: BaseException) -> TransportError:
    chain = list(_causes(error))
    for fault, kind, message, maybe_charged in _FAULTS:
        match = next((cause for cause in chain if isinstance(cause, fault)), None)
        if match is not None:
            return TransportError(
                kind, message, maybe_charged=maybe_charged, raw=f"{type(match).__name__}: {_words_of(match)}"
            )
    raise error


def _words_of(error: BaseException) -> str:
    """Return what an error says, without the connection that urllib3 names before it."""
    return str(error).removeprefix(f"{getattr(error, 'conn', None)}: ")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those it wraps: in its arguments, its ``reason`` or its cause."""
    yield error
    inner = [*error.args, getattr(error, "reason", None), error.__cause__]
    for cause in inner:
        if isinstance(cause, BaseException) and cause is not error:
            yield from _causes(cause)
