"""Rows of attempts that no budget was charged for: they are written in batches.

Tests: tests/governance/test_budgets.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from app.errors import GatewayError
from app.gateway.budgets.spool import Spool
from app.gateway.metric_series import Counter
from app.gateway.row_queue import RowQueue
from app.state.ledger_rows import Entry

if TYPE_CHECKING:
    from app.state.state import State


_LOG: Final = logging.getLogger(__name__)


class EntryWriter:
    """Takes rows, and writes them soon. ``state`` opens the store; what it cannot take goes to the ``spool``. ``charge``
    gets the rows that were written."""

    def __init__(
        self,
        state: Callable[[], State],
        spool: Spool | None = None,
        metrics: Counter | None = None,
        charge: Callable[[Sequence[Entry]], None] = lambda rows: None,
    ) -> None:
        self._state = state
        self._spool = spool
        self._metrics = metrics
        self._charge = charge
        self._queue = RowQueue(self._write)
        self.flush = self._queue.flush

    def add(self, entry: Entry) -> None:
        """Queue a row."""
        if not self._queue.add(entry):
            self.drop(1)

    def close(self) -> None:
        """Write what is queued; where the database is away, keep or count it at once."""
        self._keep(self._queue.close())

    def _write(self, rows: list[Entry]) -> bool:
        try:
            self._state().ledger.write(rows)
            self._charge(rows)
        except GatewayError as error:
            _LOG.warning("the ledger cannot be written: %s", error.raw or error.message)
            self._keep(rows)
            return False
        except Exception:  # noqa: BLE001 - whatever is wrong with one row, the others are written
            if len(rows) > 1:
                written = [self._write([one]) for one in rows]
                return all(written)
            _LOG.exception("a row of the ledger cannot be written")
            self.drop(1)
            return False
        return True

    def _keep(self, rows: list[Entry]) -> None:
        """Have rows wait on disk, or count them as lost."""
        count = 0 if self._spool is None or not rows else self._spool.keep(rows)
        self.drop(len(rows) - count)

    def drop(self, count: int) -> None:
        """Count rows that are lost."""
        if not count:
            return
        _LOG.warning("%d rows of the ledger were dropped", count)
        if self._metrics is not None:
            self._metrics.count("sluice_ledger_lost_rows", by=count)
