"""A corporate network on loopback: one way out (a CONNECT proxy), and providers behind a private authority.

Provider names end in ``.corp.test``, which resolves nowhere: only the proxy leads to them.
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
from gevent.server import StreamServer

from tests.traffic.replay import Upstream
from tests.wire.certificates import Authority, make_authority
from tests.wire.servers import read_request

LOGIN = "gateway:s%3Acret"
CREDENTIALS = "Basic " + base64.b64encode(b"gateway:s:cret").decode()
HOSTS = {
    "OPENAI_BASE_URL": "https://api.openai.corp.test/v1",
    "GROQ_BASE_URL": "https://api.groq.corp.test/openai/v1",
    "ANTHROPIC_BASE_URL": "https://api.anthropic.corp.test",
    "GEMINI_BASE_URL": "https://gemini.corp.test/v1beta",
    "COHERE_BASE_URL": "https://api.cohere.corp.test",
}
KEYS = {name.replace("_BASE_URL", "_API_KEY"): "provider-key" for name in HOSTS}


@dataclass
class Network:
    """What lies outside: the providers' answers, the TLS port before them, and what the proxy was asked."""

    upstream: Upstream
    authority: Authority
    tls_port: int = 0
    proxy_port: int = 0
    tunnels: list[str] = field(default_factory=list)
    passwords: list[str | None] = field(default_factory=list)
    page: bytes | None = None  # what the proxy says to everyone, instead of a tunnel

    @property
    def environ(self) -> dict[str, str]:
        """The variables an operator sets here."""
        proxy = f"http://{LOGIN}@127.0.0.1:{self.proxy_port}"
        return {**HOSTS, **KEYS, "HTTPS_PROXY": proxy, "SSL_CERT_FILE": self.authority.ca}

    def forget(self) -> None:
        """Forget what was queued, asked and decided."""
        self.upstream.forget()
        self.tunnels.clear()
        self.passwords.clear()
        self.page = None

    def converse_as_proxy(self, sock: Any, _address: Any) -> None:
        """Refuse, ask for the password, or lead to the providers."""
        request = read_request(sock.makefile("rb", buffering=0))
        if request is None:
            return
        self.tunnels.append(request.line.rpartition(" ")[0])
        self.passwords.append(request.header("proxy-authorization"))
        if self.page is not None:
            sock.sendall(self.page)
        else:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            _join(sock, self.tls_port)

    def converse_as_provider(self, sock: Any, _address: Any) -> None:
        """Take the TLS off and pass the rest to the fake provider."""
        _join(sock, self.upstream.port)


def _join(near: Any, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as far:
        ways = [gevent.spawn(_pump, near, far), gevent.spawn(_pump, far, near)]
        gevent.joinall(ways, count=1)
        gevent.killall(ways)


def _pump(source: Any, sink: Any) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        return  # one side is gone, and with it the connection


@contextmanager
def corporate_network(folder: Path) -> Iterator[Network]:
    """Open the network for the length of the block."""
    authority = make_authority(folder)
    names = [url.split("/")[2] for url in HOSTS.values()]
    context = authority.server_context("127.0.0.1", *names)
    with Upstream() as upstream:
        network = Network(upstream, authority)
        providers = StreamServer(("127.0.0.1", 0), network.converse_as_provider, ssl_context=context)
        proxy = StreamServer(("127.0.0.1", 0), network.converse_as_proxy)
        providers.start()
        proxy.start()
        network.tls_port, network.proxy_port = providers.server_port, proxy.server_port
        try:
            yield network
        finally:
            proxy.stop(timeout=0)
            providers.stop(timeout=0)
