"""The two SQL statements that SQLite and PostgreSQL spell by different constructs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert ``rows``; those whose key exists already stay as they are."""
    connection.execute(_insert(connection, table).on_conflict_do_nothing(), list(rows))


def insert_once(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert ``row`` (values or expressions); return false when its key exists already."""
    statement = _insert(connection, table).values(**row).on_conflict_do_nothing()
    # Drivers do not agree on the row count of such an insert; what comes back is certain.
    return connection.execute(statement.returning(*table.primary_key)).first() is not None


def upsert(connection: Connection, table: Table, row: Mapping[str, Any], change: Sequence[str]) -> None:
    """Insert ``row`` (values or expressions), or set the columns ``change`` of the row with its key."""
    statement = _insert(connection, table).values(**row)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: row[name] for name in change},
        )
    )


def _insert(connection: Connection, table: Table) -> Any:
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return make(table)
