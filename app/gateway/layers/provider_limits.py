"""Limits of providers and of their keys around each attempt: a target that is at one is passed over.

If no target is left, the refusal tells when the first will be free. Tests: tests/governance.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import GatewayError
from app.gateway.attempt_scope import AttemptLayer
from app.gateway.call import Attempt, Call
from app.gateway.estimates import tokens_of_body
from app.gateway.layers.base import Services
from app.gateway.limits.charges import Touch, tokens_of, touches_of_target
from app.gateway.limits.headers import refusal


def make(services: Services) -> AttemptLayer | None:
    """Return the layer; None where no provider has a limit."""
    providers = services.settings.providers.values()
    if not any(one.limits or any(key.limits for key in one.keys) for one in providers):
        return None

    @contextmanager
    def layer(attempt: Attempt) -> Iterator[None]:
        touches = touches_of_target(attempt.target)
        if not touches:
            yield
            return
        estimate = tokens_of_body(attempt.call.full_body)
        hold = services.limits.admit(touches, estimate)
        if hold.refused is not None:
            raise passed_over(attempt.call, refusal(hold))
        try:
            yield
        finally:
            services.limits.end(hold, [_usage(touch, attempt, estimate) for touch in hold.touches])

    return layer


def _usage(touch: Touch, attempt: Attempt, estimate: int) -> int:
    if touch.limit.kind == "tokens":
        return tokens_of(attempt, estimate)
    return 0 if attempt.refused else 1


def passed_over(call: Call, error: GatewayError) -> GatewayError:
    """Return the refusal of a target: one error for all of a call, which tells the shortest wait."""
    first = call.progress.passed_over
    if first is None:
        call.progress.passed_over = error
        return error
    if (error.retry_after or 0) < (first.retry_after or 0):
        first.retry_after, first.message = error.retry_after, error.message
    return first
