"""Slots: how many calls this worker may have open at one provider.

Tests: tests/behaviour/test_crowds.py.
"""

from __future__ import annotations

from operator import attrgetter

from app.gateway.attempt_scope import AttemptLayer
from app.gateway.layers.base import Services


def make(services: Services) -> AttemptLayer:
    """Return the layer: an attempt holds one of the provider's slots, and is ``overloaded`` when all are taken."""
    return attrgetter("target.provider.slots")
