"""A client made of bytes: it sends what it is given and tells every answer that came back."""

from __future__ import annotations

import json
import re
import socket
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One answer. ``headers`` has lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must be declared as JSON."""
        assert self.headers.get("content-type") == "application/json", (self.status, self.body[:300])
        return json.loads(self.body)


@dataclass(frozen=True)
class Heard:
    """All that came back on one connection, and whether the server closed it."""

    answers: tuple[Answer, ...]
    closed: bool


def converse(port: int, *pieces: bytes, pause: float = 0.2, quiet: float = 2.0) -> Heard:
    """Send ``pieces`` with pauses between them; listen until the end, or ``quiet`` seconds of silence."""
    with socket.create_connection(("127.0.0.1", port), timeout=quiet) as connection:
        data = b""
        try:
            for number, piece in enumerate(pieces):
                time.sleep(pause if number else 0)
                connection.sendall(piece)
            while received := connection.recv(65536):
                data += received
        except TimeoutError:
            return Heard(parse_answers(data), closed=False)
        except (ConnectionResetError, BrokenPipeError):
            return Heard(parse_answers(data), closed=True)
    return Heard(parse_answers(data), closed=True)


def parse_answers(data: bytes) -> tuple[Answer, ...]:
    """Return every final answer in ``data``; raise ``ValueError`` for bytes that belong to none."""
    answers = []
    while data:
        head, gap, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = re.fullmatch(r"HTTP/1\.[01] (\d{3})( .*)?", first)
        if status is None or not gap:
            raise ValueError(f"no answer: {head[:200]!r}")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if status[1].startswith("1"):
            continue
        body, data = _split_body(headers, data)
        answers.append(Answer(int(status[1]), headers, body))
    return tuple(answers)


def _split_body(headers: dict[str, str], data: bytes) -> tuple[bytes, bytes]:
    if headers.get("transfer-encoding") != "chunked":
        length = int(headers.get("content-length", len(data)))
        return data[:length], data[length:]
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        body, data = body + data[:count], data[count + 2 :]
        if count == 0:
            return body, data
