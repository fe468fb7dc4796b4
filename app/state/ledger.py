"""The ledger: rows of what attempts cost, for administrators and for those who check it.

Rows that concern budgets are written by ``budgets``; those of other attempts come in batches.

Tests: tests/state/test_budgets.py, tests/surfaces/test_ledger.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement

from app.errors import GatewayError
from app.state import ledgerrows, listing
from app.state.database import Database
from app.state.dialect import insert_new
from app.state.ids import storable
from app.state.ledgerrows import Entry
from app.state.listing import Page
from app.state.tables import ledger

Shown = dict[str, Any]
Span = tuple[float | None, float | None]

FILTERS: Final = ("tenant", "key", "provider", "model", "state", "call_id")


class Ledger:
    """Writes and lists rows. ``clock`` gives Unix seconds."""

    def __init__(self, db: Database, clock: Callable[[], float] = time.time) -> None:
        self._db = db
        self._clock = clock

    def write(self, entries: Sequence[Entry]) -> None:
        """Write rows that no budget is charged for; those that are there already stay as they are."""
        rows = [ledgerrows.columns_of(entry, self._clock()) for entry in entries]
        if rows:
            self._db.write(lambda connection: insert_new(connection, ledger, rows), idempotent=True)

    def get(self, entry_id: str) -> Shown:
        """Return one row; raises ``not_found``."""
        row = None
        if storable(entry_id):
            row = self._db.read(
                lambda connection: connection.execute(ledger.select().where(ledger.c.id == entry_id)).first()
            )
        if row is None:
            raise missing(entry_id)
        return ledgerrows.shown(row)

    def page(self, limit: int, after: str | None, filters: Mapping[str, Any], span: Span) -> Page[Shown]:
        """Return some rows, the newest first, that fit the filters, from and before the moments of ``span``."""
        fitting = [ledger.c[name] == value for name, value in filters.items()]
        fitting += _within(span)
        rows, more = self._db.read(lambda c: listing.read(c, ledger, limit, after, *fitting))
        return Page([ledgerrows.shown(row) for row in rows], more)


def missing(entry_id: str) -> GatewayError:
    """Return the error for a row that does not exist."""
    return GatewayError("not_found", f"There is no ledger row with the id '{entry_id[:80]}'.")


def _within(span: Span) -> list[ColumnElement[bool]]:
    begin, end = span
    found = [] if begin is None else [ledger.c.created_at >= begin]
    return found if end is None else [*found, ledger.c.created_at < end]
