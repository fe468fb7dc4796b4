"""The layers: three tables, outermost first. A new layer is a module and a row.

Tests: tests/test_additions.py adds one of each in a scratch copy.
"""

from __future__ import annotations

from typing import Final

from app.gateway.layers import (
    breakers,
    budgets,
    cache,
    call_log,
    files,
    job_limits,
    limits,
    log,
    metrics,
    provider_limits,
    signatures,
    slots,
    strategies,
    traces,
    turn,
)
from app.gateway.layers.base import MakeAttemptLayer, MakeCallLayer, MakeListener

CALL_LAYERS: Final[tuple[MakeCallLayer, ...]] = (
    limits.make,
    turn.make,
    cache.make,
    files.make,
    signatures.make,
)
"""Around a client's call."""

JOB_LAYERS: Final[tuple[MakeCallLayer, ...]] = (
    turn.make,
    job_limits.make,
    files.make,
    signatures.make,
)
"""Around a background job, which was admitted when it was asked for."""

ATTEMPT_LAYERS: Final[tuple[MakeAttemptLayer, ...]] = (
    provider_limits.make,
    strategies.make,
    slots.make,
    budgets.make,
    breakers.make,
    traces.make,
)
"""Around each attempt, of clients' calls and of jobs."""

LISTENERS: Final[tuple[MakeListener, ...]] = (
    log.make,
    metrics.make,
    call_log.make,
    traces.make_listener,
    strategies.make_listener,
    breakers.make_listener,
)
"""Told of each end, in this order, after everything else."""
