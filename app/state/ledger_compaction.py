"""Compaction of the ledger: old rows of one day, one owner and the same budgets become one row.

Tests: tests/state/test_ledger_model.py, tests/state/test_budgets.py.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, func, select

from app.state.bounds import MOST, at_most
from app.state.ledger_rows import COUNTS, joined_id
from app.state.tables import ledger, ledger_charge
from app.state.upserts import insert_for, insert_new

_AT_ONCE: Final = 500
_DAY: Final = 86_400
_SUMMED: Final = (*COUNTS, "cost")


class _Group(NamedTuple):
    """What rows that become one have in common; ``day`` is its first moment in Unix seconds."""

    tenant: str | None
    key: str | None
    key_id: str | None
    budgets: tuple[str, ...]
    day: int


def compact_some(connection: Connection, before: float) -> int:
    """Compact some rows from before a moment (Unix seconds); return how many rows were replaced."""
    old = select(ledger).where(ledger.c.created_at < before, ledger.c.attempt_id.is_not(None))
    old = old.order_by(ledger.c.created_at).limit(_AT_ONCE).with_for_update(skip_locked=True)
    rows: list[Any] = list(connection.execute(old))
    ids = [row.id for row in rows]
    budgets = _budgets_of(connection, ids)
    groups: dict[_Group, Counter[str]] = defaultdict(Counter)
    for row in rows:
        day = int(row.period_at) // _DAY * _DAY
        group = _Group(row.tenant, row.key, row.key_id, tuple(budgets.get(row.id, ())), day)
        groups[group].update({name: getattr(row, name) or 0 for name in _SUMMED})
    for table, column in ((ledger_charge, ledger_charge.c.ledger_id), (ledger, ledger.c.id)):
        connection.execute(delete(table).where(column.in_(ids)))
    for group, sums in groups.items():
        _write(connection, group, sums)
    return len(rows)


def _budgets_of(connection: Connection, ids: Iterable[str]) -> dict[str, list[str]]:
    budgets: dict[str, list[str]] = {}
    charges = select(ledger_charge).where(ledger_charge.c.ledger_id.in_(list(ids)))
    for row in connection.execute(charges.order_by(ledger_charge.c.budget_id)):
        budgets.setdefault(row.ledger_id, []).append(row.budget_id)
    return budgets


def _write(connection: Connection, group: _Group, sums: Mapping[str, int]) -> None:
    """Add sums to the row of a group; insert the row if there is none yet."""
    whose = f"{group.tenant}/{group.key}" + (f"/{group.key_id}" if group.key_id else "")
    row_id = joined_id(f"{group.day}:{whose}:{' '.join(group.budgets)}")
    row = {"id": row_id, "tenant": group.tenant, "key": group.key, "key_id": group.key_id, "state": "settled"}
    most = {name: min(some, MOST) for name, some in sums.items()}
    times = {"created_at": float(group.day), "period_at": float(group.day)}
    statement = insert_for(connection.dialect.name, ledger).values(
        **row, **most, **times, reason="the sum of a day"
    )
    values = {
        name: at_most(connection.dialect.name, func.coalesce(ledger.c[name], 0) + statement.excluded[name])
        for name in _SUMMED
    }
    connection.execute(statement.on_conflict_do_update(index_elements=[ledger.c.id], set_=values))
    charges = [{"ledger_id": row_id, "budget_id": one} for one in group.budgets]
    insert_new(connection, ledger_charge, charges)
