"""Revisions: numbers that grow when something changes, such as keys, tenants and administrators, or the cache.

Each change locks the row of its revision first. So changes come one after another, and nothing comes between a check (that
a name is free) and the change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection, case, select, update

from app.state.database import Database
from app.state.tables import revision
from app.state.upserts import insert_new
from app.state.wakeups import KEYS

T = TypeVar("T")


def change(db: Database, work: Callable[[Connection, int], T], topics: Sequence[str] = (KEYS,)) -> T:
    """Run ``work(connection, number)`` as the change with the next number of ``KEYS``; notify ``topics``."""
    return db.write(lambda connection: work(connection, advance(connection)), topics)


def advance(connection: Connection, name: str = KEYS, least: int = 0) -> int:
    """Return the number of a new change, at least ``least``; other changes wait until this one is committed."""
    insert_new(connection, revision, [{"name": name, "number": 0}])
    mine = revision.c.name == name
    following = revision.c.number + 1
    number = case((following < least, least), else_=following)
    connection.execute(update(revision).where(mine).values(number=number))
    return current(connection, name)


def current(connection: Connection, name: str = KEYS) -> int:
    """Return the number of the last change."""
    return connection.execute(select(revision.c.number).where(revision.c.name == name)).scalar() or 0
