"""A scripted server on a loopback port: it reads whole requests and lets a script answer."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent.server import StreamServer


@dataclass(frozen=True)
class Received:
    """One request as it came: its first line, headers by lower-case name, body, and its connection's number."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


Script = Callable[[Any, Received], object]


@dataclass
class Server:
    """Where it listens, and what it got."""

    port: int
    requests: list[Received] = field(default_factory=list)
    connections: int = 0

    def url(self, path: str = "/v1/thing", *, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@contextmanager
def serving(script: Script, *, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve ``script(socket, request)`` for each request, until the block ends.

    A script that returns false closes the connection.
    """
    server = Server(0)

    def converse(sock: Any, _address: Any) -> None:
        server.connections += 1
        number = server.connections
        file = sock.makefile("rb")
        while (request := read_request(file, number)) is not None:
            server.requests.append(request)
            if not script(sock, request):
                break

    options = {"ssl_context": tls} if tls else {}
    listener = StreamServer(("127.0.0.1", 0), converse, **options)
    listener.start()
    server.port = listener.server_port
    try:
        yield server
    finally:
        listener.stop(timeout=0)


def read_request(file: Any, number: int = 0) -> Received | None:
    """Read one request with its body, or None at the end of the connection."""
    try:
        line = file.readline().decode().strip()
        if not line:
            return None
        headers = []
        while (raw := file.readline().strip()) != b"":
            name, _, value = raw.decode("latin-1").partition(":")
            headers.append((name.lower(), value.strip()))
    except OSError:
        return None
    by_name = dict(headers)
    if by_name.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(file.readline(), 16):
            body += file.read(size)
            file.readline()
        file.readline()
    else:
        body = file.read(int(by_name.get("content-length", 0)))
    return Received(line, headers, body, number)


def answer(
    body: bytes = b"{}",
    *,
    status: str = "200 OK",
    headers: tuple[str, ...] = ("Content-Type: application/json",),
) -> bytes:
    """Return an answer with a content length."""
    head = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def chunked(*pieces: bytes, end: bool = True) -> bytes:
    """Return an answer of one chunk for each piece; without ``end`` the last chunk is missing."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + body + (b"0\r\n\r\n" if end else b"")


def always(data: bytes, *, keep: bool = True) -> Script:
    """Return a script that answers every request with the same bytes, then keeps or closes the connection."""

    def script(sock: Any, _request: Received) -> bool:
        sock.sendall(data)
        return keep

    return script


def soon(condition: Callable[[], bool]) -> bool:
    """Give the kernel a moment to pass on what the other end did."""
    for _ in range(100):
        if condition():
            return True
        gevent.sleep(0.005)
    return False
