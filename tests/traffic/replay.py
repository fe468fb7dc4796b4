"""A real fake upstream: replays recordings or scripted replies over sockets, and notes what it saw.

    with Upstream() as upstream:
        upstream.replay(exchange("openai-responses_stream-…"), chunk=FRAME, delay=0.05)
        ...                        # let the gateway call upstream.url
        (request,) = upstream.requests
        assert request.closed.wait(3)

Plain threads and blocking sockets; under gevent's patch they are greenlets. Listens on 127.0.0.1 only.
"""

import json
import math
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

from tests.traffic.load import EVENT_STREAM, Exchange, exchange

FRAME = -1  # Reply.chunk: one write for each SSE message, line or AWS message
NEVER = math.inf  # Reply.wait: the headers never come
LEFT_OUT = frozenset({"content-length", "content-encoding", "transfer-encoding", "connection"})
TICK = 0.05


@dataclass(slots=True)
class Request:
    """A request as it arrived; header names in lower case. ``closed`` is set when the client hung up.

    ``sent`` counts the body bytes written so far; ``arrived`` and ``closed_at`` are ``time.monotonic``.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    arrived: float
    sent: int = 0
    finished: bool = False
    closed_at: float | None = None
    closed: threading.Event = field(default_factory=threading.Event)

    def json(self) -> Any:
        """The body parsed; ``None`` when there is none."""
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer, and how. Times are seconds, sizes are bytes of the body.

    ``body`` may be an iterator of pieces made while it is sent. ``chunk`` cuts it into writes (0: one
    write, ``FRAME``: one a frame), ``delay`` goes before each but the first. ``wait`` goes before the
    headers. After ``cut`` bytes the connection is closed (``reset``: by RST), after ``hang`` bytes
    nothing more comes until the client leaves; past the end both stand for the end of the body, without
    the last chunk. ``framing``: chunked, length or close.
    """

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    chunk: int = 0
    delay: float = 0.0
    wait: float = 0.0
    cut: int | None = None
    reset: bool = False
    hang: int | None = None
    framing: str = "length"

    def __post_init__(self) -> None:
        if self.framing == "length" and not isinstance(self.body, bytes):
            raise ValueError("a body made while it is sent has no length: say chunked or close")

    @classmethod
    def json(cls, value: Any, status: int = 200, **knobs: Any) -> Self:
        """A JSON body."""
        headers = {"content-type": "application/json", **knobs.pop("headers", {})}
        return cls(status, json.dumps(value).encode(), headers, **knobs)

    @classmethod
    def sse(cls, body: bytes | str | Iterable[bytes], **knobs: Any) -> Self:
        """An event stream, written frame by frame."""
        headers = {"content-type": "text/event-stream; charset=utf-8", **knobs.pop("headers", {})}
        content = body.encode() if isinstance(body, str) else body
        streamed: dict[str, Any] = {"chunk": FRAME, "framing": "chunked"}
        return cls(200, content, headers, **streamed | knobs)

    @classmethod
    def of(cls, recording: Exchange, **knobs: Any) -> Self:
        """A recording's answer: its status, headers and body bytes; streams go out chunked, by frames."""
        recorded = recording.response["headers"].items()
        headers = {name: value for name, value in recorded if name.lower() not in LEFT_OUT}
        headers |= knobs.pop("headers", {})
        made: dict[str, Any] = {"status": recording.status, "body": recording.content(), "headers": headers}
        if recording.streamed:
            made |= {"chunk": FRAME, "framing": "chunked"}
        return cls(**made | knobs)

    def pieces(self) -> Iterator[bytes]:
        """The body in the pieces that are written one by one."""
        if not isinstance(self.body, bytes):
            return iter(self.body)
        if self.chunk == FRAME:
            kind = self.headers.get("content-type", "")
            return _messages(self.body) if kind.startswith(EVENT_STREAM) else _frames(self.body)
        size = self.chunk or max(len(self.body), 1)
        return (self.body[at : at + size] for at in range(0, len(self.body), size))


def _frames(body: bytes) -> Iterator[bytes]:
    """SSE messages with their blank lines; a body without blank lines goes line by line."""
    gap = b"\r\n\r\n" if b"\r\n\r\n" in body else b"\n\n" if b"\n\n" in body else b"\n"
    parts = body.split(gap)
    yield from (part + gap for part in parts[:-1])
    if parts[-1]:
        yield parts[-1]


def _messages(body: bytes) -> Iterator[bytes]:
    """AWS messages: the first four bytes of each say its length."""
    at = 0
    while at < len(body):
        (length,) = struct.unpack_from(">I", body, at)
        yield body[at : at + length]
        at += length


Script = Callable[[Request], Reply]


@dataclass(slots=True)
class _Rule:
    reply: Reply
    method: str | None
    path: str | None
    model: str | None
    stream: bool | None
    left: float

    def fits(self, request: Request) -> bool:
        if self.left <= 0 or self.method not in (None, request.method):
            return False
        if self.path is not None and not _same_path(self.path, request.path):
            return False
        if self.model is None and self.stream is None:
            return True
        if "json" not in request.headers.get("content-type", ""):
            return False
        body = request.json()
        return self.model in (None, body.get("model")) and self.stream in (None, body.get("stream", False))


def _same_path(wanted: str, path: str) -> bool:
    return path.endswith(wanted[1:]) if wanted.startswith("*") else path == wanted


