"""A listener that speaks TLS: a handshake has an end, and one that fails is a line of the log. Tests: tests/lifecycle/test_tls_listener.py."""

from __future__ import annotations

import logging
from contextlib import closing
from ssl import SSLContext
from typing import Any, Final

import gevent
from gevent.server import StreamServer

_SECONDS: Final = 10.0


class TLSServer(StreamServer):
    """A server whose clients may break off, be silent or speak no TLS: each holds its connection for ``_SECONDS`` at most.

    ``log`` is told of each."""

    def __init__(self, *args: Any, ssl_context: SSLContext, log: logging.Logger, **options: Any) -> None:
        super().__init__(*args, ssl_context=ssl_context, **options)
        self._context = ssl_context
        self._log = log

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> None:
        """Shake hands with a client, and serve it."""
        try:
            with gevent.Timeout(_SECONDS, TimeoutError("it took too long")):
                tls = self._context.wrap_socket(client_socket, server_side=True)
        except (OSError, ValueError) as error:
            self._log.warning("Refused a TLS handshake: %s", getattr(error, "reason", None) or error)
            return
        with closing(tls):
            self.handle(tls, address)
