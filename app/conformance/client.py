"""What a check asks with: one server, its key, whole answers, and errors in the one form.

It goes out as the gateway itself does: by the proxies and authorities of the environment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from app.errors import GatewayError
from app.wire.clocks import Clocks
from app.wire.egress import Egress
from app.wire.sse import RawFrame, SSEDecoder

DONE: Final = "[DONE]"
_MISSING: Final = frozenset({404, 405, 501})
_HAS_NOT: Final = frozenset({"unsupported_operation", "unsupported_parameter", "model_not_found"})
_MOST: Final = 64 * 1024 * 1024


class Broken(Exception):
    """A rule that the server does not keep; the message says which."""


class Skipped(Exception):
    """What the server says it has not; the message is its word."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer; ``headers`` by lower-case name."""

    asked: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the parsed body; raises ``Broken`` for anything else."""
        content_type = self.headers.get("content-type", "")
        expect(content_type.startswith("application/json"), f"{self.asked}: content-type is {content_type!r}")
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Broken(f"{self.asked}: the body is no JSON") from error

    @property
    def error(self) -> dict[str, Any]:
        """Return the error of a refusal, in OpenAI's form."""
        body = self.json
        error = body.get("error") if isinstance(body, dict) else None
        if not isinstance(error, dict):
            raise Broken(f"{self.asked}: status {self.status} without an object 'error'")
        lacking = {"message", "type", "param", "code"} - set(error)
        expect(not lacking, f"{self.asked}: the error lacks {', '.join(sorted(lacking))}")
        expect(
            isinstance(error["message"], str) and error["message"], f"{self.asked}: the error says nothing"
        )
        return error

    @property
    def frames(self) -> list[RawFrame]:
        """Return the messages of a stream, without a last ``[DONE]``."""
        found = self._frames()
        return found[:-1] if found and found[-1].data == DONE.encode() else found

    @property
    def events(self) -> list[Any]:
        """Return the data of each message: parsed, ``[DONE]`` as it is."""
        try:
            return [DONE if one.data == DONE.encode() else json.loads(one.data) for one in self._frames()]
        except ValueError as error:
            raise Broken(f"{self.asked}: a message of the stream is no JSON") from error

    def _frames(self) -> list[RawFrame]:
        content_type = self.headers.get("content-type", "")
        expect(
            content_type.startswith("text/event-stream"), f"{self.asked}: content-type is {content_type!r}"
        )
        decoder = SSEDecoder()
        try:
            found = decoder.feed(self.body)
        except GatewayError as error:
            raise Broken(f"{self.asked}: {error.message}") from error
        expect(not decoder.pending, f"{self.asked}: the stream ends within a message")
        return found


class Client:
    """Asks the server at ``base`` (``https://host/v1``; without a path, ``/v1`` is meant)."""

    def __init__(self, base: str, key: str | None, environ: Mapping[str, str], timeout: float) -> None:
        self.base = base.rstrip("/") + ("" if urlsplit(base).path.strip("/") else "/v1")
        self.key = key
        self._transport = Egress(environ).transport()
        self._timeout = timeout

    def send(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Reply:
        """Return the whole answer; ``bytes`` go out as they are. Raises ``Broken`` where none comes."""
        request = f"{method} {path}"
        key = self.key if key is None else key
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"accept": "application/json, text/event-stream"}
        headers |= {"authorization": f"Bearer {key}"} if key else {}
        headers |= {"content-type": "application/json"} if data is not None else {}
        wait = self._timeout
        try:
            upstream = self._transport.open(
                method, self.base + path, headers, data, clocks=Clocks(10, wait, wait, wait), stream=False
            )
            try:
                return Reply(request, upstream.status, upstream.headers, upstream.read(_MOST))
            finally:
                upstream.close()
        except GatewayError as error:
            cause = f" ({error.raw})" if isinstance(error.raw, str) else ""
            message = error.message.replace("The provider", "The server")
            raise Broken(f"{request}: {message}{cause}") from error

    def get(self, path: str) -> Any:
        """Return the JSON at ``path``, which has to be there."""
        return ok(self.send("GET", path)).json

    def post(self, path: str, body: Any) -> Any:
        """Return the JSON that ``body`` is answered with."""
        return ok(self.send("POST", path, body)).json


def expect(holds: object, words: str) -> None:
    """Raise ``Broken`` unless a rule holds."""
    if not holds:
        raise Broken(words)


def ok(reply: Reply) -> Reply:
    """Return a reply of status 200 or 201; raises ``Skipped`` for what the server says it has not."""
    if reply.status in (200, 201):
        return reply
    if reply.status in _MISSING:
        raise Skipped(f"{reply.asked} is answered with {reply.status}")
    error = reply.error
    if error["code"] in _HAS_NOT:
        raise Skipped(f"{reply.asked}: {error['message']}")
    raise Broken(f"{reply.asked}: status {reply.status}: {error['message']}")


def expect_error(reply: Reply, *statuses: int) -> dict[str, Any]:
    """Return the error of a reply that must be a refusal with one of ``statuses``."""
    allowed = " or ".join(map(str, statuses))
    expect(reply.status in statuses, f"{reply.asked}: status is {reply.status}, not {allowed}")
    return reply.error


def shaped(value: Any, shape: Mapping[str, Any], where: str) -> None:
    """Raise ``Broken`` unless ``value`` has the members of ``shape``: a type, types, or the very value."""
    expect(isinstance(value, dict), f"{where} is no object")
    for name, wanted in shape.items():
        expect(name in value, f"{where} lacks {name}")
        found = value[name]
        if isinstance(wanted, type | tuple):
            fits = isinstance(found, wanted) and not (wanted is int and isinstance(found, bool))
            expect(fits, f"{where}.{name} is a {type(found).__name__}")
        else:
            expect(found == wanted, f"{where}.{name} is {found!r}, not {wanted!r}")