class Upstream:
    """The server. Replies are taken in the order they were added, each as often as ``times`` says.

    ``script`` answers what no queued reply fits; without it that is 501 and noted in ``unmatched``.
    """

    def __init__(self, script: Script | None = None, port: int = 0) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.unmatched: list[Request] = []
        self.stopping = threading.Event()
        self._rules: list[_Rule] = []
        self._arrival = threading.Condition()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.upstream = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(TICK,), daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """``http://127.0.0.1:<port>``, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def add(
        self,
        reply: Reply,
        *,
        method: str | None = None,
        path: str | None = None,
        model: str | None = None,
        stream: bool | None = None,
        times: float = 1,
    ) -> None:
        """Queue a reply for requests that fit; a ``path`` of ``*/tail`` fits every path that ends so."""
        self._rules.append(_Rule(reply, method, path, model, stream, times))

    def replay(self, recording: Exchange, *, path: str | None = None, times: float = 1, **knobs: Any) -> None:
        """Queue a recording's answer for its own method and path (under any prefix)."""
        request = recording.request
        expected = path or "*" + request["path"]
        self.add(Reply.of(recording, **knobs), method=request["method"], path=expected, times=times)

    def forget(self) -> None:
        """Drop what was queued and noted, so that one server can serve many tests."""
        with self._arrival:
            self._rules.clear()
            self.requests.clear()
            self.unmatched.clear()
        self.script = None

    def wait_for(self, count: int, timeout: float = 30.0) -> list[Request]:
        """Wait until so many requests have arrived; ``TimeoutError`` when they do not."""
        with self._arrival:
            if not self._arrival.wait_for(lambda: len(self.requests) >= count, timeout):
                raise TimeoutError(f"{len(self.requests)} of {count} requests came within {timeout} s")
            return list(self.requests)

    def answer(self, request: Request) -> Reply:
        """Note the request and choose its reply."""
        with self._arrival:
            self.requests.append(request)
            self._arrival.notify_all()
            for rule in self._rules:
                if rule.fits(request):
                    rule.left -= 1
                    return rule.reply
        if self.script is not None:
            return self.script(request)
        self.unmatched.append(request)
        words = f"no reply is queued for {request.method} {request.path}"
        return Reply.json({"error": {"message": words, "type": "unmatched"}}, 501)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    upstream: Upstream

    def shutdown_request(self, request: Any) -> None:
        """Where the handler asked for a reset, close without the polite end of a stream."""
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER):
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no error here; anything else is."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Left(Exception):
    """The client closed the connection."""


class _Ended(Exception):
    """We end the answer early: it is to be cut, or the server is stopping."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing; what arrived is in ``Upstream.requests``."""

    def answer(self) -> None:
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, url.path, url.query, headers, self.read_body(), time.monotonic())
        reply = self.server.upstream.answer(request)
        try:
            self.send(request, reply)
            request.finished = True
        except (_Left, OSError):
            self.note_closed(request)
            self.close_connection = True
        except _Ended:
            self.close_connection = True
        if not self.close_connection:
            self.watch_idle(request)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def read_body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def send(self, request: Request, reply: Reply) -> None:
        self.pause(reply.wait)
        self.send_head(reply)
        for number, piece in enumerate(reply.pieces()):
            if number:
                self.pause(reply.delay)
            self.send_piece(request, reply, piece)
        if reply.hang is not None or reply.cut is not None:
            self.stop(reply, request)
        if reply.framing == "chunked":
            self.wfile.write(b"0\r\n\r\n")

    def send_head(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.framing == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        elif reply.framing == "length":
            assert isinstance(reply.body, bytes)
            self.send_header("Content-Length", str(len(reply.body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()

    def send_piece(self, request: Request, reply: Reply, piece: bytes) -> None:
        limits = [limit for limit in (reply.cut, reply.hang) if limit is not None]
        room = min(limits) - request.sent if limits else len(piece)
        self.write(reply, piece[:room])
        request.sent += len(piece[:room])
        if len(piece) >= room and limits:
            self.stop(reply, request)

    def write(self, reply: Reply, data: bytes) -> None:
        self.pause(0)
        if data and reply.framing == "chunked":
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self.wfile.write(data)

    def stop(self, reply: Reply, request: Request) -> None:
        """Hang until the client leaves, or close at once."""
        if reply.hang is not None and (reply.cut is None or reply.hang <= reply.cut):
            self.pause(NEVER)
        if reply.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise _Ended

    def pause(self, seconds: float) -> None:
        """Let time pass; leave at once when the client does."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            readable, _, _ = select.select([self.connection], [], [], min(max(left, 0), TICK))
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                raise _Left
            if self.server.upstream.stopping.is_set():
                raise _Ended
            if left <= 0:
                return
            if readable:  # the next request is already here: nothing to watch but the clock
                time.sleep(min(left, TICK))

    def watch_idle(self, request: Request) -> None:
        """After a whole answer: wait for the next request on this connection, or for its end."""
        while True:
            readable, _, _ = select.select([self.connection], [], [], TICK)
            if readable and self.still_there():
                return
            if readable:
                self.note_closed(request)
            if readable or self.server.upstream.stopping.is_set():
                self.close_connection = True
                return

    def still_there(self) -> bool:
        try:
            return bool(self.connection.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def note_closed(self, request: Request) -> None:
        request.closed_at = time.monotonic()
        request.closed.set()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A running fake upstream of this test's own. Import it into a conftest to use it."""
    with Upstream() as server:
        yield server


def main(arguments: list[str]) -> None:
    """``python -m tests.traffic.replay PORT ID…``: serve these recordings over and over, until ^C."""
    with Upstream(port=int(arguments[0])) as server:
        for identifier in arguments[1:]:
            recording = exchange(identifier)
            server.replay(recording, times=NEVER)
            print(f"{recording.request['method']} {server.url}{recording.request['path']}  {identifier}")
        threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
