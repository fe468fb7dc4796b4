"""The HTTP client of the checks: one server, its key, whole replies, and the rules that every reply must follow.

It connects as the gateway itself does: with the proxies and certificate authorities of the environment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from app.errors import GatewayError
from app.wire.clocks import Clocks
from app.wire.egress import Egress
from app.wire.sse import SSEDecoder

DONE: Final = "[DONE]"
_MISSING: Final = frozenset({404, 405, 501})
_UNSUPPORTED: Final = frozenset({"unsupported_operation", "unsupported_parameter", "model_not_found"})
_MOST: Final = 64 * 1024 * 1024  # bytes of a reply


class Violation(Exception):
    """The server breaks a rule; the message says which."""


class Skip(Exception):
    """The server does not have what a check needs; the message says what it answered."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply; ``request`` is its method and path, ``headers`` are by lower-case name."""

    request: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the parsed body; raise ``Violation`` for anything but JSON."""
        self._expect_media_type("application/json")
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Violation(f"{self.request}: the body is no JSON") from error

    @property
    def error(self) -> dict[str, Any]:
        """Return the error in OpenAI's form; raise ``Violation`` for any other body."""
        error = self.json.get("error") if isinstance(self.json, dict) else None
        if not isinstance(error, dict):
            raise Violation(f"{self.request}: status {self.status} without an object 'error'")
        missing = {"message", "type", "param", "code"} - set(error)
        expect(not missing, f"{self.request}: the error lacks {', '.join(sorted(missing))}")
        expect(
            isinstance(error["message"], str) and error["message"], f"{self.request}: the error says nothing"
        )
        return error

    @property
    def messages(self) -> list[tuple[str, Any]]:
        """Return event name and data of each message of a stream; data is parsed, but ``[DONE]`` is text."""
        self._expect_media_type("text/event-stream")
        decoder = SSEDecoder()
        try:
            frames = decoder.feed(self.body)
            expect(not decoder.pending, f"{self.request}: the stream ends within a message")
            return [(frame.event or "", _parse(frame.data)) for frame in frames]
        except GatewayError as error:
            raise Violation(f"{self.request}: {error.message}") from error
        except ValueError as error:
            raise Violation(f"{self.request}: a message of the stream is no JSON") from error

    @property
    def events(self) -> list[Any]:
        """Return the data of each message of a stream: parsed, but ``[DONE]`` is text."""
        return [data for _, data in self.messages]

    def _expect_media_type(self, media_type: str) -> None:
        content_type = self.headers.get("content-type", "")
        expect(content_type.startswith(media_type), f"{self.request}: content-type is {content_type!r}")


def _parse(data: bytes) -> Any:
    return DONE if data == DONE.encode() else json.loads(data)


class Client:
    """Sends requests to the server at ``base``, such as ``https://host/v1``; a URL without a path gets ``/v1``.

    ``timeout`` is in seconds: the longest time without a byte, and for a whole reply."""

    def __init__(self, base: str, key: str | None, environ: Mapping[str, str], timeout: float) -> None:
        self.base = base.rstrip("/") + ("" if urlsplit(base).path.strip("/") else "/v1")
        self.key = key
        self._transport = Egress(environ).transport()
        self._timeout = timeout

    def send(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Reply:
        """Return the whole reply; a body of ``bytes`` is sent unchanged. Raise ``Violation`` if no reply comes."""
        request = f"{method} {path}"
        key = self.key if key is None else key
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {
            "accept": "application/json, text/event-stream",
            **({"authorization": f"Bearer {key}"} if key else {}),
            **({"content-type": "application/json"} if data is not None else {}),
        }
        clocks = Clocks(10, self._timeout, self._timeout, self._timeout)
        try:
            url = self.base + path
            with closing(
                self._transport.open(method, url, headers, data, clocks=clocks, stream=False)
            ) as upstream:
                return Reply(request, upstream.status, upstream.headers, upstream.read(_MOST))
        except GatewayError as error:
            cause = f" ({error.raw})" if isinstance(error.raw, str) else ""
            message = error.message.replace("The provider", "The server")
            raise Violation(f"{request}: {message}{cause}") from error

    def get(self, path: str) -> Any:
        """Return the JSON at ``path``; raise what ``expect_ok`` raises."""
        return expect_ok(self.send("GET", path)).json

    def post(self, path: str, body: Any) -> Any:
        """Return the JSON that answers ``body``; raise what ``expect_ok`` raises."""
        return expect_ok(self.send("POST", path, body)).json


def expect(holds: object, words: str) -> None:
    """Raise ``Violation`` unless a rule holds."""
    if not holds:
        raise Violation(words)


def expect_ok(reply: Reply) -> Reply:
    """Return a reply of status 200 or 201; raise ``Skip`` for what the server does not support, else ``Violation``."""
    if reply.status in (200, 201):
        return reply
    if reply.status in _MISSING:
        raise Skip(f"{reply.request} is answered with {reply.status}")
    error = reply.error
    if error["code"] in _UNSUPPORTED:
        raise Skip(f"{reply.request}: {error['message']}")
    raise Violation(f"{reply.request}: status {reply.status}: {error['message']}")


def expect_error(reply: Reply, *statuses: int) -> dict[str, Any]:
    """Return the error of a reply; raise ``Violation`` unless its status is one of ``statuses``."""
    expect(
        reply.status in statuses,
        f"{reply.request}: status is {reply.status}, not {' or '.join(map(str, statuses))}",
    )
    return reply.error


def expect_shape(value: Any, shape: Mapping[str, Any], where: str) -> None:
    """Raise ``Violation`` unless ``value`` is an object with the members of ``shape``.

    ``shape`` gives for each member its type, a tuple of types, or its exact value; ``where`` names ``value``."""
    expect(isinstance(value, dict), f"{where} is no object")
    for name, expected in shape.items():
        expect(name in value, f"{where} lacks {name}")
        member = value[name]
        if isinstance(expected, type | tuple):
            is_type = isinstance(member, expected) and not (expected is int and isinstance(member, bool))
            expect(is_type, f"{where}.{name} is a {type(member).__name__}")
        else:
            expect(member == expected, f"{where}.{name} is {member!r}, not {expected!r}")
