"""Old rows of the ledger, joined: those of one day, one owner and the same budgets become one row.

Tests: tests/state/test_ledger_model.py, tests/state/test_budgets.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select

from app.state.ledger_rows import COUNTS, joined_id
from app.state.tables import ledger, ledger_charge
from app.state.upserts import insert_for

_AT_ONCE: Final = 500
_DAY: Final = 86_400


class _Group:
    """Rows that become one."""

    def __init__(self, tenant: str | None, key: str | None, budgets: tuple[str, ...], day: int) -> None:
        self.tenant, self.key, self.budgets, self.day = tenant, key, budgets, day
        self.sums: dict[str, int] = dict.fromkeys((*COUNTS, "cost"), 0)

    def add(self, row: Any) -> None:
        for name in self.sums:
            self.sums[name] += getattr(row, name) or 0

    @property
    def row(self) -> dict[str, Any]:
        label = f"{self.day}:{self.tenant}/{self.key}:{' '.join(self.budgets)}"
        named = {"id": joined_id(label), "tenant": self.tenant, "key": self.key, "state": "settled"}
        return {**named, **self.sums, "created_at": float(self.day), "reason": "the sum of a day"}


def join_some(connection: Connection, before: float) -> int:
    """Join some rows from before a moment; return how many went."""
    old = select(ledger).where(ledger.c.created_at < before, ledger.c.attempt_id.is_not(None))
    old = old.order_by(ledger.c.created_at).limit(_AT_ONCE).with_for_update(skip_locked=True)
    rows: list[Any] = list(connection.execute(old))
    ids = [row.id for row in rows]
    budgets = _budgets_of(connection, ids)
    groups: dict[tuple[Any, ...], _Group] = {}
    for row in rows:
        day = int(row.period_at) // _DAY * _DAY
        label = (row.tenant, row.key, tuple(budgets.get(row.id, ())), day)
        groups.setdefault(label, _Group(*label)).add(row)
    for table, column in ((ledger_charge, ledger_charge.c.ledger_id), (ledger, ledger.c.id)):
        connection.execute(delete(table).where(column.in_(ids)))
    for group in groups.values():
        _write(connection, group)
    return len(rows)


def _budgets_of(connection: Connection, ids: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    charges = select(ledger_charge).where(ledger_charge.c.ledger_id.in_(list(ids)))
    for row in connection.execute(charges.order_by(ledger_charge.c.budget_id)):
        found.setdefault(row.ledger_id, []).append(row.budget_id)
    return found


def _write(connection: Connection, group: _Group) -> None:
    """Add a group to its row; the row is made where it is not there yet."""
    row = group.row
    statement = insert_for(connection.dialect.name, ledger).values(**row, period_at=row["created_at"])
    grown = {name: func.coalesce(ledger.c[name], 0) + statement.excluded[name] for name in (*COUNTS, "cost")}
    connection.execute(statement.on_conflict_do_update(index_elements=[ledger.c.id], set_=grown))
    charges = [{"ledger_id": row["id"], "budget_id": one} for one in group.budgets]
    if charges:
        into = insert_for(connection.dialect.name, ledger_charge)
        connection.execute(into.on_conflict_do_nothing(), charges)
