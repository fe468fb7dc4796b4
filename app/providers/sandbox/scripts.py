"""What every route shares: requests read, directives obeyed, scripts of answers made."""

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
from app.providers.sandbox.playback import Beat
from app.providers.sandbox.transport import Arrival, Asked, Script
from app.wire.json import dumps, dumps_ascii, loads
from app.wire.sse import encode_frame

JSON: Final = {"content-type": "application/json"}
SSE: Final = {"content-type": "text/event-stream"}
RETRY_AFTER: Final = "1"  # seconds, told with 429 and 503

Respond = Callable[[Asked, float], Script]
"""Makes the script of one operation's answer; the number is the pace in words per second."""

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


class AskedFailure(GatewayError):
    """The failure that ``fail with STATUS`` asks for, in OpenAI's words for that status, after
    ``silence`` seconds."""

    def __init__(self, status: int, silence: float = 0.0) -> None:
        kind = _KINDS.get(status, "bad_request" if status < 500 else "upstream_error")
        super().__init__(kind, f"The sandbox failed with status {status}, as it was asked to.", status=status)
        self.silence = silence


def read_directives(text: str, model: str) -> Directives:
    """Return what ``text`` asks of ``model``; raises AskedFailure where that is to fail."""
    read = parse_directives(text)
    if read.only_for is not None and read.only_for != model:
        read = replace(read, status=None, midway=None)
    if read.status is not None:
        raise AskedFailure(read.status, read.silence)
    return read


def answer_script(name: str, respond: Respond, asked: Asked, words_per_second: float) -> Script:
    """Return the script that ``respond`` makes; a refusal is written in dialect ``name``."""
    try:
        return respond(asked, words_per_second)
    except GatewayError as error:
        headers = {**JSON, "retry-after": RETRY_AFTER} if error.status in (429, 503) else JSON
        body = dialect_of(Row, name).encode_error(error)
        return Script(error.status, headers, [Arrival(0.0, dumps(body))], getattr(error, "silence", 0.0))


def json_object(asked: Asked) -> dict[str, Any]:
    """Return the JSON object of a request; raises ``bad_request`` for anything else."""
    body = loads(asked.body)
    if not isinstance(body, dict):
        raise GatewayError("bad_request", "The body is not a JSON object.")
    return body


def server_context() -> ServerContext:
    """Return the context of one answer: random ids, the clock of this machine."""
    return ServerContext(new_id=_new_id, now=int(time.time()))


def _new_id(prefix: str) -> str:
    joint = "" if prefix.endswith(("_", "-")) else "_"
    return f"{prefix}{joint}{secrets.token_hex(12)}"


def json_script(body: Any, read: Directives) -> Script:
    """Return the script of a JSON answer."""
    return whole_script(dumps(body), JSON, read)


def whole_script(data: bytes, headers: Mapping[str, str], read: Directives) -> Script:
    """Return the script of an answer in one piece: its head comes when the answer is there.

    Raises AskedFailure where it is to fail midway: nothing of it was sent yet.
    """
    silence = read.silence + (read.seconds or 0.0)
    if read.midway == "fail":
        raise AskedFailure(500, silence)
    arrivals = [Arrival(0.0, data)]
    if read.midway is not None:
        broken = Arrival(math.inf) if read.midway == "hang" else Arrival(0.0, cut=True)
        arrivals = [Arrival(0.0, data[: len(data) // 2]), broken]
    return Script(200, headers, arrivals, silence)


def stream_script(beats: Iterable[Beat], feed: Callable[[Any], list[Frame]], read: Directives) -> Script:
    """Return the script of an event stream: ``feed`` turns events into frames."""
    return Script(200, SSE, _stream(beats, feed), read.silence)


def _stream(beats: Iterable[Beat], feed: Callable[[Any], list[Frame]]) -> Iterator[Arrival]:
    for beat in beats:
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
