"""A bounded queue of rows that are written in batches, soon and off every call's path.

All queues of a process write at the same moments, so that SQLite takes the rows of both logs in one transaction.

Tests: tests/governance/test_budgets.py, tests/surfaces/test_calls.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import gevent
from gevent.event import Event

from app.state.loops import Loop
from app.wire.beats import until_beat

Row = TypeVar("Row")

_CAPACITY: Final = 10_000
_BATCH: Final = 1_000
_GATHER: Final = 0.2


class RowQueue(Generic[Row]):
    """Takes rows; ``write`` gets them in batches and returns whether the next batch may be written, too."""

    def __init__(self, write: Callable[[list[Row]], bool]) -> None:
        self._write = write
        self._rows: deque[Row] = deque()
        self._bell = Event()
        self._loop = Loop(self._run)

    def add(self, row: Row) -> bool:
        """Queue a row; return false when the queue is full."""
        if len(self._rows) >= _CAPACITY:
            return False
        self._rows.append(row)
        if not self._bell.is_set():
            self._bell.set()
            self._loop.start()
        return True

    def flush(self) -> None:
        """Write what is queued now, after what is being written."""
        with self._loop.turn:
            for _ in range(0, len(self._rows), _BATCH):  # what comes meanwhile gathers
                self._write(self._take(_BATCH))

    def close(self) -> list[Row]:
        """Stop, and write what is still queued; return the rows after a batch that could not be written."""
        self._loop.stop()
        self._bell.clear()
        while self._rows and self._write(self._take(_BATCH)):
            pass
        return self._take(_CAPACITY)

    def _take(self, most: int) -> list[Row]:
        return [self._rows.popleft() for _ in range(min(most, len(self._rows)))]

    def _run(self) -> None:
        while True:
            self._bell.wait()
            gevent.sleep(until_beat(_GATHER))  # rows that come soon after go in the same batch
            self._bell.clear()
            self.flush()
