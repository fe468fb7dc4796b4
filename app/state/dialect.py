"""Inserts that meet an existing key, which SQLite and PostgreSQL spell by different constructs.

Building a statement costs more than running it, so each is built once for each kind of
database and kept by its maker (`functools.cache` over immutable arguments).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from sqlalchemy import Connection, Table


def insert_for(dialect: str, table: Table) -> Any:
    """Return an ``INSERT`` into ``table`` that knows ``ON CONFLICT`` in this dialect of SQL.

    The other dialect, tens of milliseconds of importing, is never loaded.
    """
    spoken: Any = import_module(f"sqlalchemy.dialects.{dialect}")
    return spoken.insert(table)


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert ``rows``; those whose key exists already stay as they are."""
    connection.execute(_insert_ignoring(connection.dialect.name, table), list(rows))


def insert_once(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert ``row`` (values or expressions); return false when its key exists already."""
    statement = insert_for(connection.dialect.name, table).values(**row)
    return inserted(connection, returning_if_new(statement, table))


def returning_if_new(statement: Any, table: Table) -> Any:
    """Make an insert give its key back when it inserted, and nothing when the key existed.

    Drivers do not agree on the row count of such an insert; what comes back is certain.
    """
    return statement.on_conflict_do_nothing().returning(*table.primary_key)


def inserted(connection: Connection, statement: Any, row: Mapping[str, Any] | None = None) -> bool:
    """Run what `returning_if_new` made and say whether there is a new row."""
    return connection.execute(statement, row).first() is not None


def upsert_for(dialect: str, table: Table, row: Mapping[str, Any], change: Sequence[str]) -> Any:
    """Return the statement that inserts ``row``, or sets the columns ``change`` of the row with its key."""
    statement = insert_for(dialect, table).values(**row)
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: row[name] for name in change},
    )


@cache
def _insert_ignoring(dialect: str, table: Table) -> Any:
    return insert_for(dialect, table).on_conflict_do_nothing()
