"""What strategies measure: open attempts, and the time to first content of each answer.

Tests: tests/governance/test_strategies.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from app.gateway.attempt_scope import AttemptLayer
from app.gateway.call import Attempt
from app.gateway.layers.base import Listener, Services
from app.gateway.outcome import Outcome


def make(services: Services) -> AttemptLayer | None:
    """Return the layer that counts attempts; None where no name has such a strategy."""
    strategies = services.strategies
    if strategies is None:
        return None

    @contextmanager
    def layer(attempt: Attempt) -> Iterator[None]:
        place = attempt.provider, attempt.model
        strategies.record_start(place)
        try:
            yield
        finally:
            strategies.record_end(place)

    return layer


def make_listener(services: Services) -> Listener | None:
    """Return the listener to first contents; None if no name has such a strategy."""
    strategies = services.strategies
    if strategies is None:
        return None

    def listen(outcome: Outcome) -> None:
        if not outcome.call.attempts:
            return
        attempt = outcome.call.attempts[-1]
        if outcome.first_content is not None:
            waited = max(0.0, outcome.first_content - attempt.started)
        elif outcome.error is None and attempt.latency is not None:
            waited = attempt.latency / 1000  # a whole answer comes with its first content
        else:
            return
        strategies.record_latency((attempt.provider, attempt.model), waited)

    return listen
