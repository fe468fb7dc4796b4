"""Work on large bodies, done beside the loop: on a native thread, so that other calls go on meanwhile.

Dialects are pure and know no loop to yield to. A thread shares the processor with the loop every few
milliseconds; a body that is small is not worth the hand-over. Tests: tests/gateway/test_offload.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

import gevent

LARGE: Final = 256 * 1024
"""From this many bytes on, a body is processed beside the loop."""

ITEM: Final = 256
"""Bytes that a block or an item counts as, where only their number is known."""

_PLACE: Final = threading.local()

T = TypeVar("T")


def aside(size: int, work: Callable[[], T]) -> T:
    """Return what ``work`` returns, or raise what it raises; ``size`` is that of its input, in bytes.

    Work that runs beside the loop already stays on its thread."""
    if size < LARGE or hasattr(_PLACE, "is_beside"):
        return work()
    result: T | _Failure = gevent.get_hub().threadpool.apply(_attempt, (work,))
    if isinstance(result, _Failure):
        raise result.error
    return result


class _Failure(NamedTuple):
    error: Exception


def _attempt(work: Callable[[], T]) -> T | _Failure:
    """Do ``work``; return the error that it raises, which the pool would print with all arguments."""
    _PLACE.is_beside = True
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - raised again by the caller
        return _Failure(error)
