"""Turns: a greenlet that reads from a fast peer lets the others of this process run.

A read that finds bytes does not wait, so a loop over such reads never gives the hub back by itself: a
flood of tiny chunks, comments or pings would hold the worker, its clocks included. Tests:
tests/behaviour/test_floods.py.
"""

from __future__ import annotations

import time
from typing import Final

import gevent

_SLICE: Final = 0.01  # seconds
_YIELD: Final = (
    1e-6  # seconds; with none at all gevent may go on fifty times before it looks at sockets and clocks
)


class Turns:
    """The turns of one reader."""

    __slots__ = ("_loop", "_iteration", "_until")

    def __init__(self) -> None:
        self._loop = gevent.get_hub().loop
        self._iteration = -1
        self._until = 0.0

    def take(self) -> None:
        """Let the others run, if they have had no turn for a while."""
        now = time.monotonic()
        if self._loop.iteration == self._iteration:
            if now < self._until:
                return
            gevent.sleep(_YIELD)
            now = time.monotonic()
        self._iteration = self._loop.iteration
        self._until = now + _SLICE
