"""The statements that reserve for an attempt and settle it, as SQL text, because every call runs them.

On PostgreSQL each is one statement, which is a transaction of its own and one round trip. It locks the rows of
budgets in the order of their ids before it changes any, and reads them again after waiting for a lock. It limits how
long it waits for a lock, and it may be executed twice when a connection breaks. On SQLite the writer thread runs a
few statements in its one transaction, without a round trip.

Tests: tests/state/test_budgets.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, text

from app.state.bounds import MOST
from app.state.ledger_rows import Entry
from app.state.tables import ledger
from app.state.upserts import driver_of

_PATIENT: Final = "(SELECT set_config('lock_timeout', '5000', true)) IS NOT NULL"
"""A condition that is true, and lets a statement wait five seconds for each lock: the planner evaluates it first, and once."""

_RESERVE: Final = text(
    f"""
    WITH asked AS (
      SELECT w.id, w.most FROM unnest(CAST(:ids AS text[]), CAST(:most AS bigint[])) AS w(id, most)
    ), locked AS MATERIALIZED (
      SELECT id, spent, reserved - COALESCE((
          SELECT r.amount FROM reservation r WHERE r.attempt_id = CAST(:attempt_id AS text) AND r.budget_id = budget.id
        ), 0) AS reserved
      FROM budget WHERE id = ANY(CAST(:ids AS text[])) AND {_PATIENT} ORDER BY id FOR UPDATE
    ), verdict AS MATERIALIZED (
      SELECT count(*) = cardinality(CAST(:ids AS text[])) AND bool_and(
        CAST(:unpriced AS boolean) OR l.spent + l.reserved + CAST(:amount AS bigint) <= w.most) AS fits
      FROM locked l JOIN asked w ON w.id = l.id
    ), held AS (
      INSERT INTO reservation (attempt_id, budget_id, amount, most, lease_until, body)
      SELECT CAST(:attempt_id AS text), w.id, CAST(:amount AS bigint), w.most,
        CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS double precision) + CAST(:lease AS double precision),
        CAST(:body AS bytea)
      FROM asked w, verdict v WHERE v.fits
      ON CONFLICT DO NOTHING RETURNING budget_id
    ), grown AS (
      UPDATE budget b SET reserved = l.reserved + CAST(:amount AS bigint), used_at = :now
      FROM locked l JOIN held h ON h.budget_id = l.id WHERE b.id = l.id
    )
    SELECT id, spent, reserved FROM locked
    """
)

_TYPES: Final = {"BLOB": "bytea", "DOUBLE": "double precision"}
_VALUES: Final = ", ".join(
    f"CAST(:{name} AS {_TYPES.get(str(ledger.c[name].type), ledger.c[name].type)})" for name in Entry._fields
)

_SETTLE: Final = text(
    f"""
    WITH released AS (
      DELETE FROM reservation WHERE attempt_id = :attempt_id AND {_PATIENT} RETURNING budget_id, amount, most
    ), entered AS (
      INSERT INTO ledger ({", ".join(Entry._fields)})
      SELECT {_VALUES} WHERE EXISTS (SELECT 1 FROM released) ON CONFLICT (id) DO NOTHING
    ), charged AS (
      INSERT INTO ledger_charge (ledger_id, budget_id) SELECT CAST(:id AS text), budget_id FROM released
    ), locked AS MATERIALIZED (
      SELECT b.id, b.spent, b.reserved FROM budget b WHERE b.id IN (SELECT budget_id FROM released)
      ORDER BY b.id FOR UPDATE
    ), paid AS (
      UPDATE budget b SET spent = LEAST(l.spent + CAST(:charge AS bigint), {MOST}), reserved = l.reserved - r.amount, used_at = :now
      FROM locked l JOIN released r ON r.budget_id = l.id WHERE b.id = l.id
      RETURNING b.id, b.level, b.owner, b.per, b.models, b.period, b.spent, b.alerted, r.most
    )
    SELECT * FROM paid
    """
)


_PAID: Final = ("id", "level", "owner", "per", "models", "period", "spent", "alerted")


@cache
def _sqlite(statement: str, count: int) -> str:
    """Return a statement whose ``:in`` stands for a list of so many values."""
    return statement.replace(":in", f"({', '.join('?' * count)})")


_STANDING: Final = "SELECT id, spent, reserved FROM budget WHERE id IN :in"
_GROW: Final = "UPDATE budget SET reserved = reserved + ?, used_at = ? WHERE id IN :in"
_HOLD: Final = (
    "INSERT INTO reservation (attempt_id, budget_id, amount, most, lease_until, body) "
    "VALUES (?, ?, ?, ?, (julianday('now') - 2440587.5) * 86400.0 + ?, ?)"
)
_RELEASE: Final = "DELETE FROM reservation WHERE attempt_id = ? RETURNING budget_id, amount, most"
_ENTER: Final = f"INSERT INTO ledger ({', '.join(Entry._fields)}) VALUES ({', '.join('?' * len(Entry._fields))}) ON CONFLICT DO NOTHING"
_CHARGE: Final = "INSERT INTO ledger_charge (ledger_id, budget_id) VALUES (?, ?)"
_PAY: Final = (
    f"UPDATE budget SET spent = min(spent + ?, {MOST}), reserved = reserved - ?, used_at = ? WHERE id IN :in "
    f"RETURNING {', '.join(_PAID)}"
)


def reserve(
    connection: Connection, row: Mapping[str, Any], limits: Mapping[str, int], amount: int | None, now: float
) -> dict[str, tuple[int, int]]:
    """Reserve ``amount`` of the budgets that ``limits`` has, by id, or of none.

    Returns what was spent and reserved before of those that are there. ``row`` has the reservation's ``attempt_id``, ``body``
    and ``lease`` in seconds."""
    if connection.dialect.name == "postgresql":
        values = {"ids": list(limits), "most": list(limits.values()), "now": now}
        values |= {"amount": amount or 0, "unpriced": amount is None}
        return {one.id: (one.spent, one.reserved) for one in connection.execute(_RESERVE, {**row, **values})}
    execute, ids = driver_of(connection).execute, tuple(limits)
    balances = {one: (spent, reserved) for one, spent, reserved in execute(_sqlite(_STANDING, len(ids)), ids)}
    if len(balances) < len(ids) or (
        amount is not None and any(sum(balances[one]) + amount > most for one, most in limits.items())
    ):
        return balances
    execute(_sqlite(_GROW, len(ids)), (amount or 0, now, *ids))
    label, lease, body = row["attempt_id"], row["lease"], row["body"]
    for one, most in limits.items():
        execute(_HOLD, (label, one, amount or 0, most, lease, body))
    return balances


def settle(connection: Connection, columns: Mapping[str, Any], now: float) -> list[tuple[Any, ...]]:
    """Write the ledger row ``columns``, and charge it to what its attempt had reserved; nothing where that is gone.

    Returns of each budget the columns of ``_PAID``, and its amount as the attempt knew it."""
    cost = columns["cost"] or 0
    if connection.dialect.name == "postgresql":
        rows = connection.execute(_SETTLE, {**columns, "charge": cost, "now": now})
        return [tuple(row) for row in rows]
    execute = driver_of(connection).execute
    reservations = execute(_RELEASE, (columns["attempt_id"],)).fetchall()
    if not reservations:
        return []
    execute(_ENTER, tuple(columns.values()))
    for budget_id, _, _ in reservations:
        execute(_CHARGE, (columns["id"], budget_id))
    limits = {budget_id: most for budget_id, _, most in reservations}
    rows = execute(_sqlite(_PAY, len(limits)), (cost, reservations[0][1], now, *limits))
    return [(*row, limits[row[0]]) for row in rows.fetchall()]
