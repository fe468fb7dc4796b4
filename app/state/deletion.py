"""Deleting many rows in short transactions, so that nobody waits long for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, select

from app.state.database import Database


def delete_some(connection: Connection, table: Table, condition: ColumnElement[bool], limit: int) -> int:
    """Delete at most ``limit`` rows of ``table`` that fit ``condition``; return how many."""
    key: list[Any] = list(table.primary_key.columns)
    keys = select(key[0]).where(condition).limit(limit)
    return connection.execute(delete(table).where(key[0].in_(keys))).rowcount


def delete_all(db: Database, table: Table, condition: ColumnElement[bool], limit: int) -> int:
    """Delete the rows of ``table`` that fit ``condition``, ``limit`` in a transaction; return how many."""
    return repeat(db, lambda connection: delete_some(connection, table, condition, limit))


def repeat(db: Database, work: Callable[[Connection], int]) -> int:
    """Run ``work``, which returns a count, in one transaction after another until it returns 0; return the sum."""
    total = 0
    while count := db.write(work):
        total += count
    return total
