"""Targets whose context window is too small for a request: passed over while another is left.

Windows are the price catalogue's; what it does not tell is never too small. The estimate is that of budgets. A target
that is asked all the same answers for itself (``context_length_exceeded``).

Tests: tests/governance/test_stickiness.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.gateway.estimates import tokens_of_body

Window = Callable[[Target], int | None]
_BYTES = 4  # of a token at least


def order(
    targets: Sequence[Target | GatewayError], call: Call, window: Window
) -> list[Target | GatewayError]:
    """Return the targets, those that are too small behind all others, order kept otherwise."""
    known = [window(target) if isinstance(target, Target) else None for target in targets]
    least = min((size for size in known if size is not None), default=None)
    if least is None or (call.upstream_body is None and 0 < call.size <= least * _BYTES):
        return list(targets)
    needed = tokens_of_body(call.full_body)
    places = sorted(range(len(targets)), key=lambda place: _is_small(known[place], needed))
    return [targets[place] for place in places]


def describe_shortage(target: Target, call: Call, window: Window) -> str:
    """Return what a target lacks, in words, "" for nothing."""
    size = window(target)
    if not _is_small(size, tokens_of_body(call.full_body)):
        return ""
    return f"; its context window of {size} tokens is smaller than the estimate"


def _is_small(size: int | None, needed: int) -> bool:
    return size is not None and size < needed
