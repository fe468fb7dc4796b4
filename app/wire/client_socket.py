"""Client sockets: has the client gone, and one sweeper that asks for all of them.

A client that leaves during a silent stretch is otherwise noticed at the second write
after it. Waiting for the socket to become readable does not do: a pipelined request
makes it readable, too. So the sweeper asks the kernel for the state of every open
connection, twice a second.
"""

from __future__ import annotations

import errno
import itertools
import socket
from collections.abc import Callable
from typing import Any, Final

import gevent

SWEEP_SECONDS: Final = 0.5
WRITE_NOW: Final = "sluice.write_now"
"""The member of a WSGI environ that sends a piece of the answer, False where the client did not take all of it."""

_OPEN_STATES: Final = frozenset({1, 2, 3})  # TCP_ESTABLISHED, SYN_SENT, SYN_RECV (linux/tcp_states.h)
_NO_TCP_INFO: Final = frozenset({errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EINVAL})


def is_closed(sock: socket.socket) -> bool:
    """Tell whether the peer has closed, or reset, the connection. Never blocks, consumes nothing.

    A half-close counts as gone. Without TCP_INFO (other systems, Unix sockets) a peek decides,
    except that unread data hides the end behind it.
    """
    if sock.fileno() < 0:
        return True
    if not hasattr(socket, "TCP_INFO"):
        return _peek_closed(sock)
    try:
        state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError as error:
        return _peek_closed(sock) if error.errno in _NO_TCP_INFO else True
    return state not in _OPEN_STATES


def _peek_closed(sock: socket.socket) -> bool:
    plain: Any = getattr(sock, "_sock", sock)  # gevent's own recv would wait, whatever the flags
    try:
        return not plain.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


class ClientWatch:
    """Calls back when a registered client has gone. One per worker; sweeps only while it has work.

    ``sleep`` takes seconds; a test gives its own, or calls ``sweep`` itself.
    """

    def __init__(
        self, interval: float = SWEEP_SECONDS, sleep: Callable[[float], object] = gevent.sleep
    ) -> None:
        self._interval = interval
        self._sleep = sleep
        self._tokens = itertools.count(1)
        self._watched: dict[int, tuple[socket.socket, Callable[[], object]]] = {}
        self._sweeper: gevent.Greenlet[..., None] | None = None

    def register(self, sock: socket.socket, on_gone: Callable[[], object]) -> int:
        """Watch ``sock``; ``on_gone`` runs once, in a greenlet of its own. Returns a token."""
        token = next(self._tokens)
        self._watched[token] = (sock, on_gone)
        if self._sweeper is None:
            self._sweeper = gevent.spawn(self._run)
        return token

    def unregister(self, token: int) -> None:
        """Stop watching; a token that is no longer known is fine."""
        self._watched.pop(token, None)

    def sweep(self) -> int:
        """Check every watched socket once; return how many clients had gone."""
        tokens = [token for token, (sock, _) in self._watched.items() if is_closed(sock)]
        for token in tokens:
            gevent.spawn(self._watched.pop(token)[1])
        return len(tokens)

    def _run(self) -> None:
        while self._watched:
            self._sleep(self._interval)
            self.sweep()
        self._sweeper = None
