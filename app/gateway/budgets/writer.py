"""Rows of attempts that no budget was charged for: they wait in a bounded queue and are written in batches.

Tests: tests/governance/test_budgets.py.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

import gevent
from gevent.event import Event

from app.errors import GatewayError
from app.gateway.budgets.spool import Spool
from app.state.ledger_rows import Entry
from app.state.loops import Loop

if TYPE_CHECKING:
    from app.state.state import State


_LOG: Final = logging.getLogger(__name__)
_MOST_WAITING: Final = 10_000
_BATCH: Final = 200
_GATHER: Final = 0.2


class Counted(Protocol):
    """Counts lost rows and alerts."""

    def note_lost_entries(self, count: int) -> None: ...

    def note_alert(self, level: str, threshold: int) -> None: ...


class EntryWriter:
    """Takes rows, and writes them soon. ``state`` opens the store; what it cannot take goes to the ``spool``."""

    def __init__(
        self, state: Callable[[], State], spool: Spool | None = None, metrics: Counted | None = None
    ) -> None:
        self._state = state
        self._spool = spool
        self._metrics = metrics
        self._waiting: deque[Entry] = deque()
        self._bell = Event()
        self._loop = Loop(self._run)

    def add(self, entry: Entry) -> None:
        """Queue a row."""
        if len(self._waiting) >= _MOST_WAITING:
            self.drop(1)
            return
        self._waiting.append(entry)
        self._bell.set()
        self._loop.start()

    def close(self) -> None:
        """Write what still waits; where the database is away, keep or count it at once."""
        self._loop.stop()
        while self._waiting:
            if not self._write():
                self._keep(list(self._waiting))
                self._waiting.clear()

    def _run(self) -> None:
        while True:
            self._bell.wait()
            self._bell.clear()
            gevent.sleep(_GATHER)  # attempts that end soon after come in the same batch
            for _ in range(0, len(self._waiting), _BATCH):  # those that end meanwhile gather, too
                self._write()

    def _write(self) -> bool:
        rows = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        try:
            self._state().ledger.write(rows)
        except GatewayError as error:
            _LOG.warning("the ledger cannot be written: %s", error.raw or error.message)
            self._keep(rows)
            return False
        return True

    def _keep(self, rows: list[Entry]) -> None:
        """Have rows wait on disk, or count them as lost."""
        count = 0 if self._spool is None else self._spool.keep(rows)
        self.drop(len(rows) - count)

    def drop(self, count: int) -> None:
        """Count rows that are lost."""
        if not count:
            return
        _LOG.warning("%d rows of the ledger were dropped", count)
        if self._metrics is not None:
            self._metrics.note_lost_entries(count)
