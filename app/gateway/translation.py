"""Translate: decode the caller's dialect, go through canonical, encode for the target.

Works for chat and Responses on either side. The decoded request is made once a call and
shared by its attempts.

Tests: tests/golden, tests/replay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar, runtime_checkable

from app.canonical.events import Event, Failed, replay
from app.canonical.request import Request
from app.canonical.response import Response, Usage
from app.dialects import dialect
from app.dialects.base import (
    ClientContext,
    Dialect,
    EncodedRequest,
    Frame,
    Row,
    ServerContext,
    StreamDecoder,
    StreamEncoder,
)
from app.dialects.chat.errors import failure_in
from app.dialects.shared.answer_losses import report_losses
from app.dialects.shared.losses import Losses
from app.dialects.shared.repeats import Place
from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.gateway.estimates import complete_usage, estimated_usage
from app.gateway.event_streams import CanonicalStream
from app.gateway.exchange import Answer, Fetch, Received, Sent
from app.gateway.nested_json import MAX_NESTED, has_too_much
from app.gateway.offload import aside_for
from app.gateway.repetitions import Original, Repetition
from app.gateway.truncation import Breaks, check_size, check_whole
from app.providers.base import Wire
from app.state.ids import mint
from app.wire.json import dumps, loads_lenient
from app.wire.offload import aside

_MOST_OF_ERROR: Final = 64 * 1024

T = TypeVar("T")
D = TypeVar("D", bound=Row)


def parse_upstream(body: bytes) -> Any:
    """Parse an upstream's JSON; raises GatewayError ``upstream_invalid``."""
    try:
        return aside(len(body), partial(loads_lenient, body))
    except ValueError as error:
        raise GatewayError(
            "upstream_invalid", "The provider's answer is not valid JSON.", raw=body[:4096]
        ) from error


def error_within(body: bytes, unread: GatewayError) -> GatewayError | None:
    """Return the error that a body of status 200 holds, None unless no answer could be read from it (``unread``)."""
    if unread.kind.name != "upstream_invalid" or len(body) > _MOST_OF_ERROR:
        return None
    try:
        return failure_in(loads_lenient(body))
    except ValueError:
        return None


def json_request(encoded: EncodedRequest) -> Sent:
    """Return the request of JSON that a dialect encoded."""
    return Sent(dumps(encoded.body), encoded.headers)


def server_context(call: Call, model: str | None) -> ServerContext:
    """Return what the caller's dialect needs to write this call's answer."""
    return ServerContext(
        new_id=mint,
        now=call.created_at,
        model=model,
        response_id=call.response_id,
        wrap=call.sealing.wrap,
        unwrap=call.sealing.unwrap,
        leading=call.leading,
    )


def losses_of(call: Call, target: Target) -> Losses:
    """Return a collector of this attempt's losses in the caller's words."""
    return Losses(
        call.dialect,
        target=f"'{target.label}'",
        strict=call.strict,
        warn_only=call.may_leave_out,
        provided=call.provided,
        body=call.body,
    )


def decode_once(call: Call, decode: Callable[[Mapping[str, Any], ServerContext], T]) -> T:
    """Return the call's canonical request, decoded at first use and shared by its attempts."""
    body, known = call.full_body, call.progress.decoded
    if call.request is None and (known is None or known[0] is not body):
        context = server_context(call, None)
        call.progress.decoded = known = (body, aside_for(call, lambda: _bounded(decode(body, context))))
    request: T = call.request if call.request is not None or known is None else known[1]
    return request


def _bounded(request: T) -> T:
    """Return a request; raises ``bad_request`` if the texts of its tools hold too much JSON."""
    if isinstance(request, Request) and has_too_much(request.messages):
        raise GatewayError(
            "bad_request",
            "The JSON within the texts of the tool calls and tool results has more than "
            f"{MAX_NESTED} members and elements.",
        )
    return request


def decode_call(call: Call) -> Request:
    """Return the canonical request of a chat or Responses call."""
    return decode_once(call, dialect(call.dialect).decode_request)


def decode_count(call: Call) -> Request:
    """Return the canonical prompt of a call that counts its tokens."""
    return decode_once(call, dialect(call.dialect).decode_count_request)


def client_context(
    call: Call, target: Target, wire: Wire, losses: Losses, request: Request | None = None
) -> ClientContext:
    """Return what the target's dialect needs for this attempt."""
    sent = call.client_headers
    return ClientContext(
        model=target.model,
        new_id=mint,
        now=call.created_at,
        options=wire.options,
        realm=target.provider.realm(target.key, wire),
        provider=target.provider.name,
        losses=losses,
        request=request,
        headers={name: sent[name] for name in wire.body_headers if name in sent} if wire.body_headers else {},
        loads=loads_lenient,
    )


class DialectExchange(Generic[D]):
    """What attempts have in common that translate: the dialects of both sides, and ``request`` for the target.

    By default it neither streams nor estimates usage."""

    passed = False

    def __init__(
        self, client: D, server: D, call: Call, target: Target, wire: Wire, request: Any, losses: Losses
    ) -> None:
        self.wire = wire
        self.losses = losses
        self._call = call
        self._client = client
        self._server = server
        self._request = request
        self._server_context = server_context(call, target.model)
        generated = request if isinstance(request, Request) else None
        self._context = client_context(call, target, wire, losses, generated)

    def _report_losses(self, answer: Response, *, streamed: bool = False) -> None:
        report_losses(answer, self._server.name, self.losses, streamed=streamed)

    def translator(self, headers: Mapping[str, str]) -> Any:
        """Return the stream's translator; raises ``unsupported_operation`` where there is none."""
        raise GatewayError("unsupported_operation", "This operation is not streamed.", param="stream")

    def estimate(self, response: Response) -> Usage | None:
        """Return an estimated usage for an answer without usage."""
        return None

    def error(self, status: int, body: Any, headers: Mapping[str, str]) -> GatewayError:
        """Read the target's error body."""
        return self._client.decode_error(status, body, headers)


