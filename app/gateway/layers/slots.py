"""Slots: how many calls this worker may have open at one provider.

Tests: tests/behaviour/test_crowds.py.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from app.gateway.attempt_scope import AttemptLayer
from app.gateway.call import Attempt
from app.gateway.layers.base import Services


def make(services: Services) -> AttemptLayer:
    """Return the layer."""
    return _slot


def _slot(attempt: Attempt) -> AbstractContextManager[None]:
    """Hold one of the provider's slots; refuses with ``overloaded`` when all are taken."""
    return attempt.target.provider.slots
