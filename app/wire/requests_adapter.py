"""The way through ``requests``: what goes through a proxy, and bodies in pieces.

It is loaded when the first of those goes out: most gateways send none.
Tests: tests/wire/test_egress.py, tests/wire/test_egress_tls.py, tests/wire/test_proxies.py.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import SplitResult, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from app.wire import http1, proxies, request_head
from app.wire.connections import CONNECTIONS, address_of, target
from app.wire.upstream import TransportError


class RequestsExchange:
    """An answer over a connection of urllib3's pools: the head is read, the body begins at the next byte."""

    def __init__(self, answer: urllib3.HTTPResponse) -> None:
        live = answer._original_response  # the one private name that we use
        if not isinstance(live, http1.Response):
            raise TypeError("urllib3 no longer keeps the http.client response where it did")
        self.status: int = live.status
        self.headers = live.joined_headers
        self.read1 = live.fp.read1
        self.drop = answer.close
        self._answer = answer
        self._live = live

    def keep(self) -> None:
        """Return the connection to its pool."""
        self._live.close()
        self._answer.release_conn()


class _Bare(requests.Response):
    """A response that only carries ``raw``: no cookies are kept, no header is read twice."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw


class Adapter(HTTPAdapter):
    """requests' adapter with one TLS context, proxies decided beforehand, and pools looked up by origin."""

    def __init__(
        self,
        rules: proxies.ProxyRules,
        *,
        target_tls: Callable[[], ssl.SSLContext],
        proxy_tls: Callable[[], ssl.SSLContext],
        pool_size: int,
    ) -> None:
        self._rules = rules
        self._target_tls = target_tls
        self._proxy_tls = proxy_tls
        self._pools: dict[tuple[str, str], Any] = {}
        super().__init__(pool_connections=256, pool_maxsize=pool_size, max_retries=0)

    def send_by_requests(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes | Iterable[bytes] | None,
        limits: tuple[float, float | None],
    ) -> RequestsExchange:
        """Send a request; ``limits`` are for connecting and for a read, in seconds.

        Raises what requests raises, and a ``TransportError`` for a proxy with an unsupported scheme."""
        request: Any = requests.PreparedRequest()
        # headers are a plain dict: urllib3 copies it as it is, and faster than requests' own kind
        request.method, request.url, request.headers, request.body = method, url, headers, body
        if not isinstance(body, bytes | None) and "Content-Length" in headers:
            request.body = request_head.of_length(body, int(headers["Content-Length"]))
        try:
            answer: urllib3.HTTPResponse = self.send(request, timeout=limits).raw  # type: ignore[arg-type]
        except requests.exceptions.ConnectionError:
            self._close_idle(url)
            raise
        except requests.exceptions.InvalidSchema as error:
            cause = f"{type(error).__name__}: {error}"
            raise TransportError(
                "egress_proxy", "The egress proxy's scheme is not supported.", raw=cause
            ) from error
        return RequestsExchange(answer)

    def _close_idle(self, url: str) -> None:
        """Close the kept connections to an origin: what ended one has ended the others. They connect again when used."""
        for connection in list(self._pools[_origin_of(urlsplit(url))].pool.queue):
            if connection is not None:
                connection.close()

    def get_connection_with_tls_context(
        self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the pool of the request's origin."""
        parts = urlsplit(request.url)
        key = _origin_of(parts)
        if key not in self._pools:
            self._pools[key] = self._make_pool(parts)
        return self._pools[key]

    def request_url(self, request: Any, proxies: Any) -> str:
        """Return the target of the request line: the full URL only for plain http through a proxy."""
        parts = urlsplit(request.url)
        proxy = self._proxy(parts)
        if proxy is not None and parts.scheme == "http" and not proxy.startswith("socks"):
            return parts._replace(fragment="", netloc=parts.netloc.rpartition("@")[2]).geturl()
        return target(parts)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: the context knows its authorities, and urllib3 would parse them for every connection."""

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """Return a bare response."""
        return _Bare(resp)

    def _proxy(self, parts: SplitResult) -> str | None:
        return self._rules.proxy_for(parts.scheme, *address_of(parts))

    def _make_pool(self, parts: SplitResult) -> Any:
        host, port = address_of(parts)
        proxy = self._proxy(parts)
        secure = parts.scheme == "https"
        manager: Any = self.poolmanager
        if proxy is not None:
            tunnel_tls = {"proxy_ssl_context": self._proxy_tls()} if proxy.startswith("https:") else {}
            manager = self.proxy_manager_for(proxy, **tunnel_tls)
        pool = manager.connection_from_host(
            host=host,
            port=port,
            scheme=parts.scheme,
            pool_kwargs={"ssl_context": self._target_tls()} if secure else {},
        )
        pool.ConnectionCls = CONNECTIONS[pool.scheme]
        return pool


def _origin_of(parts: SplitResult) -> tuple[str, str]:
    return parts.scheme, parts.netloc
