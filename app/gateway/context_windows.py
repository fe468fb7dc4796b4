"""Targets whose context window is too small for a request are tried last.

Windows come from the price catalogue; an unknown one is never too small. The estimate of the request is that of
budgets. A target that is tried anyway gives its own answer (``context_length_exceeded``).

Tests: tests/governance/test_stickiness.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.gateway.estimates import tokens_of_body

Window = Callable[[Target], int | None]
_BYTES = 4  # a token has at least


def order(
    targets: Sequence[Target | GatewayError], call: Call, window: Window
) -> list[Target | GatewayError]:
    """Return the targets, those that are too small behind all others; the order is kept otherwise."""
    windows = [window(target) if isinstance(target, Target) else None for target in targets]
    least = min((size for size in windows if size is not None), default=None)
    if least is None or (call.upstream_body is None and 0 < call.size <= least * _BYTES):
        return list(targets)
    needed = tokens_of_body(call.full_body)
    order = sorted(range(len(targets)), key=lambda index: _is_small(windows[index], needed))
    return [targets[index] for index in order]


def describe_shortage(target: Target, call: Call, window: Window) -> str:
    """Return in words that a target is too small, "" where it is not."""
    size = window(target)
    if not _is_small(size, tokens_of_body(call.full_body)):
        return ""
    return f"; its context window of {size} tokens is smaller than the estimate"


def _is_small(size: int | None, needed: int) -> bool:
    return size is not None and size < needed
