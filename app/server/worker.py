"""The gunicorn worker: the gevent one, but for requests that cannot be read, and for leaving.

What cannot be read is refused in JSON, like all else here. A connection whose request body
did not end where its framing says is closed and never read on: what follows such a body
could be taken for a second request. The application sees a broken body as ``OSError``.
A worker that leaves serves whatever it or the kernel has accepted, and gives an idle connection
only a while for its next request. Nothing here knows the application.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import socket
import time
from functools import partial
from ssl import SSLError
from typing import Any, Final

import gevent
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.http import errors
from gunicorn.http.wsgi import base_environ
from gunicorn.sock import ssl_context
from gunicorn.workers.ggevent import GeventWorker

from app.errors import GatewayError
from app.server import reader
from app.server.environ import addresses_environ, environ_of, is_host, name_host
from app.server.handshakes import TLSServer
from app.server.response import Answer
from app.server.short_way import PlainRequest
from app.wire.beats import until_beat
from app.wire.client_socket import WRITE_NOW
from app.wire.json import dumps

_LINGER: Final = 1.0  # seconds in which a refused client may still send, so that it reads the refusal
_SKIP: Final = 65536
# Seconds in which a leaving worker still takes requests on open connections. Who closes an idle one
# may lose a request that is under way to it, so a proxy's limit should be shorter (nginx: 4 s).
_LEAVING: Final = 5.0
_POLL: Final = 0.1
_BEAT: Final = 4.0  # seconds at most between two signs of life, and two looks at the waits: a worker that idles hardly wakes
_LOOK: Final = 1.0  # the same for the waits of a worker that leaves
_PARENT_DIED: Final = signal.SIGWINCH  # gunicorn's workers do nothing for it, but wake
_AT_ONCE: Final = (
    10  # connections accepted before open ones get a turn: of very many, the first answer sooner
)
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_HEAD: Final = 5  # seconds for the head of a request where no connection is kept for a second one

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


class _Timeout(BaseException):
    """Ends the wait for a connection's next request."""


class _Wait:
    """A connection's wait for its next request, which the worker's sweep may end."""

    __slots__ = ("_waits",)

    def __init__(self, waits: dict[Any, float]) -> None:
        self._waits = waits

    def __enter__(self) -> None:
        self._waits[gevent.getcurrent()] = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> bool:
        del self._waits[gevent.getcurrent()]
        return kind is _Timeout


class Worker(GeventWorker):
    """gunicorn's gevent worker with strict ends of requests and refusals in JSON."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.alive: bool
        self._waits: dict[
            Any, float
        ] = {}  # greenlets that wait for a request and since when, the longest first
        self._serves_one = False  # a connection ends with its first answer
        self._wait = _Wait(self._waits)
        self.leaves: Event
        self._environ: dict[str, Any] = {}

    def init_process(self) -> None:
        """Begin to serve in the process of this worker; returns when it leaves."""
        self.leaves = Event()
        self._serves_one = not self.cfg.keepalive
        wait = self.cfg.keepalive or _HEAD  # with 0 gunicorn waits for a head without end
        _make_plain(self.cfg, keepalive=wait)
        scheme = "https" if self.cfg.is_ssl else "http"
        self._environ = {**base_environ(self.cfg), "wsgi.multithread": True, "wsgi.url_scheme": scheme}
        self._environ["SCRIPT_NAME"] = ""
        del self._environ["wsgi.file_wrapper"]  # pieces are written one by one, whatever they come from
        reader.install()
        super().init_process()

    def run(self) -> None:
        """Serve until a signal to stop; then answer accepted requests, and end."""
        gevent.spawn(self._sweep)
        signals = gevent.get_hub().loop.io(self.PIPE[0], 1)
        signals.start(self._heed_signal)
        _ask_for_signal(_PARENT_DIED)
        pause = min(_BEAT, self.cfg.timeout / 4 or _BEAT)
        servers = [self._listen(listener) for listener in self.sockets]
        while self.alive:
            self.notify()
            self.leaves.wait(until_beat(pause))
        for server in servers:
            server.stop_accepting()
            _accept_pending(server)
        gevent.sleep(0)  # what was accepted begins now: it asks its listener for an address
        for server in servers:
            server.close()
        self._await_end(servers)

    def handle_exit(self, sig: Any, frame: Any) -> None:
        """Begin to leave at once: the signal wakes all that wait for ``leaves``."""
        super().handle_exit(sig, frame)
        self.leaves.set()

    def _heed_signal(self) -> None:
        """Take the byte that Python writes for each signal: it wakes the hub, whichever thread the signal went to."""
        os.read(self.PIPE[0], 1024)
        if os.getppid() != self.ppid:
            gevent.spawn(self.notify)  # ends the process

    def _listen(self, listener: Any) -> StreamServer:
        listener.setblocking(1)
        shared: dict[str, Any] = {
            "handle": partial(self.handle, listener),
            "spawn": Pool(self.worker_connections),
        }
        server: StreamServer
        if self.cfg.is_ssl:
            server = TLSServer(listener, **shared, ssl_context=ssl_context(self.cfg), log=self.log)
        else:
            server = StreamServer(listener, **shared)
        server.max_accept = 1 if self.cfg.workers > 1 else _AT_ONCE
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

    def timeout_ctx(self) -> _Wait:
        """Limit the wait for a connection's next request."""
        return self._wait

    def _sweep(self) -> None:
        """End the waits that take too long. A leaving worker gives them ``_LEAVING``, from its leaving on
        to those that began before."""
        run_callback, left_at = gevent.get_hub().loop.run_callback, float("inf")
        while True:
            now = time.monotonic()
            oldest = next(iter(self._waits.values()), now)  # a wait that begins now has the whole time
            rest = max(_POLL, oldest + self.cfg.keepalive - now)
            if self.leaves.is_set():
                gevent.sleep(min(until_beat(_LOOK), rest))
            else:
                self.leaves.wait(min(until_beat(_BEAT), rest))
            now = time.monotonic()
            left_at = left_at if self.alive else min(left_at, now)
            for greenlet, since in self._waits.items():
                if now < min(since + self.cfg.keepalive, max(since, left_at) + _LEAVING):
                    break
                run_callback(self._expire, greenlet, since)

    def _expire(self, greenlet: Any, since: float) -> None:
        if self._waits.get(greenlet) == since:  # runs in the hub, as timers do, so nothing can come between
            greenlet.throw(_Timeout)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answer one request; raise ``StopIteration`` where its connection must end."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.handle_exit(None, None)
        answer = Answer(req, sock, closes=not self.alive or self._serves_one)
        try:
            environ = {**self._environ, **addresses_environ(addr, listener_name), "gunicorn.socket": sock}
            self._answer(answer, _complete(environ, req))
        except TimeoutError:
            self.log.warning("Let go of a client that stopped reading")
            raise StopIteration from None
        except (gevent.GreenletExit, SystemExit):
            raise StopIteration from None
        finally:
            sock.settimeout(None)  # the limit was for writing this answer
        if req.body.is_uninvited:
            _linger(sock)
            raise StopIteration
        if answer.closes:
            raise StopIteration
        if not req.body.reaches_end(self.cfg.keepalive):
            _linger(sock)
            raise StopIteration

    def _answer(self, answer: Answer, environ: dict[str, Any]) -> None:
        """Let the application write one answer. One that breaks off in the middle ends its connection."""
        try:
            environ[WRITE_NOW] = answer.write_now
            pieces = self.wsgi(environ, answer.start_response)
            try:
                for piece in pieces:
                    answer.write(piece)
                answer.close()
            finally:
                if hasattr(pieces, "close"):
                    pieces.close()
        except Exception as error:
            if isinstance(error, OSError) or not answer.headers_sent:
                raise
            self.log.exception("Error handling request")
            raise StopIteration from None

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Refuse a request that could not be read, or report a fault of ours."""
        if isinstance(exc, SSLError):  # the client broke the layer below, so nothing can be said to it
            self.log.warning("Refused a TLS record: %s", exc.reason)
            return
        status, reason, error = _refusal_of(exc)
        if status == 500:
            self.log.error("Error on a connection", exc_info=exc)
        else:
            self.log.warning("Refused a request: %s", type(exc).__name__)
        try:
            client.sendall(_refusal(status, reason, error))
            _linger(client)
        except OSError:
            self.log.debug("The refused client had gone.")


def _accept_pending(server: StreamServer) -> None:
    """Accept what the kernel has accepted already: closing the listener would reset it, request and all."""
    while not server.full():
        connection = server.do_read()
        if connection is None:
            return
        server.do_handle(*connection)


def _ask_for_signal(number: int) -> None:
    """Ask the kernel to send this process a signal when its parent dies, if it can (Linux); otherwise the next sign
    of life notices."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, number)


