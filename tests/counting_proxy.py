"""A TCP proxy before a database that notes each round trip: what a client sends before it hears an answer.

Tests: tests/governance/test_round_trips.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import gevent
from gevent import socket
from gevent.server import StreamServer


class Trip(NamedTuple):
    """What was sent in one round trip, by which of the proxy's connections."""

    connection: int
    sent: bytes


class CountingProxy:
    """Passes bytes on and notes ``trips``."""

    def __init__(self, url: str, default_port: int) -> None:
        parts = urlsplit(url)
        self._default_port = default_port
        self.lead_to(url)
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        who = f"{parts.username}{f':{parts.password}' if parts.password else ''}@" if parts.username else ""
        self.url = urlunsplit(parts._replace(netloc=f"{who}127.0.0.1:{self._server.server_port}"))
        self.trips: list[Trip] = []
        self._connections = 0

    def lead_to(self, url: str) -> None:
        """Connect new clients to the server at ``url``."""
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or self._default_port)

    def close(self) -> None:
        """Stop, and cut what is open."""
        self._server.stop(timeout=0)

    def _serve(self, client: Any, _address: Any) -> None:
        number = self._connections = self._connections + 1
        has_answered = [True]
        with suppress(OSError), socket.create_connection(self._target) as server:
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = gevent.spawn(self._pass_back, server, client, has_answered)
            while data := client.recv(65_536):
                if has_answered[0]:
                    self.trips.append(Trip(number, data))
                else:
                    last = max(place for place, trip in enumerate(self.trips) if trip.connection == number)
                    self.trips[last] = Trip(number, self.trips[last].sent + data)
                has_answered[0] = False
                server.sendall(data)
            back.kill()

    def _pass_back(self, server: Any, client: Any, has_answered: list[bool]) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                has_answered[0] = True
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def counting_proxy(url: str, default_port: int) -> Iterator[CountingProxy]:
    """Run a proxy before the server of ``url``."""
    proxy = CountingProxy(url, default_port)
    try:
        yield proxy
    finally:
        proxy.close()
