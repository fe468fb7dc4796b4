"""The driver: tries the targets of a call in order, with retries, until one answers.

It feeds a ``Run``: a whole answer as one batch, a stream as one batch per read. It alone decides about retry and fallback,
what counts as content, and the usage of an attempt. Each attempt runs inside the attempt layers; an error of a layer counts
as the target's error, so the next target is tried.
Tests: tests/behaviour (faults, cuts, leaving, timing), tests/replay.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from app.canonical.response import Response, Usage
from app.config import Settings
from app.dialects.base import Frame
from app.errors import GatewayError
from app.gateway.attempt_scope import AttemptLayer, AttemptScope
from app.gateway.call import Attempt, Call
from app.gateway.cost import PriceList
from app.gateway.estimates import complete_usage
from app.gateway.exchange import Answer, Exchange, Received, Sent, Translator
from app.gateway.framing import FrameReader, frame_reader, is_event_stream
from app.gateway.operations import encode, exchange
from app.gateway.plan import Planned, Route, no_target
from app.gateway.redaction import Redactor
from app.gateway.repetitions import Repetition, RepetitionReader
from app.gateway.retries import RetryBudget, may_continue
from app.gateway.run import Batch, Fault, Run
from app.gateway.translation import error_within
from app.gateway.upstreams import OpenRequest, json_of
from app.providers.base import Wire
from app.wire.offload import LARGE, aside
from app.wire.upstream import Upstream

SHAPE_FAULTS: Final = (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError)
"""Errors that reading an answer of an unexpected shape may raise."""

_JSON: Final = "application/json"
_HTML: Final = "text/html"
_TYPED: Final = ("text/event-stream", "application/vnd.amazon.eventstream", "audio/")


class Driver:
    """Makes the attempts of calls; one per process."""

    def __init__(
        self,
        settings: Settings,
        prices: PriceList,
        redactor: Redactor,
        plan: Callable[[Call], Route],
        layers: Sequence[AttemptLayer],
        fault: Fault,
    ) -> None:
        self._settings = settings
        self._prices = prices
        self._redactor = redactor
        self._plan = plan
        self._layers = tuple(layers)
        self._fault = fault
        self._budget = RetryBudget()

    def drive(self, run: Run) -> Generator[Batch | Repetition, None, None]:
        """Feed ``run`` from the first target that answers; raise the first error if none does."""
        call = run.call
        first: GatewayError | None = None
        refused: GatewayError | None = None  # by a layer; raised if nothing else failed
        for step in self._steps(call):
            if isinstance(step, GatewayError):
                first = first or step
                continue
            try:
                with self._attempt(run, step) as attempt:
                    if call.stream:
                        yield from self._stream(run, attempt, *encode(call, step))
                        return
                    answer = self._answer_whole(run, attempt, exchange(call, step))
            except GatewayError as error:
                if run.content:
                    raise
                run.drop_held()
                if call.attempts and call.attempts[-1].refused:
                    refused = more_retryable(refused, error)
                else:
                    first = first or error
                if not may_continue(call, error):
                    break
            else:
                yield Batch([], last=True, answer=answer)
                return
        raise call.abort.reason or call.progress.refusal or first or refused or no_target(call)

    def _steps(self, call: Call) -> Iterator[Planned | GatewayError]:
        """Yield the planned targets, each again while its last error allows a retry."""
        self._budget.call()
        route = call.progress.route or self._plan(call)
        for position, step in enumerate(route.steps, 1):
            yield step
            if isinstance(step, GatewayError):
                continue
            for _ in range(self._settings.max_retries):
                last = not any(isinstance(other, Planned) for other in route.steps[position:])
                if not self._budget.grants(call, last):
                    break
                yield step

    def _attempt(self, run: Run, planned: Planned) -> AttemptScope:
        """Return the scope of one attempt, which enters its layers and tells them its end."""
        call = run.call
        call.abort.check()
        attempt = Attempt(call, planned.target, refused=True)  # until its layers let it through
        call.attempts.append(attempt)
        call.progress.last_error = None
        self._prices.preload(attempt.target)
        return AttemptScope(attempt, self._layers, self._redactor)

    def _announce(self, run: Run, attempt: Attempt) -> None:
        """Announce that the first request of ``attempt`` follows. An error of a listener ends the call without the attempt."""
        try:
            run.announce(attempt)
        except GatewayError as error:
            run.call.progress.refusal = error
            run.call.attempts.remove(attempt)
            raise

    def _answer_whole(self, run: Run, attempt: Attempt, exchange: Exchange) -> Answer:
        """Return the whole answer of one attempt."""
        call = run.call
        started = time.monotonic()
        run.outcome.target = attempt.target
        received: Received | None = None

        def fetch(sent: Sent) -> Received:
            nonlocal received
            if received is None:
                self._announce(run, attempt)
            self._note_request(run, sent)
            with OpenRequest(self._settings, attempt, exchange, sent, stream=False) as upstream:
                received = Received(upstream.status, upstream.headers, upstream.read())
            attempt.maybe_charged = True  # even if the answer cannot be read
            return received

        try:
            answer = exchange.fetch(fetch)
        except SHAPE_FAULTS as error:
            if received is None:
                raise
            raise self._unreadable(error, call) from error
        except GatewayError as error:
            failure = None if received is None else error_within(received.body, error)
            if failure is None:
                raise
            raise failure from error
        self._note_target(run, attempt, exchange, started)
        attempt.complete = True
        size, raw = len(received.body) if received is not None else 0, answer.raw
        answer.raw = aside(size, lambda: self._redactor.value(raw)) if call.keep_raw else None
        answer.cost = self._charge(attempt, answer.usage, answer.response)
        return answer

    def _stream(
        self, run: Run, attempt: Attempt, exchange: Exchange, sent: Sent
    ) -> Generator[Batch | Repetition, None, None]:
        """Yield the batches of one attempt, until its stream ends."""
        started = time.monotonic()
        self._note_target(run, attempt, exchange, None)
        self._note_request(run, sent)
        self._announce(run, attempt)
        stream = _UpstreamStream(run, exchange)
        with OpenRequest(self._settings, attempt, exchange, sent, stream=True) as upstream:
            translator = stream.open(upstream)
            run.outcome.media_type = stream.media_type
            run.begin_stream(partial(self._fail, stream, attempt, started))
            try:
                for frames in self._read(upstream, sent.wire or exchange.wire, stream):
                    if isinstance(frames, Repetition):
                        yield frames
                        continue
                    if translator.ended or not run.content:
                        self._note_target(run, attempt, exchange, started)
                    if translator.ended:
                        attempt.complete = True
                        attempt.close()  # recorded before the end of its response
                        yield Batch(frames, True, True, self._answer(stream, attempt))
                        return
                    yield Batch(frames, False, translator.content)
            finally:
                if attempt.usage is None:
                    self._charge(attempt, aside(stream.size, stream.usage))

    def _note_target(self, run: Run, attempt: Attempt, exchange: Exchange, started: float | None) -> None:
        """Record the target, the losses of the translation, and the milliseconds so far."""
        outcome = run.outcome
        outcome.target = attempt.target
        outcome.passed = exchange.passed
        if started is not None:
            outcome.losses = [*run.call.left_out, *exchange.losses.items]
            outcome.upstream_ms = round((time.monotonic() - started) * 1000)

    def _note_request(self, run: Run, sent: Sent) -> None:
        if run.call.keep_raw:
            run.outcome.raw_request = aside(run.call.size, lambda: self._redactor.value(json_of(sent)))

    def _charge(
        self, attempt: Attempt, usage: Usage | None, response: Response | None = None
    ) -> Mapping[str, Any] | None:
        """Record the usage of ``attempt``; return its cost object, None if no price is known."""
        if usage is not None and attempt.usage is not usage:
            attempt.usage = usage
            tier = response.service_tier if response is not None else None
            attempt.cost = self._prices.cost(attempt.target, usage, tier)
        return attempt.cost

    def _fail(self, stream: _UpstreamStream, attempt: Attempt, started: float, error: GatewayError) -> Batch:
        """Return the frames that end a stream in ``error``, with the answer so far."""
        frames = stream.translator.fail(error)
        self._note_target(stream.run, attempt, stream.exchange, started)
        return Batch(frames, True, True, self._answer(stream, attempt))

    def _answer(self, stream: _UpstreamStream, attempt: Attempt) -> Answer:
        """Return the answer of a stream so far, without its frames."""
        answer = aside(stream.size, stream.answer)
        if answer.raw is not None:  # in one piece: a read may cut a character or a secret
            answer.raw = aside(len(answer.raw), partial(self._redactor.text, answer.raw))
        answer.cost = self._charge(attempt, answer.usage, answer.response)
        return answer

    def _read(
        self, upstream: Upstream, wire: Wire, stream: _UpstreamStream
    ) -> Iterator[list[Frame] | Repetition]:
        """Yield the frames of each upstream read; raise the error of a stream that failed."""
        content_type = upstream.headers.get("content-type", "").lower()
        if content_type.startswith(_HTML):
            raise GatewayError("upstream_invalid", "The provider answered with an HTML page.")
        translator, run = stream.translator, stream.run
        lead = b""
        says_json = content_type.startswith(_JSON) or not wire.streams
        if says_json or wire.framing != "bytes" and not content_type.startswith(_TYPED):
            lead = yield from _first_bytes(upstream, run)
            is_stream = wire.streams and is_event_stream(lead, wire.framing)
            if says_json and not is_stream or lead.startswith(b"{"):
                yield stream.check(self._read_whole(stream, lead + upstream.read()))
                return
        frames = frame_reader(wire.framing, content_type, lead)
        repetitions = RepetitionReader(frames, translator)

        def take(chunk: bytes) -> bool:
            output = repetitions.read(chunk)
            if output is None:
                return False
            upstream.progress()
            run.relay(output if isinstance(output, Repetition) else Batch(output, False, True))
            return True

        while not translator.ended:
            takes = run.sink is not None and stream.raw is None
            chunk, lead = lead or upstream.read_within(run.patience, take if takes else None), b""
            if chunk is None:
                yield []
                continue
            if stream.raw is not None:
                stream.raw += chunk
            output: list[Frame] | Repetition | None = repetitions.read(chunk)
            if output is not None:
                upstream.progress()
                yield output
                continue
            output = self._translate(upstream, frames, stream, chunk)
            repetitions.follow(chunk, output)
            yield output if translator.failure is None else stream.check(output)

    def _read_whole(self, stream: _UpstreamStream, body: bytes) -> list[Frame]:
        try:
            return aside(len(body), lambda: stream.translator.whole(body))
        except SHAPE_FAULTS as error:
            raise self._unreadable(error, stream.run.call) from error
        except GatewayError as error:
            failure = error_within(body, error)
            if failure is None:
                raise
            raise failure from error

    def _translate(
        self, upstream: Upstream, reader: FrameReader, stream: _UpstreamStream, chunk: bytes
    ) -> list[Frame]:
        """Return the frames of one read, up to the end or a fault of the stream; ``b""`` is the end of the body."""
        translator = stream.translator
        stream.size += len(chunk)
        frames: list[Frame] = []
        try:
            for event, data in reader.feed(chunk):
                if data is None:
                    frames += aside(stream.size, translator.done)
                elif reader.size < LARGE:
                    frames += translator.feed(event, data)
                else:
                    frames += aside(reader.size, partial(translator.feed, event, data))
                upstream.progress()
                if translator.ended or translator.failure is not None:
                    return frames  # the rest of the read is dropped
            if not chunk:
                frames += aside(stream.size, translator.eof)
                if translator.failure is None and not translator.ended:
                    translator.failure = GatewayError(
                        "upstream_cut", "The provider's stream ended before it was complete."
                    )
        except GatewayError as error:
            translator.failure = error
        except SHAPE_FAULTS as error:
            translator.failure = self._unreadable(error, stream.run.call)
        return frames

    def _unreadable(self, error: Exception, call: Call) -> GatewayError:
        """Log why an answer could not be read; return the error for the client."""
        self._fault(error, call.id)
        return GatewayError("upstream_invalid", "The provider's answer has a shape that cannot be read.")


def more_retryable(one: GatewayError | None, other: GatewayError) -> GatewayError:
    """Return the refusal to report: the first, unless only the other one can be retried later."""
    return other if one is None or (one.retry_after is None and other.retry_after is not None) else one


def _first_bytes(upstream: Upstream, run: Run) -> Generator[list[Frame], None, bytes]:
    """Return the first bytes of a body after white space; yield empty batches while nothing comes."""
    lead = b""
    while not lead:
        chunk = upstream.read_within(run.patience)
        if chunk is None:
            yield []
        elif not chunk:
            break
        else:
            lead = chunk.lstrip()
    return lead


class _UpstreamStream:
    """One stream of a provider while it is read: its translator, and its raw bytes if the client asked for them."""

    translator: Translator

    def __init__(self, run: Run, exchange: Exchange) -> None:
        self.run = run
        self.size = 0  # bytes that were translated
        self.raw: bytearray | None = bytearray() if run.call.keep_raw else None
        self.exchange = exchange

    def open(self, upstream: Upstream) -> Translator:
        """Return the translator for the answer, by its headers."""
        self.translator = self.exchange.translator(upstream.headers)
        return self.translator

    @property
    def media_type(self) -> str | None:
        """Return the media type of a body that is not an event stream."""
        return getattr(self.translator, "media_type", None)

    def check(self, frames: list[Frame]) -> list[Frame]:
        """Return ``frames``; if the translator failed, keep what came before for the run and raise its failure."""
        translator = self.translator
        if translator.failure is None:
            return frames
        if translator.content and frames:
            self.run.keep_tail(frames)
        elif not translator.content:
            self.run.hold(frames)
        raise translator.failure

    def usage(self) -> Usage | None:
        """Return the usage of a stream that broke off; what the provider did not count is estimated."""
        translator = self.translator
        usage = translator.usage
        response = translator.response() if translator.content and (usage is None or usage.missing) else None
        estimate = None if response is None else self.exchange.estimate(response)
        return usage if estimate is None else complete_usage(usage, lambda: estimate)

    def answer(self) -> Answer:
        """Return the answer so far; ``raw`` is its text, if the client asked for it."""
        translator = self.translator
        return Answer(
            None,
            self.media_type,
            response=translator.response(),
            usage=translator.usage,
            finish=translator.finish,
            raw=None if self.raw is None else self.raw.decode("utf-8", "replace"),
        )
