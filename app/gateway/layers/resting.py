"""What the circuit breaker hears of each attempt; where it is configured.

Tests: tests/gateway/test_breaker.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import GatewayError
from app.gateway.call import Attempt
from app.gateway.driver import AttemptLayer
from app.gateway.layers.base import House


def make(house: House) -> AttemptLayer | None:
    """Return the layer; None without a breaker."""
    breaker = house.breaker
    if breaker is None:
        return None

    @contextmanager
    def layer(attempt: Attempt) -> Iterator[None]:
        try:
            yield
        except GatewayError as error:
            breaker.failed(attempt.target, error)
            raise
        breaker.succeeded(attempt.target)

    return layer
