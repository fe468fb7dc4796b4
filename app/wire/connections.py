"""Connections as we want them, made of urllib3's.

Tests: tests/wire/test_egress.py, tests/wire/test_egress_tls.py.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult

import urllib3
from gevent import monkey
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssltransport import SSLTransport

from app.wire import http1, request_head

_PROBES: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
"""Seconds of silence before the first probe (the shortest limits of firewalls are minutes) and between probes, and how
many may stay without an answer; by their names, because not every system has them."""

MAX_HELD: Final = 16 * 1024  # bytes of a piece that is sent together with the request's head
MAX_HELD_PIECES: Final = 4
_KEEPALIVE: Final = (
    ((socket.SOL_SOCKET, socket.SO_KEEPALIVE), 1),
    *(((socket.IPPROTO_TCP, option), n) for name, n in _PROBES if (option := getattr(socket, name, None))),
)
AGENT: Final = f"python-urllib3/{urllib3.__version__}"  # type: ignore[attr-defined]  # not in its __all__


def address_of(parts: SplitResult) -> tuple[str, int]:
    """Return the host and port that a URL names."""
    return parts.hostname or "", parts.port or request_head.PORTS[parts.scheme]


def target(parts: SplitResult) -> str:
    """Return what the request line asks an origin for."""
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


class _Lean:
    """What our connections do differently: strict heads, one packet for head and small body, and a
    cheap look for a dropped connection."""

    response_class: Any = http1.Response
    sock: Any
    _pending: list[bytes] | None = None
    _was_connected = False

    @property
    def has_connected_to_proxy(self) -> bool:
        """Whether a failure is not the proxy's. ``http.client`` closes a connection that fails, and urllib3 then
        assumes that it never reached its proxy."""
        return self._was_connected or super().has_connected_to_proxy  # type: ignore[misc]

    def connect(self) -> None:
        """Connect, and let the kernel detect a dead peer: firewalls drop silent connections without notice."""
        self._was_connected = False
        super().connect()  # type: ignore[misc]
        self._was_connected = True
        for option, value in _KEEPALIVE:
            self._bare_socket.setsockopt(*option, value)

    @property
    def _bare_socket(self) -> Any:
        """The socket; within a tunnel through a proxy that speaks TLS it is wrapped once more."""
        return self.sock.socket if isinstance(self.sock, SSLTransport) else self.sock

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request; its small pieces go out together."""
        self._pending = []
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]
            pieces = self._pending
        finally:
            self._pending = None
        if pieces:
            self.send(b"".join(pieces))

    def send(self, data: Any) -> None:
        """Send ``data``, or hold it while a request is written and it is small."""
        if self._pending is None:
            super().send(data)  # type: ignore[misc]
        elif len(data) <= MAX_HELD and len(self._pending) < MAX_HELD_PIECES:
            self._pending.append(data)
        else:
            pieces, self._pending = [*self._pending, data], None
            for piece in pieces:
                self.send(piece)
            self._pending = []

    @property
    def is_connected(self) -> bool:
        """Whether the kept connection is open and silent. gevent's own poll costs a hub switch."""
        if self.sock is None:
            return False
        poll = monkey.get_original("select", "poll")()
        poll.register(self.sock.fileno(), 1)  # POLLIN: the end of the stream, or unexpected bytes
        return not poll.poll(0)


class PlainConnection(_Lean, HTTPConnection):
    pass


class TLSConnection(_Lean, HTTPSConnection):
    pass


CONNECTIONS: Final[Mapping[str, type[Any]]] = {"http": PlainConnection, "https": TLSConnection}
