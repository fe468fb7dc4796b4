"""Pass: the caller's dialect is the one the target takes whole, so bodies are forwarded.

The request goes out as a patched copy and the answer comes back patched; every other
member stays as it was sent. The target's own decoder runs beside the stream, so usage,
finish reason, errors and the fold are the same as for a translated call.

Tests: tests/replay, tests/behaviour/test_odd_shapes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from app.canonical.events import (
    Ended,
    Event,
    Failed,
    Finished,
    replay,
)
from app.canonical.response import Response, Usage
from app.dialects.base import ClientContext, Dialect, Frame, PassThrough, Patch, ServerContext, StreamEncoder
from app.dialects.shared.losses import Losses
from app.dialects.shared.repeats import fill
from app.dialects.shared.usage_repair import repair_usage
from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.gateway.estimates import complete_usage, estimated_usage
from app.gateway.event_streams import CanonicalStream
from app.gateway.exchange import Answer, Fetch, Sent
from app.gateway.offload import aside_for
from app.gateway.repetitions import Original, Repetition, original_of
from app.gateway.translation import client_context, decode_call, parse_upstream, server_context
from app.gateway.truncation import Breaks, check_size, check_whole
from app.providers.base import Wire
from app.wire.json import dumps
from app.wire.offload import LARGE, aside


class PassExchange:
    """One attempt by passing."""

    passed = True

    def __init__(
        self,
        call: Call,
        target: Target,
        wire: Wire,
        dialect: Dialect,
        patch: Callable[[PassThrough], Patch],
        losses: Losses,
    ) -> None:
        self.wire = wire
        self.losses = losses
        losses.passes = True
        self.dialect = dialect
        self._call = call
        self.context: ClientContext = client_context(call, target, wire, self.losses)
        self._server_context: ServerContext = server_context(call, target.model)
        self.patch = patch(
            PassThrough(call.body, self.context, self._server_context, call.upstream_body, call.stream)
        )

    def send(self) -> Sent:
        """Return the patched copy of the caller's body."""
        return aside_for(self._call, self._encode)

    def _encode(self) -> Sent:
        return Sent(dumps(self.patch.request()))

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch one whole answer; it is decoded too, for the record."""
        body = fetch(self.send()).body
        return self._answer(body) if len(body) < LARGE else aside(len(body), partial(self._answer, body))

    def _answer(self, body: bytes) -> Answer:
        raw = parse_upstream(body)
        response = check_size(self.dialect.decode_response(raw, self.context))
        if self.patch.breaks_fail:
            check_whole(response.choices)
        finish = response.choices[0].finish if response.choices else None
        usage = complete_usage(response.usage, lambda: self.estimate(response))
        answer = self.patch.answer(raw)
        repair_usage(answer, usage, self.dialect.write_usage, self.dialect.usage_member)
        return Answer(answer, response=response, usage=usage, finish=finish, raw=raw)

    def translator(self, headers: Mapping[str, str]) -> PassStream:
        """Return the stream's patcher and observer."""
        return PassStream(self)

    def error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
        """Read the target's error body."""
        return self.dialect.decode_error(status, body, headers)

    def estimate(self, response: Response) -> Usage:
        """Return an estimated usage for an answer without usage."""
        return estimated_usage(decode_call(self._call), response)

    def encoder(self) -> StreamEncoder:
        """Return a server half's encoder, for an ending of our own."""
        return self.dialect.stream_encoder(decode_call(self._call), self._server_context)


class PassStream(CanonicalStream):
    """Patched frames out, events beside for the record."""

    def __init__(self, exchange: PassExchange) -> None:
        dialect, context = exchange.dialect, exchange.context
        super().__init__(
            exchange.patch.decoder or dialect.stream_decoder(context),
            lambda body: replay(check_size(dialect.decode_response(parse_upstream(body), context))),
            exchange.estimate,
            breaks=Breaks() if exchange.patch.breaks_fail else None,
        )
        self._exchange = exchange
        self._patch = exchange.patch
        self._encoder: StreamEncoder | None = None  # of a whole answer
        self._original: Original | None = None
        self._event: str | None = None  # the name of the last frame that grew a block

    def feed(self, event: str | None, data: Any) -> list[Frame]:
        """Take one upstream frame."""
        events = self._decoder.feed(event, data)
        if self._grows(events):
            self._event = event
            return self._patch.frames(event, data)
        self._take(events)
        if self.failure is not None or not isinstance(data, dict):
            return []
        frames = self._patch.frames(event, data)
        last = frames[-1].data if frames and self.ended else None
        ended = last.get("response") if isinstance(last, dict) else None
        if ended is not None and self.usage is not None:
            repair_usage(ended, self.usage, self._exchange.dialect.write_usage)
        return [*frames, *self._closing()]

    def repeat(self, rows: Sequence[Sequence[Any]]) -> list[Frame] | Repetition:
        """Take the last frame once for each of ``rows``, the values at the places of ``repeats``."""
        repeats, original = self.repeats, self._original
        assert repeats is not None
        text = rows[0][0] if len(rows) == 1 else "".join([values[0] for values in rows])
        self._fold.grow_text(repeats.grow(text), text)
        if original is not None:
            return Repetition(original, rows)
        again = [fill(repeats.latest, repeats.places, values) for values in rows]
        return [frame for data in again for frame in self._patch.frames(self._event, data)]

    def keep_original(self, frame: Frame) -> bool:
        """Keep the last frame where one that repeats it goes out alike; tell whether repetitions can be taken."""
        repeats, is_steady = self.repeats, self._patch.is_steady
        self._original = original_of(frame, repeats) if repeats is not None and is_steady else None
        return self._original is not None or not is_steady

    def done(self) -> list[Frame]:
        """Take ``[DONE]``."""
        return [*super().done(), *self._closing()]

    def eof(self) -> list[Frame]:
        """Take the end of the body."""
        return [*super().eof(), *self._closing()]

    def whole(self, body: bytes) -> list[Frame]:
        """Take a whole JSON answer where a stream was asked for: it is encoded as one."""
        self._encoder = self._exchange.encoder()
        return super().whole(body)

    def fail(self, error: GatewayError) -> list[Frame]:
        """Return the frames that end the stream in ``error``, after what the fold holds."""
        self.ended = True
        patched = self._patch.fail(error, self._fold.response(), self.usage)
        if patched is not None:
            return patched
        encoder = self._exchange.encoder()
        for event in replay(self._fold.response()):
            if not isinstance(event, Finished | Ended):
                encoder.feed(event)
        return encoder.feed(Failed(error, self.usage))

    def _closing(self) -> list[Frame]:
        return self._patch.closing(self.usage) if self.ended else []

    def _write(self, event: Event) -> list[Frame]:
        self._fold.feed(event)
        return [] if self._encoder is None else self._encoder.feed(event)
