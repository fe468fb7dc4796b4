"""The number that says whether keys, tenants or administrators changed.

Each change takes the row first, so that changes come one after another, and what a change looks
for (a name that is taken) cannot come between.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, select, update

from app.state.dialect import insert_new
from app.state.tables import revision

TOPIC: Final = "keys"
"""What is rung when the number grows."""

_MINE: Final = revision.c.name == TOPIC


def advance(connection: Connection) -> int:
    """Count a change, hold back others until it is committed, and return its number."""
    insert_new(connection, revision, [{"name": TOPIC, "number": 0}])
    connection.execute(update(revision).where(_MINE).values(number=revision.c.number + 1))
    return current(connection)


def current(connection: Connection) -> int:
    """Return the number of the last change."""
    return connection.execute(select(revision.c.number).where(_MINE)).scalar() or 0
