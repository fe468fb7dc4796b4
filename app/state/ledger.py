"""The ledger: rows of what attempts cost, for administrators and for audits.

``budgets`` writes the rows that concern budgets; the rows of other attempts are written in batches.

Tests: tests/state/test_budgets.py, tests/surfaces/test_ledger.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, func, select

from app.config import NANO
from app.errors import GatewayError
from app.state import audit, key_names, ledger_rows
from app.state.audit import Actor
from app.state.bounds import sum_columns, sum_of
from app.state.budget_lines import ChargedBudget
from app.state.budgets import correct_in
from app.state.database import Database
from app.state.deletion import repeat
from app.state.ledger_compaction import compact_some
from app.state.ledger_rows import Entry
from app.state.lookup import Page, Span, by_key, find_row, read_page, require_row, within
from app.state.tables import budget, ledger, ledger_charge, reservation
from app.state.upserts import insert_new_values
from app.wire.json import dumps

LedgerObject = dict[str, Any]

CORRECTABLE: Final = ("lost", "estimated")
FILTERS: Final = ("tenant", "key", "key_id", "provider", "model", "state", "call_id")


class Ledger:
    """Writes, lists, corrects and checks the rows; ``clock`` returns Unix seconds."""

    def __init__(self, db: Database, clock: Callable[[], float] = time.time) -> None:
        self._db = db
        self._clock = clock

    def write(self, entries: Sequence[Entry]) -> None:
        """Write rows that no budget is charged for; rows that exist stay as they are."""
        if entries:
            write = partial(insert_new_values, table=ledger, names=Entry._fields, rows=entries)
            self._db.write(write, idempotent=True)

    def get(self, entry_id: str) -> LedgerObject:
        """Return one row; raises ``not_found``."""
        return ledger_rows.show(self._db.read(lambda connection: _require(connection, entry_id)))

    def page(
        self, limit: int, after: str | None, filters: Mapping[str, Any], span: Span
    ) -> Page[LedgerObject]:
        """Return some rows, the newest first, that fit the filters, from and before the moments of ``span``."""
        conditions = [*key_names.conditions(self._db, ledger, filters), *within(ledger.c.created_at, span)]
        return read_page(self._db, ledger, limit, after, ledger_rows.show, *conditions)

    # --- corrections -----------------------------------------------------------------------------

    def entry(self, entry_id: str) -> Entry:
        """Return one row as it was written; raises ``not_found``."""
        return Entry._make(self._db.read(lambda connection: _require(connection, entry_id)))

    def correct(
        self, actor: Actor, entry_id: str, correction: Correction
    ) -> tuple[LedgerObject, list[ChargedBudget]]:
        """Write what a lost or estimated row really cost in all; return the new row and the budgets after it.

        Its budgets are charged the difference. Raises ``not_found``, and ``conflict`` for a row that is settled or was
        corrected already."""

        def work(connection: Connection) -> tuple[LedgerObject, list[ChargedBudget]]:
            row = _require(connection, entry_id, lock=True)
            before = Entry._make(row)
            if before.state not in CORRECTABLE:
                raise _conflict(
                    f"This row is '{before.state}'; only rows that are lost or estimated can be corrected."
                )
            details = correction.cost_details
            entry = before._replace(
                id=ledger_rows.correction_id(before.id),
                state="settled",
                cost=correction.cost - _charge_of(connection, before),
                cost_details=None if details is None else dumps(dict(details), parsed=True),
                **(correction.usage or dict.fromkeys(ledger_rows.COUNTS)),
                corrects=before.id,
                reason=correction.reason,
            )
            if find_row(connection, by_key(ledger, entry.id), entry.id) is not None:
                raise _conflict("This row was corrected already.")
            budgets = correct_in(connection, entry, self._clock())
            new = ledger_rows.show(_require(connection, entry.id))
            audit.note(connection, actor, "ledger.settled", before.id, ledger_rows.show(row), new)
            return new, budgets

        return self._db.write(work)

    def compact(self, before: float) -> int:
        """Compact the rows from before a moment (Unix seconds): those of one day, one owner and the same budgets become
        one. Return how many rows were replaced. What each budget was charged does not change."""
        return repeat(self._db, lambda connection: compact_some(connection, before))

    def check(self) -> CheckResult:
        """Compare what each budget has spent and reserved with the rows that were charged to it."""
        return self._db.read(_check)


class Correction(NamedTuple):
    """What an attempt really cost, in nano-dollars, and how that is known."""

    cost: int
    reason: str
    usage: Mapping[str, int | None] | None = None
    cost_details: Mapping[str, Any] | None = None


class CheckResult(NamedTuple):
    """How many budgets and ledger rows were compared, and a sentence for each budget that differs."""

    budgets: int
    rows: int
    faults: list[str]


def _require(connection: Connection, entry_id: str, *, lock: bool = False) -> Any:
    return require_row(connection, by_key(ledger, entry_id, lock=lock), entry_id, missing(entry_id))


def _charge_of(connection: Connection, entry: Entry) -> int:
    """Return what was charged so far for an attempt: by ``entry`` and the rows that it corrects."""
    total = entry.cost or 0
    while (
        entry.corrects is not None
        and (row := find_row(connection, by_key(ledger, entry.corrects), entry.corrects)) is not None
    ):
        entry = Entry._make(row)
        total += entry.cost or 0
    return total


def _check(connection: Connection) -> CheckResult:
    """Compare in one statement, so that all is of one moment."""
    costs = (
        select(ledger_charge.c.budget_id, *sum_columns(ledger.c.cost))
        .join(ledger, ledger.c.id == ledger_charge.c.ledger_id)
        .group_by(ledger_charge.c.budget_id)
        .subquery()
    )
    reservations = (
        select(reservation.c.budget_id, func.sum(reservation.c.amount).label("amount"))
        .group_by(reservation.c.budget_id)
        .subquery()
    )
    tables = budget.outerjoin(costs, costs.c.budget_id == budget.c.id)
    tables = tables.outerjoin(reservations, reservations.c.budget_id == budget.c.id)
    columns = (
        budget.c.id,
        budget.c.spent,
        budget.c.reserved,
        reservations.c.amount,
        costs.c.units,
        costs.c.rest,
    )
    rows = connection.execute(select(*columns).select_from(tables).order_by(budget.c.id))
    faults, count = [], 0
    for row in rows:
        count += 1
        faults += _faults_of(row.id, "spent", row.spent, sum_of((row.units, row.rest)))
        faults += _faults_of(row.id, "reserved", row.reserved, int(row.amount or 0))
    lonely = (
        select(ledger_charge.c.budget_id)
        .distinct()
        .where(ledger_charge.c.budget_id.not_in(select(budget.c.id)))
    )
    faults += [
        f"{name}: rows are charged to it, and it is not there"
        for name in connection.execute(lonely).scalars()
    ]
    return CheckResult(
        count, connection.execute(select(func.count()).select_from(ledger)).scalar_one(), faults
    )


def _faults_of(name: str, what: str, balance: int, total: int) -> list[str]:
    if balance == total:
        return []
    return [f"{name}: {what} is {balance / NANO:.9f} USD, but its rows sum up to {total / NANO:.9f} USD"]


def _conflict(message: str) -> GatewayError:
    return GatewayError("conflict", message)


def missing(entry_id: str) -> GatewayError:
    """Return the error for a row that does not exist."""
    return GatewayError("not_found", f"There is no ledger row with the id '{entry_id[:80]}'.")
