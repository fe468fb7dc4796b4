"""The pure work on a call, beside the loop where its body or history is large. Tests: tests/gateway/test_offload.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from app.gateway.call import Call
from app.wire.offload import LARGE, aside

_MANY: Final = 1_000  # items of a history

T = TypeVar("T")


def aside_for(call: Call, work: Callable[[], T]) -> T:
    """Do ``work`` on the whole body of ``call``, its history included."""
    size = call.size
    for value in call.full_body.values():
        if isinstance(value, list) and len(value) > _MANY:
            size = max(size, LARGE)
    return aside(size, work)
