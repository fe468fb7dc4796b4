"""From an HTTP request to the script of its answer, by the server halves of the dialects."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import Request
from app.canonical.response import Finish
from app.dialects import dialect
from app.dialects.base import Frame, ServerContext
from app.errors import GatewayError
from app.providers.sandbox.answering import FAILURE, Voice, answer
from app.providers.sandbox.conversation import user_text
from app.providers.sandbox.directives import Directives, parse_directives
from app.providers.sandbox.telling import Beat, Pace, tell
from app.providers.sandbox.transport import Arrival, Asked, Script
from app.wire.json import dumps, dumps_ascii, loads
from app.wire.sse import encode_frame

JSON: Final = {"content-type": "application/json"}
SSE: Final = {"content-type": "text/event-stream"}
RETRY_AFTER: Final = "1"  # seconds, told with 429 and 503

_KINDS: Final[Mapping[int, str]] = {
    # status asked for: the kind of error whose type and code are told
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media",
    429: "rate_limited",
    503: "overloaded",
}
_REFUSALS: Final[Mapping[str, Finish]] = {"messages": Finish("content_filter", "refusal")}
"""How a refusal ends where that is no plain stop."""

Route = Callable[["Sandbox", Asked], Script]


class Sandbox:
    """Writes the script of every answer. ``words_per_second`` is the pace of its streams."""

    def __init__(self, words_per_second: float) -> None:
        self.words_per_second = words_per_second

    def write(self, asked: Asked) -> Script:
        """Return the script that answers ``asked``; a refused request gets its 4xx."""
        route = ROUTES.get((asked.method, asked.path))
        if route is None:
            error = GatewayError("not_found", f"Unknown request URL: {asked.method} {asked.path}.")
            return error_script("chat", error)
        return route(self, asked)


def generation(name: str) -> Route:
    """Return the route that speaks the generation dialect ``name``."""

    def route(sandbox: Sandbox, asked: Asked) -> Script:
        context = server_context()
        try:
            return _generated(sandbox, name, json_object(asked), context)
        except GatewayError as error:
            return error_script(name, error)

    return route


def _generated(sandbox: Sandbox, name: str, body: dict[str, Any], context: ServerContext) -> Script:
    wire = dialect(name)
    request: Request = wire.decode_request(body, context)
    read = parse_directives(user_text(request))
    if read.only_for is not None and read.only_for != request.model:
        read = replace(read, status=None, midway=None)
    if read.status is not None:
        return error_script(name, asked_error(read.status), read.silence)
    voice = Voice(context.new_id, context.now, name, _REFUSALS.get(name, Finish("stop")))
    response = answer(request, read, voice)
    if request.stream:
        pace = Pace(sandbox.words_per_second, read.seconds, read.midway)
        told = tell(response, pace, GatewayError("upstream_error", FAILURE, status=500))
        return Script(200, SSE, _streamed(told, wire.stream_encoder(request, context)), read.silence)
    return _whole(name, wire.encode_response(response, request, context), read)


def _whole(name: str, body: dict[str, Any], read: Directives) -> Script:
    """Return the script of a JSON answer: its head comes when the answer is there."""
    if read.midway == "fail":
        return error_script(name, asked_error(500), read.silence + (read.seconds or 0.0))
    data = dumps(body)
    arrivals = [Arrival(0.0, data)]
    if read.midway is not None:
        broken = Arrival(math.inf) if read.midway == "hang" else Arrival(0.0, cut=True)
        arrivals = [Arrival(0.0, data[: len(data) // 2]), broken]
    return Script(200, JSON, arrivals, read.silence + (read.seconds or 0.0))


def _streamed(beats: Iterator[Beat], encoder: Any) -> Iterator[Arrival]:
    for beat in beats:
        frames = [frame for event in beat.events for frame in encoder.feed(event)]
        if data := b"".join(map(frame_bytes, frames)):
            yield Arrival(beat.at, data)
        if beat.breaks == "hang":
            yield Arrival(math.inf)
        if beat.breaks == "cut":
            return  # ends without the protocol's own terminal, as a cut stream may


def frame_bytes(frame: Frame) -> bytes:
    """Return one frame of an event stream."""
    return encode_frame(frame.event, b"[DONE]" if frame.data is None else dumps_ascii(frame.data))


def asked_error(status: int) -> GatewayError:
    """Return the error that ``fail with STATUS`` asks for, in OpenAI's words for that status."""
    kind = _KINDS.get(status, "bad_request" if status < 500 else "upstream_error")
    return GatewayError(kind, f"The sandbox failed with status {status}, as it was asked to.", status=status)


def error_script(name: str, error: GatewayError, silence: float = 0.0) -> Script:
    """Return the script of an answer that is no success, in the dialect's error shape."""
    headers = {**JSON, "retry-after": RETRY_AFTER} if error.status in (429, 503) else JSON
    body = dialect(name).encode_error(error)
    return Script(error.status, headers, [Arrival(0.0, dumps(body))], silence)


def json_object(asked: Asked) -> dict[str, Any]:
    """Return the JSON object of a request; raises ``bad_request`` for anything else."""
    body = loads(asked.body)
    if not isinstance(body, dict):
        raise GatewayError("bad_request", "The body is not a JSON object.")
    return body


def server_context(model: str | None = None) -> ServerContext:
    """Return the context of one answer: random ids, the clock of this machine."""
    return ServerContext(new_id=_new_id, now=int(time.time()), model=model)


def _new_id(prefix: str) -> str:
    joint = "" if prefix.endswith(("_", "-")) else "_"
    return f"{prefix}{joint}{secrets.token_hex(12)}"


ROUTES: Final[Mapping[tuple[str, str], Route]] = {
    ("POST", "/chat/completions"): generation("chat"),
    ("POST", "/responses"): generation("responses"),
    ("POST", "/messages"): generation("messages"),
}
