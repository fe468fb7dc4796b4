"""A CONNECT proxy on a loopback port that leads every name to one local port."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent.server import StreamServer

from tests.wire.servers import read_request


@dataclass
class Proxy:
    """Where it listens, what was asked of it and with which credentials."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    credentials: list[str | None] = field(default_factory=list)


@contextmanager
def proxying(target: int) -> Iterator[Proxy]:
    """Serve until the block ends; every tunnel ends at 127.0.0.1:``target``."""
    proxy = Proxy()

    def tunnel(sock: Any, _address: Any) -> None:
        request = read_request(sock.makefile("rb", buffering=0))
        if request is None:
            return
        proxy.asked.append(request.line.rpartition(" ")[0])
        proxy.credentials.append(request.header("proxy-authorization"))
        with socket.create_connection(("127.0.0.1", target)) as far:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ways = [gevent.spawn(_pump, sock, far), gevent.spawn(_pump, far, sock)]
            gevent.joinall(ways, count=1)
            gevent.killall(ways)

    server = StreamServer(("127.0.0.1", 0), tunnel)
    server.start()
    proxy.port = server.server_port
    try:
        yield proxy
    finally:
        server.stop(timeout=0)


def _pump(source: Any, sink: Any) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        return  # one side is gone, and with it the tunnel