class TranslateExchange(DialectExchange[Dialect]):
    """One attempt at a generation."""

    def __init__(self, call: Call, target: Target, wire: Wire, request: Request, losses: Losses) -> None:
        request = replace(request, model=target.model, stream=call.stream and wire.streams)
        super().__init__(dialect(wire.dialect), dialect(call.dialect), call, target, wire, request, losses)

    def send(self) -> Sent:
        """Encode the request for the target."""
        return aside_for(self._call, self._encode_request)

    def _encode_request(self) -> Sent:
        return json_request(self._client.encode_request(self._request, self._context))

    def fetch(self, fetch: Fetch) -> Answer:
        """Fetch, decode and encode one whole answer."""
        received = fetch(self.send())
        return aside(len(received.body), lambda: self._answer(received))

    def _answer(self, received: Received) -> Answer:
        raw = parse_upstream(received.body)
        response = check_size(self._client.decode_response(raw, self._context))
        usage = complete_usage(response.usage, lambda: self.estimate(response))
        if usage is not response.usage:
            response = replace(response, usage=usage)
        if not self._server.reports_failure:
            check_whole(response.choices)
        body = self._server.encode_response(response, self._request, self._server_context)
        self._report_losses(response)
        finish = response.choices[0].finish if response.choices else None
        return Answer(body, response=response, usage=response.usage, finish=finish, raw=raw)

    def translator(self, headers: Mapping[str, str]) -> TranslateStream:
        """Return the stream's translator."""
        return TranslateStream(
            self._client.stream_decoder(self._context),
            self._server.stream_encoder(self._request, self._server_context),
            lambda body: replay(
                check_size(self._client.decode_response(parse_upstream(body), self._context))
            ),
            self.estimate,
            breaks=None if self._server.reports_failure else Breaks(),
            report=partial(self._report_losses, streamed=True),
        )

    def estimate(self, response: Response) -> Usage:
        """Return an estimated usage for an answer without usage."""
        return estimated_usage(self._request, response)


@runtime_checkable
class Reopening(Protocol):
    """An encoder that remembers its end, and can forget an end that was not sent."""

    def discard_end(self) -> None:
        """Forget the terminal frames."""


@runtime_checkable
class Growing(Protocol):
    """An encoder whose frames of a block's deltas may be alike but for the text."""

    def place_of_text(self, block: int) -> Place | None:
        """Return where the text is in the frames of a block's deltas; None where these are not one and alike for each text."""
        ...

    def grow(self, block: int, text: str) -> None:
        """Record that a block grew by frames that were made elsewhere."""


class TranslateStream(CanonicalStream):
    """Decoder, fold and encoder in one line. ``report`` takes the whole answer, to report what of it was not written."""

    def __init__(
        self,
        decoder: StreamDecoder,
        encoder: StreamEncoder,
        whole: Callable[[bytes], Iterable[Event]],
        estimate: Callable[[Response], Usage] | None = None,
        *,
        breaks: Breaks | None = None,
        report: Callable[[Response], None],
    ) -> None:
        super().__init__(decoder, whole, estimate, breaks=breaks)
        self._encoder = encoder
        self._join: Callable[[list[Frame]], list[Frame]] = getattr(encoder, "join", list)
        self._report = report
        self._original: Original | None = None
        self._grow: Callable[[int, str], None]  # of the encoder, with ``_original``

    def repeat(self, rows: Sequence[Sequence[Any]]) -> list[Frame] | Repetition:
        """Take the last frame once for each of ``rows``, the values at the places of ``repeats``."""
        repeats, original = self.repeats, self._original
        assert repeats is not None
        if original is not None:
            text = rows[0][0] if len(rows) == 1 else "".join([values[0] for values in rows])
            self._fold.grow_text(repeats.grow(text), text)
            self._grow(repeats.block, text)
            return Repetition(original, rows)
        frames: list[Frame] = []
        for values in rows:
            delta = repeats.repeat(values[0])
            self._fold.grow(delta)
            frames += self._encoder.feed(delta)
        return frames

    def keep_original(self, frame: Frame) -> bool:
        """Keep the last frame where one for another text is alike; repetitions can be taken in any case."""
        repeats, encoder, self._original = self.repeats, self._encoder, None
        if repeats is not None and isinstance(encoder, Growing):
            place = encoder.place_of_text(repeats.block)
            if place is not None:
                self._original, self._grow = Original(frame.event, dict(frame.data), (place,)), encoder.grow
        return True

    def fail(self, error: GatewayError) -> list[Frame]:
        """Return the frames that end the stream in ``error``."""
        if self.ended and isinstance(self._encoder, Reopening):
            self._encoder.discard_end()
        failed = Failed(error, self.usage)
        self._fold.feed(failed)
        self._answer, self.ended = None, True
        self._report(self.response())
        return self._encoder.feed(failed)

    @property
    def final(self) -> dict[str, Any] | None:
        """Return the terminal object as the encoder made it, where it makes one."""
        return getattr(self._encoder, "final", None)

    def feed(self, event: str | None, data: Any) -> list[Frame]:
        """Take one upstream frame."""
        events = self._decoder.feed(event, data)
        return self._encoder.feed(events[0]) if self._grows(events) else self._take(events)

    def _take(self, events: Iterable[Event]) -> list[Frame]:
        return self._join(super()._take(events))

    def _write(self, event: Event) -> list[Frame]:
        self._fold.feed(event)
        if self.ended:
            self._report(self.response())
        return self._encoder.feed(event)
