"""The slots of one process for lines of batches: so many at once, given to tenants in turn.

Tests: tests/lifecycle/test_batches.py.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from gevent.event import Event

_POLL_SECONDS: Final = 1.0
"""Seconds between two looks of a waiting line whether it must stop."""


class BatchSlots:
    """So many slots; one that comes free goes to the waiting tenant that holds fewest."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[Event]] = {}

    def take(self, tenant: str, stopped: Callable[[], bool]) -> bool:
        """Wait for a slot; return False, without one, once ``stopped`` says so."""
        if self._free > 0:
            self._free -= 1
            self._held[tenant] += 1
            return True
        turn = Event()
        self._waiting.setdefault(tenant, deque()).append(turn)
        while not turn.wait(_POLL_SECONDS):
            if stopped():
                self._forget(tenant, turn)
                return False
        return True

    def give(self, tenant: str) -> None:
        """Give a place back."""
        self._held[tenant] -= 1
        if self._held[tenant] == 0:
            del self._held[tenant]
        following = min(self._waiting, key=lambda name: self._held[name], default=None)
        if following is None:
            self._free += 1
            return
        turn = self._waiting[following][0]
        self._forget(following, turn)
        self._held[following] += 1
        turn.set()

    def _forget(self, tenant: str, turn: Event) -> None:
        waiting = self._waiting[tenant]
        waiting.remove(turn)
        if not waiting:
            del self._waiting[tenant]