def _make_plain(config: Any, **changed: Any) -> None:
    """Make gunicorn's settings plain attributes of its configuration, which are final in a worker:
    it asks for twenty a request, each a look through a table and a call."""
    vars(config).update({name: setting.get() for name, setting in config.settings.items()} | changed)


def _complete(environ: dict[str, Any], request: Any) -> dict[str, Any]:
    """Return the environ of a request, which begins with what others share. Raises gunicorn's errors for one that cannot be
    served."""
    if not isinstance(request, PlainRequest):
        _check_head(request)
        return environ_of(environ, request)
    environ.update(request.environ)
    if "SERVER_NAME" not in environ:
        name_host(environ)
    return environ


def _check_head(request: Any) -> None:
    """Refuse what gunicorn lets through: folded header lines, HTTP/1.1 without a host, other codings
    than chunked."""
    names = {name for name, _ in request.headers}
    if "" in names:
        raise errors.ObsoleteFolding("folded")
    hosts = [value for name, value in request.headers if name == "HOST"]
    if (not hosts and request.version >= (1, 1)) or not all(map(is_host, hosts)):
        raise errors.InvalidHeader("HOST", req=request)
    if "TRANSFER-ENCODING" in names:
        _check_coding([value for name, value in request.headers if name == "TRANSFER-ENCODING"])


def _check_coding(values: list[str]) -> None:
    """Refuse any coding but chunked, alone and once: a server in front may take another end for the body's."""
    if [value.strip().lower() for value in values] != ["chunked"]:
        raise errors.UnsupportedTransferCoding("")


def _refusal_of(exc: BaseException) -> tuple[int, str, GatewayError]:
    for kind, status, reason, message in _REFUSALS:
        if isinstance(exc, kind):
            return status, reason, GatewayError("bad_request", message, status=status)
    return 500, "Internal Server Error", GatewayError("internal", "The gateway met an internal error.")


def _refusal(status: int, reason: str, error: GatewayError) -> bytes:
    body = dumps({"error": error.body()})
    lines = (
        f"HTTP/1.1 {status} {reason}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        f"x-request-id: req_{secrets.token_hex(16)}",
    )
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body


def _linger(sock: Any) -> None:
    """Read what is still under way: closing with unread bytes would reset the connection."""
    sock.shutdown(socket.SHUT_WR)
    with gevent.Timeout(_LINGER, False):  # type: ignore[arg-type]  # the stubs lack it
        while sock.recv(_SKIP):
            continue
