"""A wire to the database that can be cut: a TCP relay of the test's own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy.engine import make_url


class Relay:
    """Listens on a port of its own and passes connections on, while ``up`` is true."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.up = True
        self._flows = threading.Event()
        self._flows.set()
        self._target = target
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close every connection and refuse new ones."""
        self.up = False
        self._flows.set()
        for one in list(self._open):
            one.close()

    def hush(self) -> None:
        """Keep all that comes on either side, and take new connections: nobody hears that anything is wrong."""
        self._flows.clear()

    def mend(self) -> None:
        """Let connections through again, and what was kept."""
        self.up = True
        self._flows.set()

    def close(self) -> None:
        """End for good."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.up:
                    threading.Thread(target=self._relay, args=(client,), daemon=True).start()
                else:
                    client.close()

    def _relay(self, client: socket.socket) -> None:
        server = socket.create_connection(self._target)
        self._open |= {client, server}
        threading.Thread(target=self._pass, args=(server, client), daemon=True).start()
        self._pass(client, server)

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                sink.sendall(data)
        for one in (source, sink):
            self._open.discard(one)
            one.close()


@contextmanager
def relayed(url: str) -> Iterator[tuple[Relay, str]]:
    """Put a relay before the database at ``url``; give it with the URL that goes through it."""
    parsed = make_url(url)
    relay = Relay((parsed.host or "127.0.0.1", parsed.port or 5432))
    try:
        through = parsed.set(host="127.0.0.1", port=relay.port)
        yield relay, through.render_as_string(hide_password=False)
    finally:
        relay.close()
