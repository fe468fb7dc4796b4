"""A bounded queue of rows that are written in batches, soon and off every call's path.

All queues of a process write at the same moments, so that SQLite takes the rows of both logs in one transaction.

Tests: tests/governance/test_budgets.py, tests/surfaces/test_calls.py.
"""

from __future__ import annotations

import time
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
_AGAIN: Final = 1.0
_PATIENCE: Final = 60.0  # seconds; a database starts anew in less


class RowQueue(Generic[Row]):
    """Takes rows; ``write`` gets them in batches and returns whether the next batch may be written, too.

    With ``give_up`` a batch that could not be written is tried again, as the same list, for a minute; then ``give_up`` gets it.
    Without it each batch is tried once."""

    def __init__(
        self, write: Callable[[list[Row]], bool], give_up: Callable[[list[Row]], None] | None = None
    ) -> None:
        self._write = write
        self._give_up = give_up
        self._rows: deque[Row] = deque()
        self._failed: list[Row] = []
        self._until = 0.0
        self._bell = Event()
        self._loop = Loop(self._run)

    def add(self, row: Row) -> bool:
        """Queue a row; return false when the queue is full."""
        if len(self._rows) + len(self._failed) >= _CAPACITY:
            return False
        self._rows.append(row)
        if not self._bell.is_set():
            self._bell.set()
            self._loop.start()
        return True

    def flush(self) -> None:
        """Write what is queued now, after what is being written."""
        with self._loop.turn:
            count = bool(self._failed) + -(-len(self._rows) // _BATCH)  # what comes meanwhile gathers
            for _ in range(count):
                self._write_batch()
                if self._failed:
                    self._bell.set()
                    return

    def close(self) -> list[Row]:
        """Stop, and write what is still queued; return the rows after a batch that could not be written."""
        self._loop.stop()
        self._bell.clear()
        while (self._failed or self._rows) and self._write_batch():
            pass
        return [*self._failed, *self._take(_CAPACITY)]

    def _write_batch(self) -> bool:
        """Write the batch that could not be written, else the next; return whether it was written."""
        rows = self._failed or self._take(_BATCH)
        if not self._failed:
            self._until = time.monotonic() + _PATIENCE
        self._failed = []
        if self._write(rows):
            return True
        if self._give_up is not None and time.monotonic() < self._until:
            self._failed = rows
        elif self._give_up is not None:
            self._give_up(rows)
        return False

    def _take(self, most: int) -> list[Row]:
        return [self._rows.popleft() for _ in range(min(most, len(self._rows)))]

    def _run(self) -> None:
        while True:
            self._bell.wait()
            # rows that come soon after go in the same batch
            gevent.sleep(until_beat(_AGAIN if self._failed else _GATHER))
            self._bell.clear()
            self.flush()
