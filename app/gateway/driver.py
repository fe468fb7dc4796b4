"""The driver: a call's targets in order, one retry each, until one answers.

It feeds a ``Run``: whole answers as one batch, streams read by read. The policy is here and once:
retry, fallback, what counts as content, what an attempt used up. Attempt layers are entered around
each attempt; what one of them refuses is that target's error, so the next target is tried.
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
from app.gateway.exchange import Answer, Exchange, Received, Sent, Translator
from app.gateway.framing import FrameReader, frame_reader, is_event_stream
from app.gateway.operations import encode, exchange
from app.gateway.plan import Planned, Route, no_target
from app.gateway.redaction import Redactor
from app.gateway.repetitions import Repetition, RepetitionReader
from app.gateway.retries import RetryBudget, goes_on
from app.gateway.run import Batch, Run
from app.gateway.upstreams import OpenRequest, json_of
from app.providers.base import Wire
from app.wire.offload import LARGE, aside
from app.wire.upstream import Upstream

SHAPE_FAULTS: Final = (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError)
"""What reading an answer of an unforeseen shape may raise."""

_JSON: Final = "application/json"
_HTML: Final = "text/html"


class Driver:
    """Makes attempts for calls; one for the process. ``fault`` logs a fault of ours."""

    def __init__(
        self,
        settings: Settings,
        prices: PriceList,
        redactor: Redactor,
        plan: Callable[[Call], Route],
        layers: Sequence[AttemptLayer],
        fault: Callable[[Exception, str | None], GatewayError],
    ) -> None:
        self._settings = settings
        self._prices = prices
        self._redactor = redactor
        self._plan = plan
        self._layers = tuple(layers)
        self._fault = fault
        self._budget = RetryBudget()

    def drive(self, run: Run) -> Generator[Batch | Repetition, None, None]:
        """Feed ``run`` from the first target that answers; raises the first error when none does."""
        call = run.call
        first: GatewayError | None = None
        refused: GatewayError | None = None  # by a layer: told where nothing else went wrong
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
                if not goes_on(call, error):
                    break
            else:
                yield Batch([], last=True, answer=answer)
                return
        raise call.abort.reason or call.progress.refusal or first or refused or no_target(call)

    def _steps(self, call: Call) -> Iterator[Planned | GatewayError]:
        """Yield the planned targets, each once more where the last error of it allows a retry."""
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
        """Return what records one attempt within its layers, which hear of its end when it is left."""
        call = run.call
        call.abort.check()
        attempt = Attempt(call, planned.target, refused=True)  # until its layers let it through
        call.attempts.append(attempt)
        call.progress.last_error = None
        self._prices.expect(attempt.target)
        return AttemptScope(attempt, self._layers, self._redactor)

    def _go_out(self, run: Run, attempt: Attempt) -> None:
        """Tell that ``attempt`` goes out. What forbids it ends the call, and the attempt is none."""
        try:
            run.go_out(attempt)
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
                self._go_out(run, attempt)
            self._note_request(run, sent)
            with OpenRequest(self._settings, attempt, exchange, sent, stream=False) as upstream:
                received = Received(upstream.status, upstream.headers, upstream.read())
            attempt.maybe_charged = True  # whatever becomes of the answer
            return received

        try:
            answer = exchange.fetch(fetch)
        except SHAPE_FAULTS as error:
            if received is None:
                raise
            raise self._unreadable(error, call) from error
        self._note_target(run, attempt, exchange, started)
        attempt.complete = True
        size, raw = len(received.body) if received is not None else 0, answer.raw
        answer.raw = aside(size, lambda: self._redactor.value(raw)) if call.keep_raw else None
        answer.cost = self._charge(attempt, answer.usage, answer.response)
        return answer

    def _stream(
        self, run: Run, attempt: Attempt, exchange: Exchange, sent: Sent
    ) -> Generator[Batch | Repetition, None, None]:
        """Yield the batches of one attempt, up to the end that its stream tells."""
        started = time.monotonic()
        self._note_target(run, attempt, exchange, None)
        self._note_request(run, sent)
        self._go_out(run, attempt)
        reading = _Reading(run, exchange)
        with OpenRequest(self._settings, attempt, exchange, sent, stream=True) as upstream:
            translator = reading.open(upstream)
            run.outcome.media_type = reading.media_type
            run.failing = partial(self._fail, reading, attempt)
            try:
                for frames in self._read(upstream, sent.wire or exchange.wire, reading):
                    if isinstance(frames, Repetition):
                        yield frames
                        continue
                    if translator.ended or not run.content:
                        self._note_target(run, attempt, exchange, started)
                    if translator.ended:
                        attempt.complete = True
                        attempt.close()  # its end is written before that of its response
                        yield Batch(frames, True, True, self._answer(reading, attempt))
                        return
                    yield Batch(frames, False, translator.content)
            finally:
                if attempt.usage is None:
                    self._charge(attempt, reading.usage())

    def _note_target(self, run: Run, attempt: Attempt, exchange: Exchange, started: float | None) -> None:
        """Note who answers, what was lost on the way there, and how long it took so far."""
        outcome = run.outcome
        outcome.target = attempt.target
        outcome.passed = exchange.passed
        if started is not None:
            outcome.losses = [*run.call.left_out, *exchange.losses.items]
            outcome.upstream_ms = round((time.monotonic() - started) * 1000)

    def _note_request(self, run: Run, sent: Sent) -> None:
        if run.call.keep_raw:
            run.outcome.raw_request = self._redactor.value(json_of(sent))

    def _charge(
        self, attempt: Attempt, usage: Usage | None, response: Response | None = None
    ) -> Mapping[str, Any] | None:
        """Note what ``attempt`` used up; return its cost, None where no price is known."""
        if usage is not None and attempt.usage is not usage:
            attempt.usage = usage
            tier = response.service_tier if response is not None else None
            attempt.cost = self._prices.cost(attempt.target, usage, tier)
        return attempt.cost

    def _fail(self, reading: _Reading, attempt: Attempt, error: GatewayError) -> Batch:
        """Return the frames that end a stream in ``error``, with what it told before."""
        frames = reading.translator.fail(error)
        return Batch(frames, True, True, self._answer(reading, attempt))

    def _answer(self, reading: _Reading, attempt: Attempt) -> Answer:
        """Return what the stream told so far, beyond its frames."""
        answer = reading.answer()
        if answer.raw is not None:  # whole, so that a character or a secret cut by a read stays one
            answer.raw = aside(len(answer.raw), partial(self._redactor.text, answer.raw))
        answer.cost = self._charge(attempt, answer.usage, answer.response)
        return answer

    def _read(self, upstream: Upstream, wire: Wire, reading: _Reading) -> Iterator[list[Frame] | Repetition]:
        """Yield the frames of each upstream read; raises where the stream failed."""
        content_type = upstream.headers.get("content-type", "")
        if content_type.startswith(_HTML):
            raise GatewayError("upstream_invalid", "The provider answered with an HTML page.")
        translator, run = reading.translator, reading.run
        lead = b""
        if content_type.startswith(_JSON) and wire.framing != "eventstream" or not wire.streams:
            lead = yield from _first_bytes(upstream, run)
            if not (wire.streams and wire.framing == "sse" and is_event_stream(lead)):
                yield reading.checked(self._read_whole(reading, lead + upstream.read()))
                return
        frames = frame_reader(wire.framing, content_type)
        repetitions = RepetitionReader(frames, translator)
        while not translator.ended:
            chunk, lead = lead or upstream.read_within(run.patience), b""
            if chunk is None:
                yield []
                continue
            if reading.raw is not None:
                reading.raw += chunk
            told: list[Frame] | Repetition | None = repetitions.read(chunk)
            if told is not None:
                upstream.progress()
                yield told
                continue
            told = self._translate(upstream, frames, reading, chunk)
            repetitions.follow(chunk, told)
            yield told if translator.failure is None else reading.checked(told)

    def _read_whole(self, reading: _Reading, body: bytes) -> list[Frame]:
        try:
            return aside(len(body), lambda: reading.translator.whole(body))
        except SHAPE_FAULTS as error:
            raise self._unreadable(error, reading.run.call) from error

    def _translate(
        self, upstream: Upstream, reader: FrameReader, reading: _Reading, chunk: bytes
    ) -> list[Frame]:
        """Return what one read brings, up to its end or fault; ``b""`` is the end of the body."""
        translator = reading.translator
        frames: list[Frame] = []
        try:
            for event, data in reader.feed(chunk):
                if data is None:
                    frames += translator.done()
                elif reader.size < LARGE:
                    frames += translator.feed(event, data)
                else:
                    frames += aside(reader.size, partial(translator.feed, event, data))
                upstream.progress()
                if translator.ended or translator.failure is not None:
                    return frames  # what comes after the end is dropped
            if not chunk:
                frames += translator.eof()
                if translator.failure is None and not translator.ended:
                    translator.failure = GatewayError(
                        "upstream_cut", "The provider's stream ended before it was complete."
                    )
        except GatewayError as error:
            translator.failure = error
        except SHAPE_FAULTS as error:
            translator.failure = self._unreadable(error, reading.run.call)
        return frames

    def _unreadable(self, error: Exception, call: Call) -> GatewayError:
        """Log why an answer could not be read; return the error of a provider that sent such."""
        self._fault(error, call.id)
        return GatewayError("upstream_invalid", "The provider's answer has a shape that cannot be read.")


def more_retryable(one: GatewayError | None, other: GatewayError) -> GatewayError:
    """Return the refusal to tell of two: the one that passes by itself, else the first."""
    return other if one is None or (one.retry_after is None and other.retry_after is not None) else one


def _first_bytes(upstream: Upstream, run: Run) -> Generator[list[Frame], None, bytes]:
    """Return how a body begins, without white space; yields while nothing comes."""
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


class _Reading:
    """One upstream stream while it is read: its translator, and its raw bytes where they are kept."""

    translator: Translator

    def __init__(self, run: Run, exchange: Exchange) -> None:
        self.run = run
        self.raw: bytearray | None = bytearray() if run.call.keep_raw else None
        self._exchange = exchange

    def open(self, upstream: Upstream) -> Translator:
        """Return the translator of an answer whose headers came."""
        self.translator = self._exchange.translator(upstream.headers)
        return self.translator

    @property
    def media_type(self) -> str | None:
        """Return the type of a body that is no stream of events."""
        return getattr(self.translator, "media_type", None)

    def checked(self, frames: list[Frame]) -> list[Frame]:
        """Return ``frames``; raises the translator's failure, after what was good went out."""
        translator = self.translator
        if translator.failure is None:
            return frames
        if translator.content and frames:
            self.run.leave_tail(frames)
        raise translator.failure

    def usage(self) -> Usage | None:
        """Return what a stream that broke off used up, guessed where nobody said."""
        translator = self.translator
        if translator.usage is not None or not translator.content:
            return translator.usage
        response = translator.response()
        return None if response is None else self._exchange.estimate(response)

    def answer(self) -> Answer:
        """Return what the stream told so far; ``raw`` is its text, where that is kept."""
        translator = self.translator
        return Answer(
            None,
            self.media_type,
            response=translator.response(),
            usage=translator.usage,
            finish=translator.finish,
            raw=None if self.raw is None else self.raw.decode("utf-8", "replace"),
        )
