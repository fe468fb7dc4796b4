"""The turn: a Responses call has its history before its input, and is kept, as its host says.

Tests: tests/lifecycle.
"""

from __future__ import annotations

from app.gateway.layers.base import CallLayer, Services


def make(services: Services) -> CallLayer:
    """Return the layer."""
    return lambda call, proceed: (
        proceed(call) if call.host is None else call.host.run(services, call, proceed)
    )
