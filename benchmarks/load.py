"""Load: whole answers one after another, or streams side by side, over plain sockets.

``python -m benchmarks.load`` reads one JSON order from standard input and prints one JSON
result, so that it can run on a core of its own. A stream counts only when all its chunks
came, in order, and its end; a whole answer only with the order's ``status``, 200 by default.
"""

from __future__ import annotations

import json
import re
import socket
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent import monkey

_NUMBER: Final = re.compile(rb"#(\d{5}) token")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def request_bytes(path: str, headers: dict[str, str], body: Any) -> bytes:
    """Return one request as it goes over the wire."""
    data = json.dumps(body).encode()
    lines = {"Host": "bench", "Content-Type": "application/json", "Content-Length": str(len(data)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + data


class Tally:
    """What came back: good and bad answers, chunks, seconds to the first byte of content."""

    def __init__(self) -> None:
        self.good = self.bad = self.chunks = 0
        self.waits: list[float] = []
        self.fault = ""

    def failed(self, seen: bytes) -> None:
        """Note an answer that is none, with its start."""
        self.bad += 1
        self.fault = self.fault or seen[:300].decode("utf-8", "replace")

    def told(self) -> dict[str, Any]:
        """Return the result; the wait is the median in milliseconds."""
        wait = statistics.median(self.waits) * 1000 if self.waits else None
        return {
            "good": self.good,
            "bad": self.bad,
            "chunks": self.chunks,
            "wait_ms": wait,
            "fault": self.fault,
        }


def _whole(connect: Callable[[], Any], packet: bytes, seconds: float, status: int, tally: Tally) -> None:
    connection, until = connect(), time.monotonic() + seconds
    expected = f"HTTP/1.1 {status}".encode()
    while time.monotonic() < until:
        started = time.monotonic()
        connection.sendall(packet)
        data = b""
        while not _is_complete(data):
            piece = connection.recv(65536)
            if not piece:
                break
            data += piece
        if data.startswith(expected):
            tally.good += 1
            tally.waits.append(time.monotonic() - started)
        else:
            tally.failed(data)
            connection.close()
            connection = connect()
    connection.close()


def _is_complete(data: bytes) -> bool:
    head, gap, body = data.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if not gap:
        return False
    return len(body) >= int(length[1]) if length else body.endswith(b"\r\n0\r\n\r\n")


def _stream(connect: Callable[[], Any], packet: bytes, count: int, tally: Tally) -> None:
    connection, started = connect(), time.monotonic()
    connection.sendall(packet)
    data, first = b"", 0.0
    while not data.endswith(b"\r\n0\r\n\r\n") and (piece := connection.recv(65536)):
        if not first and b"token" in piece:
            first = time.monotonic()
        data += piece
    connection.close()
    numbers = [int(number) for number in _NUMBER.findall(data)][:count]
    tally.chunks += len(numbers)
    if numbers == list(range(count)) and (b"[DONE]" in data or b"response.completed" in data):
        tally.good += 1
        tally.waits.append(first - started)
    else:
        tally.failed(data)


def _run(order: dict[str, Any]) -> dict[str, Any]:
    tally = Tally()
    packet = request_bytes(order["path"], order["headers"], order["body"])

    def connect() -> Any:
        connection = socket.create_connection(("127.0.0.1", order["port"]))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def work() -> None:
        if order.get("chunks"):
            _stream(connect, packet, order["chunks"], tally)
        else:
            _whole(connect, packet, order["seconds"], order.get("status", 200), tally)

    gevent.joinall([gevent.spawn(work) for _ in range(order["connections"])], raise_error=True)
    return tally.told()


if __name__ == "__main__":
    monkey.patch_all()
    print(json.dumps(_run(json.load(sys.stdin))))
