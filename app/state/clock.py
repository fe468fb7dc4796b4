"""Whether the clock of this machine was set forward, or stood still with the machine, a moment ago.

Leases then seem to be over although their processes live: a clock that nobody sets tells the difference. Before it
treats work as lost, a process waits until all others have had time to renew their leases. Tests:
tests/state/test_clock.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_JUMP: Final = 2.0  # seconds; a clock that is slewed gains less between two looks
_REST: Final = 12.0  # longer than any process waits to renew its leases


class Clock:
    """Compares two clocks at each look: ``wall``, which may be set, and ``steady``; both give seconds."""

    def __init__(
        self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._ahead = wall() - steady()
        self._settled_at = 0.0

    def is_settled(self) -> bool:
        """Tell whether leases that seem to be over are over."""
        now = self._steady()
        ahead = self._wall() - now
        if ahead - self._ahead > _JUMP:
            self._settled_at = now + _REST
        self._ahead = ahead
        return now >= self._settled_at
