"""The gunicorn worker: the gevent one, but for requests that cannot be read, and for leaving.

What cannot be read is refused in JSON, like all else here. A connection whose request body
did not end where its framing says is closed and never read on: what follows such a body
could be taken for a second request. The application sees a broken body as ``OSError``.
A worker that leaves serves whatever it or the kernel has accepted, and gives an idle connection
only a while for its next request. Nothing here knows the application.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Protocol

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.http import errors
from gunicorn.sock import ssl_context
from gunicorn.workers.ggevent import GeventWorker

from app.errors import GatewayError
from app.wire.json import dumps

_LINGER: Final = 1.0  # seconds in which a refused client may still send, so that it reads the refusal
_SKIP: Final = 65536
# Seconds in which a leaving worker still takes requests on open connections. Who closes an idle one
# may lose a request that is under way to it, so a proxy's limit should be shorter (nginx: 4 s).
_LEAVING: Final = 5.0
_POLL: Final = 0.1

# The first row that fits decides. None of the sentences repeats what the client sent.
_REFUSALS: Final[tuple[tuple[type[Exception], int, str, str], ...]] = (
    (
        errors.LimitRequestHeaders,
        431,
        "Request Header Fields Too Large",
        "The request's headers are too large.",
    ),
    (errors.LimitRequestLine, 414, "URI Too Long", "The request's URL is too long."),
    (errors.ExpectationFailed, 417, "Expectation Failed", "Only 'Expect: 100-continue' is understood."),
    (
        errors.UnsupportedTransferCoding,
        501,
        "Not Implemented",
        "Only the chunked transfer coding is understood.",
    ),
    # gunicorn's word for a path that is not below SCRIPT_NAME
    (errors.ConfigurationProblem, 404, "Not Found", "Invalid URL: it is not below this server's path."),
    (errors.ParseException, 400, "Bad Request", "The request is not valid HTTP/1.1."),
)


class _Reader(Protocol):
    def read(self, size: int) -> bytes: ...


class Framing:
    """The reader below a request's body; remembers whether the framing was found broken."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader
        self._broken = False

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes, none at the end; ``OSError`` where the framing is broken."""
        if self._broken:
            raise OSError("the body's framing is broken")
        self._broken = True  # and so it stays when a read is interrupted: what it had taken is lost
        try:
            data = self._reader.read(size)
        except (OSError, errors.ParseException) as error:
            raise OSError("the body's framing is broken") from error
        self._broken = False
        return data

    def reaches_end(self, seconds: float) -> bool:
        """Skip what the application left unread, for so long at most; say whether the body ended well."""
        try:
            with gevent.Timeout(seconds):
                while self.read(_SKIP):
                    continue
        except (OSError, gevent.Timeout):
            return False
        return True


class Worker(GeventWorker):
    """gunicorn's gevent worker with strict ends of requests and refusals in JSON."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: dict[gevent.Timeout, Any] = {}  # limits of waits, and the greenlets that wait

    def init_process(self) -> None:
        """Begin to serve in the process of this worker; returns when it leaves."""
        _make_plain(self.cfg)
        super().init_process()

    def run(self) -> None:
        """Serve until told to leave; then serve what was accepted, and end."""
        gevent.spawn(self._dismiss_idle)
        servers = [self._listen(listener) for listener in self.sockets]
        while self.alive:
            self.notify()
            gevent.sleep(1.0)
        for server in servers:
            server.stop_accepting()
            _take_waiting(server)
        gevent.sleep(0)  # what was accepted begins now: it asks its listener for an address
        for server in servers:
            server.close()
        self._await_end(servers)

    def _listen(self, listener: Any) -> StreamServer:
        listener.setblocking(1)
        secured = {"ssl_context": ssl_context(self.cfg)} if self.cfg.is_ssl else {}
        pool = Pool(self.worker_connections)
        server = StreamServer(listener, handle=partial(self.handle, listener), spawn=pool, **secured)
        if self.cfg.workers > 1:
            server.max_accept = 1
        server.start()
        return server

    def _await_end(self, servers: list[StreamServer]) -> None:
        """Wait for the connections that are open, as long as gunicorn's ``graceful_timeout`` allows."""
        limit = time.monotonic() + self.cfg.graceful_timeout
        while time.monotonic() < limit:
            if not any(server.pool for server in servers):  # an empty pool is false
                return
            self.notify()
            gevent.sleep(_POLL)
        self.log.warning("Worker graceful timeout (pid:%s)", self.pid)
        for server in servers:
            server.stop(timeout=1)

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Limit the wait for a connection's next request."""
        seconds = self.cfg.keepalive if self.alive else min(self.cfg.keepalive, _LEAVING)
        limit = gevent.Timeout(seconds, False)  # type: ignore[arg-type]
        self._idle[limit] = gevent.getcurrent()
        try:
            with limit:
                yield
        finally:
            del self._idle[limit]

    def _dismiss_idle(self) -> None:
        """Once the worker leaves, end the waits that began before."""
        while self.alive:
            gevent.sleep(_POLL)
        before = list(self._idle)  # those that begin later have the shorter limit from the start
        gevent.sleep(_LEAVING)
        for limit in before:
            gevent.get_hub().loop.run_callback(self._expire, limit)

    def _expire(self, limit: gevent.Timeout) -> None:
        if limit in self._idle:  # runs in the hub, as timers do, so nothing can come between
            self._idle[limit].throw(limit)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answer one request; raise ``StopIteration`` where its connection must end."""
        _check_head(req)
        framing = req.body.reader = Framing(req.body.reader)
        try:
            super().handle_request(listener_name, req, sock, addr)
        except TimeoutError:
            self.log.warning("Let go of a client that stopped reading")
            raise StopIteration from None
        finally:
            sock.settimeout(None)  # the limit was for writing this answer
        if not framing.reaches_end(self.cfg.keepalive or _LINGER):
            _linger(sock)
            raise StopIteration

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Refuse what could not be read, or own up to a fault of ours."""
        status, reason, error = _refusal_of(exc)
        if status == 500:
            self.log.error("Error on a connection", exc_info=exc)
        else:
            self.log.warning("Refused a request: %s", type(exc).__name__)
        try:
            client.sendall(_answer(status, reason, error))
            _linger(client)
        except OSError:
            self.log.debug("The refused client had gone.")


