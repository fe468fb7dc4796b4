"""Dispatch: targets in order, one retry each, until one answers.

This module holds the retry and fallback policy (contract/reliability.md: one layer retries;
before content everything is free) and the opening of one upstream call under the clocks.
``Attempts`` serves whole answers and streams alike.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import gevent

from app.config import Settings
from app.errors import GatewayError
from app.gateway.breaker import Breaker
from app.gateway.call import Attempt, Call, Outcome, Target
from app.gateway.cost import PriceList, put_cost
from app.gateway.exchange import Exchange, Received, Sent
from app.gateway.layers.log import fault_of
from app.gateway.redaction import Redactor
from app.gateway.router import Router
from app.wire.clocks import Clocks
from app.wire.json import loads_lenient
from app.wire.upstream import Upstream

MakeExchange = Callable[[Call, Target], Exchange]

SHAPE_FAULTS: Final = (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError)
"""What reading an answer of an unforeseen shape may raise."""

_DEFAULT_FIRST_BYTE: Final = 120.0
_ERROR_LIMIT: Final = 1024 * 1024
_WAITABLE: Final = 2  # seconds of Retry-After worth waiting for on the same target


class RetryBudget:
    """At most one retry in ten calls, with a floor of ten a second, per worker."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self._tokens = 10.0
        self._last = monotonic()

    def call(self) -> None:
        """Note a call: each earns a tenth of a retry."""
        self._tokens = min(100.0, self._tokens + 0.1)

    def take(self) -> bool:
        """Spend one retry if there is one."""
        now = self._now()
        self._tokens = min(100.0, self._tokens + (now - self._last) * 10.0)
        self._last = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Dispatcher:
    """Opens attempts for calls; one for the process."""

    def __init__(self, settings: Settings, router: Router, prices: PriceList) -> None:
        self.settings = settings
        self.router = router
        self.budget = RetryBudget()
        self.redactor = Redactor(settings)
        self._prices = prices
        self._breaker = Breaker() if settings.breaker else None

    def price(self, outcome: Outcome) -> dict[str, Any] | None:
        """Return what the answer cost, None where no price is known."""
        if outcome.target is None or outcome.usage is None:
            return None
        return self._prices.cost(outcome.target, outcome.usage)

    def fault(self, error: Exception, request_id: str | None) -> GatewayError:
        """Log a fault of ours; return the error that stands for it."""
        return fault_of(error, request_id, self.redactor.text)

    def unreadable(self, error: Exception, call: Call) -> GatewayError:
        """Log why an answer could not be read; return the error of a provider that sent such."""
        self.fault(error, call.id)
        return GatewayError("upstream_invalid", "The provider's answer has a shape that cannot be read.")

    def answer(self, call: Call, make: MakeExchange) -> Outcome:
        """Return the whole answer of the first target that gives one.

        Raises the first candidate's GatewayError when all fail.
        """
        first: GatewayError | None = None
        outcome = Outcome(call)
        for target in self.tries(call):
            if isinstance(target, GatewayError):
                first = first or target
                continue
            try:
                with self.attempt(call, target) as attempt:
                    self._fetch(call, target, attempt, make(call, target), outcome)
                return outcome
            except GatewayError as error:
                first = first or error
                if not self.goes_on(call, error):
                    break
        failure = self.failure(call, first)
        outcome.end(failure)
        raise failure

    def _fetch(
        self, call: Call, target: Target, attempt: Attempt, exchange: Exchange, outcome: Outcome
    ) -> None:
        started = time.monotonic()
        received: Received | None = None

        def fetch(sent: Sent) -> Received:
            nonlocal received
            if call.keep_raw:
                outcome.raw_request = self.redactor.value(shown_request(sent))
            with self.opened(call, target, exchange, sent, attempt, stream=False) as upstream:
                received = Received(upstream.status, upstream.headers, upstream.read())
            return received

        try:
            answer = exchange.fetch(fetch)
        except SHAPE_FAULTS as error:
            if received is None:
                raise
            raise self.unreadable(error, call) from error
        outcome.target = target
        outcome.body = answer.body
        outcome.media_type = answer.media_type
        outcome.response = answer.response
        outcome.usage = answer.usage
        outcome.finish = answer.finish
        outcome.losses = [*call.left_out, *exchange.losses.items]
        outcome.passed = exchange.passed
        outcome.raw_response = self.redactor.value(answer.raw) if call.keep_raw else None
        outcome.upstream_ms = round((time.monotonic() - started) * 1000)
        outcome.cost = self.price(outcome)
        put_cost(outcome.body, outcome)

    def tries(self, call: Call) -> Iterator[Target | GatewayError]:
        """Yield targets, each once more where the last error of it allows a retry."""
        self.budget.call()
        found = list(self.router.targets(call))
        if self._breaker is not None:
            found = self._breaker.order(found)
        for position, target in enumerate(found, 1):
            yield target
            if isinstance(target, GatewayError):
                continue
            last = not any(isinstance(other, Target) for other in found[position:])
            for _ in range(self.settings.max_retries):
                if not self._retries(call, last):
                    break
                yield target

    def _retries(self, call: Call, last: bool) -> bool:
        """Tell whether the target just tried gets another try, after its wait; one that asked for
        a pause is waited for only if it is the ``last``."""
        error = call.last_error
        if error is None:
            return False
        wait = random.uniform(0.0, 0.25)
        if error.kind.name == "upstream_rate_limited" and error.retry_after is not None:
            if error.retry_after > _WAITABLE or not last:
                return False
            wait = float(error.retry_after)
        elif not error.kind.retryable:
            return False
        if wait >= call.deadline - time.monotonic() or not self.budget.take():
            return False
        gevent.sleep(wait)
        call.abort.check()
        return True

    @staticmethod
    def goes_on(call: Call, error: GatewayError) -> bool:
        """Tell whether the next try may follow ``error``; remembers it for the retry rule."""
        call.last_error = error
        if call.abort.reason is not None:
            return False
        return error.kind.falls_back or error.kind.retryable

    @staticmethod
    def failure(call: Call, first: GatewayError | None) -> GatewayError:
        """Return the error to show when every try failed: the abort's reason, else the first."""
        if call.abort.reason is not None:
            return call.abort.reason
        return first or GatewayError("model_not_found", f"No target for '{call.model}'.", param="model")

    @contextmanager
    def attempt(self, call: Call, target: Target) -> Iterator[Attempt]:
        """Record one try, however it ends."""
        call.abort.check()
        attempt = Attempt(target.provider.name, target.model, target.key.name if target.key else None)
        call.attempts.append(attempt)
        call.last_error = None
        self._prices.expect(target)
        noted = call.on_attempt(attempt, target) if call.on_attempt is not None else None
        try:
            with target.provider.slot():
                yield attempt
        except GatewayError as error:
            self.redactor.error(error)
            attempt.maybe_charged = bool(getattr(error, "maybe_charged", False))
            attempt.close(error)
            if self._breaker is not None:
                self._breaker.failed(target, error)
            raise
        else:
            if self._breaker is not None:
                self._breaker.succeeded(target)
        finally:
            call.abort.watch(None)
            attempt.close()
            if noted is not None:
                noted()

    @contextmanager
    def opened(
        self,
        call: Call,
        target: Target,
        exchange: Exchange,
        sent: Sent,
        attempt: Attempt,
        *,
        stream: bool,
    ) -> Iterator[Upstream]:
        """Open one upstream call and check its status; closes it at the end.

        Raises the exchange's error for a status other than 2xx.
        """
        headers = self._headers(call, target, sent)
        wire = sent.wire or exchange.wire
        stream = stream and wire.streams
        outgoing = target.provider.outgoing(
            wire,
            target.key,
            target.model,
            sent.body,
            stream=stream,
            headers=headers,
        )
        upstream: Upstream = target.provider.transport.open(
            outgoing.method,
            outgoing.url,
            outgoing.headers,
            outgoing.body,
            clocks=self.clocks(call, stream),
            stream=stream,
            on_open=call.abort.watch,
        )
        try:
            attempt.status = upstream.status
            if not 200 <= upstream.status < 300:
                raise exchange.error(upstream.status, _error_body(upstream), _dated(upstream.headers))
            yield upstream
        finally:
            upstream.close()

    @staticmethod
    def _headers(call: Call, target: Target, sent: Sent) -> dict[str, str]:
        """Return the exchange's headers and those of the client that this provider takes."""
        headers = dict(sent.headers)
        for name in target.provider.spec.forwards:
            value = call.client_headers.get(name)
            if value is not None:
                headers[name] = f"{headers[name]},{value}" if name in headers else value
        return headers

    def clocks(self, call: Call, stream: bool) -> Clocks:
        """Return the clocks of one attempt: what the settings say within what is left."""
        times = self.settings.timeouts
        remaining = call.remaining()
        first_byte = times.first_byte
        if first_byte is None:
            first_byte = _DEFAULT_FIRST_BYTE if stream else remaining
        return Clocks(times.connect, first_byte, times.idle, remaining).within(remaining)


def _error_body(upstream: Upstream) -> Any:
    """Return the error body as JSON where it is JSON, else as text."""
    data = upstream.read(_ERROR_LIMIT)
    try:
        return loads_lenient(data)
    except ValueError:
        return data.decode("utf-8", "replace")


def _dated(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers with a date, so that a moment to wait for can be counted from it."""
    if "date" in headers:
        return headers
    now = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    return {**headers, "date": now}


def shown_request(sent: Sent) -> Any:
    """Return the body of a request to a provider as JSON; None where it is none."""
    if not isinstance(sent.body, bytes):
        return None
    try:
        return loads_lenient(sent.body)
    except ValueError:
        return None
