"""The two statements of PostgreSQL by which an attempt reserves and is settled: one round trip each.

They do what ``budgets`` does step by step for SQLite, whose writer thread needs no round trip. Rows of budgets are
locked in the order of their ids before anything of them is changed; what a lock waited for is read anew.

Tests: tests/state/test_budgets.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, text

from app.state.tables import AnyRow, ledger

_RESERVE: Final = text(
    """
    WITH wanted AS (
      SELECT w.id, w.most FROM unnest(CAST(:ids AS text[]), CAST(:most AS bigint[])) AS w(id, most)
    ), locked AS MATERIALIZED (
      SELECT id, spent, reserved FROM budget WHERE id = ANY(CAST(:ids AS text[])) ORDER BY id FOR UPDATE
    ), verdict AS MATERIALIZED (
      SELECT count(*) = cardinality(CAST(:ids AS text[])) AND bool_and(
        CAST(:unpriced AS boolean) OR l.spent + l.reserved + CAST(:amount AS bigint) <= w.most) AS fits
      FROM locked l JOIN wanted w ON w.id = l.id
    ), grown AS (
      UPDATE budget b SET reserved = l.reserved + CAST(:amount AS bigint), used_at = :now
      FROM locked l, verdict v WHERE v.fits AND b.id = l.id
    ), held AS (
      INSERT INTO reservation (attempt_id, budget_id, amount, most, lease_until, body)
      SELECT CAST(:attempt_id AS text), w.id, CAST(:amount AS bigint), w.most,
        CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS double precision) + CAST(:lease AS double precision),
        CAST(:body AS bytea)
      FROM wanted w, verdict v WHERE v.fits
    )
    SELECT id, spent, reserved FROM locked
    """
)

_COLUMNS: Final = tuple(column.name for column in ledger.columns)
_TYPES: Final = {"BLOB": "bytea", "DOUBLE": "double precision"}
_VALUES: Final = ", ".join(
    f"CAST(:{column.name} AS {_TYPES.get(str(column.type), column.type)})" for column in ledger.columns
)

_SETTLE: Final = text(
    f"""
    WITH gone AS (
      DELETE FROM reservation WHERE attempt_id = :attempt_id RETURNING budget_id, amount, most
    ), entered AS (
      INSERT INTO ledger ({", ".join(_COLUMNS)})
      SELECT {_VALUES} WHERE EXISTS (SELECT 1 FROM gone) ON CONFLICT (id) DO NOTHING
    ), charged AS (
      INSERT INTO ledger_charge (ledger_id, budget_id) SELECT CAST(:id AS text), budget_id FROM gone
    ), locked AS MATERIALIZED (
      SELECT b.id, b.spent, b.reserved FROM budget b WHERE b.id IN (SELECT budget_id FROM gone)
      ORDER BY b.id FOR UPDATE
    ), paid AS (
      UPDATE budget b SET spent = l.spent + CAST(:charge AS bigint), reserved = l.reserved - g.amount, used_at = :now
      FROM locked l JOIN gone g ON g.budget_id = l.id WHERE b.id = l.id
      RETURNING b.id, b.level, b.owner, b.per, b.models, b.period, b.spent, b.alerted, g.most
    )
    SELECT * FROM paid
    """
)


def reserve(
    connection: Connection, row: Mapping[str, Any], limits: Mapping[str, int], amount: int | None, now: float
) -> list[AnyRow]:
    """Reserve ``amount`` of the budgets that ``limits`` has, by id, or of none; return those that are there.

    ``row`` has the reservation's ``attempt_id``, ``body`` and ``lease`` in seconds."""
    values = {"ids": list(limits), "most": list(limits.values()), "now": now}
    values |= {"amount": amount or 0, "unpriced": amount is None}
    return list(connection.execute(_RESERVE, {**row, **values}))


def settle(connection: Connection, columns: Mapping[str, Any], now: float) -> list[AnyRow]:
    """Write the ledger row ``columns`` and charge it to what its attempt had reserved; nothing where that is gone."""
    return list(connection.execute(_SETTLE, {**columns, "charge": columns["cost"] or 0, "now": now}))
