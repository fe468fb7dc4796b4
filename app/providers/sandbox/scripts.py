"""What every route shares: read a request, obey its directives, make the script of an answer."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from app.dialects import dialect_of
from app.dialects.base import Frame, Row, ServerContext
from app.errors import GatewayError
from app.providers.sandbox.directives import Directives, parse_directives
from app.providers.sandbox.playback import ScheduledEvents
from app.providers.sandbox.transport import Arrival, HttpRequest, Script
from app.wire.json import dumps, dumps_ascii, loads
from app.wire.sse import encode_frame

JSON: Final = {"content-type": "application/json"}
SSE: Final = {"content-type": "text/event-stream"}
RETRY_AFTER: Final = "1"  # seconds; sent with 429 and 503

Responder = Callable[[HttpRequest, float], Script]
"""Makes the script of an answer to a request; the number is the speed in words per second."""

_KINDS: Final[Mapping[int, str]] = {
    # status: the kind of error whose type and code go with it
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media",
    429: "rate_limited",
    503: "overloaded",
}


class RequestedFailure(GatewayError):
    """The failure that ``fail with STATUS`` asks for, in OpenAI's words for that status, after
    ``silence`` seconds."""

    def __init__(self, status: int, silence: float) -> None:
        kind = _KINDS.get(status, "bad_request" if status < 500 else "upstream_error")
        super().__init__(kind, f"The sandbox failed with status {status}, as it was asked to.", status=status)
        self.silence = silence


def read_directives(text: str, model: str) -> Directives:
    """Return the directives of ``text`` for ``model``; raises RequestedFailure where it is to fail."""
    directives = parse_directives(text)
    if directives.only_for is not None and directives.only_for != model:
        directives = replace(directives, status=None, midway=None)
    if directives.status is not None:
        raise RequestedFailure(directives.status, directives.silence)
    return directives


def answer_script(
    name: str, respond: Responder, http_request: HttpRequest, words_per_second: float
) -> Script:
    """Return the script that ``respond`` makes; a refusal is written in dialect ``name``."""
    try:
        return respond(http_request, words_per_second)
    except GatewayError as error:
        headers = {**JSON, "retry-after": RETRY_AFTER} if error.status in (429, 503) else JSON
        body = dialect_of(Row, name).encode_error(error)
        return Script(error.status, headers, [Arrival(0.0, dumps(body))], getattr(error, "silence", 0.0))


def json_object(http_request: HttpRequest) -> dict[str, Any]:
    """Return the JSON object of a request; raises ``bad_request`` for anything else."""
    body = loads(http_request.body)
    if not isinstance(body, dict):
        raise GatewayError("bad_request", "The body is not a JSON object.")
    return body


def server_context() -> ServerContext:
    """Return the context of one answer: random ids, the clock of this machine."""
    return ServerContext(new_id=_new_id, now=int(time.time()))


def _new_id(prefix: str) -> str:
    separator = "" if prefix.endswith(("_", "-")) else "_"
    return f"{prefix}{separator}{secrets.token_hex(12)}"


def json_script(body: Any, directives: Directives) -> Script:
    """Return the script of a JSON answer."""
    return whole_script(dumps(body), JSON, directives)


def whole_script(data: bytes, headers: Mapping[str, str], directives: Directives) -> Script:
    """Return the script of an answer in one piece: its head comes when the answer is complete.

    Raises RequestedFailure where it is to fail midway: none of it was sent yet.
    """
    silence = directives.silence + (directives.seconds or 0.0)
    if directives.midway == "fail":
        raise RequestedFailure(500, silence)
    arrivals = [Arrival(0.0, data)]
    if directives.midway is not None:
        rest = Arrival(math.inf) if directives.midway == "hang" else Arrival(0.0, cut=True)
        arrivals = [Arrival(0.0, data[: len(data) // 2]), rest]
    return Script(200, headers, arrivals, silence)


def stream_script(
    moments: Iterable[ScheduledEvents], feed: Callable[[Any], list[Frame]], directives: Directives
) -> Script:
    """Return the script of an event stream: ``feed`` turns events into frames."""
    return Script(200, SSE, _stream(moments, feed), directives.silence)


def _stream(moments: Iterable[ScheduledEvents], feed: Callable[[Any], list[Frame]]) -> Iterator[Arrival]:
    for beat in moments:
        frames = [frame for event in beat.events for frame in feed(event)]
        if data := b"".join(map(frame_bytes, frames)):
            yield Arrival(beat.at, data)
        if beat.breaks == "hang":
            yield Arrival(math.inf)
        if beat.breaks == "cut":
            return  # ends without the protocol's own terminal, as a cut stream may


def frame_bytes(frame: Frame) -> bytes:
    """Return one frame of an event stream."""
    return encode_frame(frame.event, b"[DONE]" if frame.data is None else dumps_ascii(frame.data))


def spread(pieces: Sequence[bytes], seconds: float) -> list[Arrival]:
    """Return ``pieces`` as they arrive over ``seconds``, the first at once."""
    step = seconds / max(len(pieces), 1)
    return [Arrival(index * step, piece) for index, piece in enumerate(pieces)]
