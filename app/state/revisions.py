"""Numbers that say whether something changed: keys, tenants and administrators, or what the cache keeps.

Each change takes the row first, so that changes come one after another, and what a change looks
for (a name that is taken) cannot come between.
"""

from __future__ import annotations

from sqlalchemy import Connection, case, select, update

from app.state.tables import revision
from app.state.upserts import insert_new
from app.state.wakeups import KEYS


def advance(connection: Connection, name: str = KEYS, least: int = 0) -> int:
    """Count a change, from ``least`` on, hold back others until it is committed, and return its number."""
    insert_new(connection, revision, [{"name": name, "number": 0}])
    mine = revision.c.name == name
    following = revision.c.number + 1
    number = case((following < least, least), else_=following)
    connection.execute(update(revision).where(mine).values(number=number))
    return current(connection, name)


def current(connection: Connection, name: str = KEYS) -> int:
    """Return the number of the last change."""
    return connection.execute(select(revision.c.number).where(revision.c.name == name)).scalar() or 0
