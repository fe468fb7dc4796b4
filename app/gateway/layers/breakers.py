"""Reports each attempt to the circuit breaker and to the pools of keys, if there are any.

Tests: tests/gateway/test_breaker.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.errors import GatewayError
from app.gateway.attempt_scope import AttemptLayer
from app.gateway.breaker import Breaker
from app.gateway.call import Attempt
from app.gateway.key_cooldowns import KeyCooldowns
from app.gateway.layers.base import Listener, Services


def make(services: Services) -> AttemptLayer | None:
    """Return the layer; None without a breaker and without a provider of several keys."""
    listeners = [one for one in (services.breaker, services.key_cooldowns) if one is not None]
    if not listeners:
        return None

    return lambda attempt: _AttemptRecorder(listeners, attempt)


class _AttemptRecorder:
    """Tells how an attempt ended, but not of one that was left for another reason."""

    __slots__ = ("_attempt", "_listeners")

    def __init__(self, listeners: Sequence[Breaker | KeyCooldowns], attempt: Attempt) -> None:
        self._listeners = listeners
        self._attempt = attempt

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        attempt = self._attempt
        for listener in self._listeners:
            if error is None:
                listener.record_success(attempt.target, attempt.started)
            elif isinstance(error, GatewayError):
                listener.record_failure(attempt.target, error)


def make_listener(services: Services) -> Listener | None:
    """Return the listener to ends of calls: a call that the cache answered, or that was refused, tried no target."""
    breaker = services.breaker
    if breaker is None:
        return None

    return lambda outcome: breaker.release(id(outcome.call.progress))
