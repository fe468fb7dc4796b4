"""A key's new name: its budgets, which are known by it, have spent what they had spent under the old one.

What was charged to the old budgets, and what running calls have reserved of them, is charged to the new ones as well. The old
ones stay as they are, so that the ledger tells what they were.

Tests: tests/state/test_budgets.py, tests/governance/test_budgets.py.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, insert, literal, select, update

from app.state.budget_lines import id_of_budget
from app.state.tables import budget, ledger, ledger_charge, reservation
from app.state.upserts import insert_once


def rename_owner(connection: Connection, level: str, old: str, new: str, now: float) -> None:
    """Give the budgets of ``new`` in their last periods what those of ``old`` have spent and reserved, within a transaction."""
    mine = select(budget).where(budget.c.level == level, budget.c.owner == old)
    rows: list[Any] = list(connection.execute(mine.order_by(budget.c.id).with_for_update()))
    last = {(row.per, row.models): row for row in sorted(rows, key=lambda row: row.period)}
    for row in last.values():
        name = id_of_budget(level, new, row.per, row.period, row.models)
        fresh = {**row._mapping, "id": name, "owner": new, "spent": 0, "reserved": 0, "used_at": now}
        insert_once(connection, budget, fresh)
        connection.execute(select(budget.c.id).where(budget.c.id == name).with_for_update())
        grown = {
            "spent": budget.c.spent + _copy_charges(connection, row.id, name),
            "reserved": budget.c.reserved + _copy_reservations(connection, row.id, name),
        }
        connection.execute(update(budget).where(budget.c.id == name).values(**grown))


def _copy_charges(connection: Connection, old: str, new: str) -> int:
    """Charge to ``new`` what was charged to ``old`` alone; return what it cost."""
    known = select(ledger_charge.c.ledger_id).where(ledger_charge.c.budget_id == new)
    missing = (ledger_charge.c.budget_id == old, ledger_charge.c.ledger_id.not_in(known))
    joined = ledger.join(ledger_charge, ledger.c.id == ledger_charge.c.ledger_id)
    cost = select(func.coalesce(func.sum(ledger.c.cost), 0)).select_from(joined).where(*missing)
    total = connection.execute(cost).scalar_one()
    rows = select(ledger_charge.c.ledger_id, literal(new)).where(*missing)
    connection.execute(insert(ledger_charge).from_select(["ledger_id", "budget_id"], rows))
    return int(total)


def _copy_reservations(connection: Connection, old: str, new: str) -> int:
    """Reserve of ``new`` what is reserved of ``old``; return how much. What is being settled now is left out."""
    held = reservation.c
    known = select(held.attempt_id).where(held.budget_id == new)
    missing = select(reservation).where(held.budget_id == old, held.attempt_id.not_in(known))
    rows = [dict(row._mapping) for row in connection.execute(missing.with_for_update(skip_locked=True))]
    if rows:
        connection.execute(insert(reservation), [{**row, "budget_id": new} for row in rows])
    return sum(row["amount"] for row in rows)
