"""The turn: a Responses call has its history before its input, and is kept, as its host says.

Tests: tests/lifecycle.
"""

from __future__ import annotations

from app.gateway.call import Call
from app.gateway.layers.base import CallLayer, Proceed, Services
from app.gateway.run import Run


def make(services: Services) -> CallLayer:
    """Return the layer."""

    def layer(call: Call, proceed: Proceed) -> Run:
        return proceed(call) if call.host is None else call.host.run(services, call, proceed)

    return layer