def _take_waiting(server: StreamServer) -> None:
    """Accept what the kernel has accepted already: closing the listener would reset it, request and all."""
    while not server.full():
        accepted = server.do_read()
        if accepted is None:
            return
        server.do_handle(*accepted)


def _make_plain(config: Any) -> None:
    """Make gunicorn's settings plain attributes of its configuration, which are final in a worker:
    it asks for twenty a request, each a look through a table and a call."""
    vars(config).update({name: setting.get() for name, setting in config.settings.items()})


def _check_head(request: Any) -> None:
    """Refuse what the C parser lets through: folded header lines, and HTTP/1.1 without a host."""
    names = {name for name, _ in request.headers}
    if "" in names:
        raise errors.ObsoleteFolding("folded")
    if "HOST" not in names and request.version >= (1, 1):
        raise errors.InvalidHeader("HOST", req=request)


def _refusal_of(exc: BaseException) -> tuple[int, str, GatewayError]:
    for kind, status, reason, message in _REFUSALS:
        if isinstance(exc, kind):
            return status, reason, GatewayError("bad_request", message, status=status)
    return 500, "Internal Server Error", GatewayError("internal", "The gateway met an internal error.")


def _answer(status: int, reason: str, error: GatewayError) -> bytes:
    body = dumps({"error": error.body()})
    lines = (
        f"HTTP/1.1 {status} {reason}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        f"x-request-id: req_{secrets.token_hex(16)}",
    )
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body


def _linger(sock: Any) -> None:
    """Take in what is still under way: closing on unread bytes would reset the connection."""
    sock.shutdown(socket.SHUT_WR)
    with gevent.Timeout(_LINGER, False):  # type: ignore[arg-type]  # the stubs lack it
        while sock.recv(_SKIP):
            continue
