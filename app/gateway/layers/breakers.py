"""What the circuit breaker and the pools of keys hear of each attempt; where there are any.

Tests: tests/gateway/test_breaker.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import GatewayError
from app.gateway.call import Attempt
from app.gateway.driver import AttemptLayer
from app.gateway.layers.base import House, Listener
from app.gateway.outcome import Outcome


def make(house: House) -> AttemptLayer | None:
    """Return the layer; None without a breaker and without a provider of several keys."""
    listeners = [one for one in (house.breaker, house.key_cooldowns) if one is not None]
    if not listeners:
        return None

    @contextmanager
    def layer(attempt: Attempt) -> Iterator[None]:
        try:
            yield
        except GatewayError as error:
            for listener in listeners:
                listener.failed(attempt.target, error)
            raise
        for listener in listeners:
            listener.succeeded(attempt.target, attempt.started)

    return layer


def make_listener(house: House) -> Listener | None:
    """Return what hears that a call is over: one that the cache answered, or that was refused, asked no target."""
    breaker = house.breaker
    if breaker is None:
        return None

    def release(outcome: Outcome) -> None:
        if outcome.began:
            breaker.release(id(outcome.call.progress))

    return release
