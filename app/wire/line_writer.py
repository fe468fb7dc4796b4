"""Lines to standard error that never wait for their reader: what it does not take is dropped and counted.

A pipe whose reader stalls would stop the worker that writes to it. The pipe is therefore opened again, because the
flag that forbids waiting belongs to all processes that share a descriptor. Tests: tests/gateway/test_log.py.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from gevent.monkey import get_original

from app.wire.json import dumps

_STDERR: Final = 2
_MAX_REST: Final = 64 * 1024  # bytes of a line that was taken in part
_LOOK: Final = 0.05  # seconds between two looks at what the descriptor is, which others may replace

Send = Callable[[bytes], int]

_Socket: Final = get_original("socket", "socket")  # gevent's own would wait in spite of MSG_DONTWAIT


class LineWriter:
    """Writes to one descriptor of this process."""

    def __init__(self, descriptor: int = _STDERR) -> None:
        self._descriptor = descriptor
        self._identity: tuple[int, int, int] | None = None
        self._look_at = 0.0
        self._send: Send = partial(os.write, descriptor)
        self._own: int | socket.socket | None = None
        self._rest = b""
        self._loss_count = 0

    def write(self, line: bytes) -> None:
        """Write one line with its end, or count it as dropped."""
        try:
            if (now := time.monotonic()) >= self._look_at:
                self._follow()
                self._look_at = now + _LOOK
            if self._rest:
                self._rest = self._rest[self._send(self._rest) :]
            if self._loss_count and not self._rest:
                self._put(
                    dumps({"level": "warning", "event": "log_dropped", "lines": self._loss_count}) + b"\n"
                )
                self._loss_count = 0
            if self._rest:
                raise BlockingIOError
            self._put(line)
        except OSError:
            self._loss_count += 1

    def _put(self, line: bytes) -> None:
        count = self._send(line)
        self._rest = line[count : count + _MAX_REST]

    def _follow(self) -> None:
        """Open the descriptor's pipe or socket again if it is not the one that was open."""
        status = os.fstat(self._descriptor)
        identity = (os.getpid(), status.st_dev, status.st_ino)
        if identity == self._identity:
            return
        self._close()
        self._rest = b""
        if stat.S_ISFIFO(status.st_mode):
            pipe = os.open(f"/proc/self/fd/{self._descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._own, self._send = pipe, lambda data: os.write(pipe, data)
        elif stat.S_ISSOCK(status.st_mode):
            peer = _Socket(fileno=os.dup(self._descriptor))
            self._own, self._send = peer, lambda data: peer.send(data, socket.MSG_DONTWAIT)
        else:
            self._own, self._send = None, partial(os.write, self._descriptor)
        self._identity = identity

    def _close(self) -> None:
        if isinstance(self._own, int):
            os.close(self._own)
        elif self._own is not None:
            self._own.close()
