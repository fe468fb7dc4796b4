"""The slots of one process for lines of batches, shared fairly among tenants.

Tests: tests/lifecycle/test_batches.py.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from gevent.event import Event

_POLL_SECONDS: Final = 1.0
"""How often a waiting line checks whether it must stop."""


class BatchSlots:
    """A number of slots; a free one goes to the waiting tenant that holds the fewest."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._counts: Counter[str] = Counter()
        self._queues: dict[str, deque[Event]] = {}

    def take(self, tenant: str, stopped: Callable[[], bool]) -> bool:
        """Wait for a slot; return False without one once ``stopped`` returns True."""
        if self._free > 0:
            self._free -= 1
            self._counts[tenant] += 1
            return True
        turn = Event()
        self._queues.setdefault(tenant, deque()).append(turn)
        while not turn.wait(_POLL_SECONDS):
            if stopped():
                self._leave_queue(tenant, turn)
                return False
        return True

    def release(self, tenant: str) -> None:
        """Free a slot of ``tenant``."""
        self._counts[tenant] -= 1
        if self._counts[tenant] == 0:
            del self._counts[tenant]
        next_tenant = min(self._queues, key=lambda name: self._counts[name], default=None)
        if next_tenant is None:
            self._free += 1
            return
        turn = self._queues[next_tenant][0]
        self._leave_queue(next_tenant, turn)
        self._counts[next_tenant] += 1
        turn.set()

    def _leave_queue(self, tenant: str, turn: Event) -> None:
        queue = self._queues[tenant]
        queue.remove(turn)
        if not queue:
            del self._queues[tenant]
