"""Alerts of budgets: each threshold once a period, kept until its message was taken.

A message is claimed by moving the moment at which it is due: who claims it has until then to send it, and whoever dies
on the way leaves it to the next. So it is sent at least once.

Tests: tests/governance/test_alerts.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, and_, select, update

from app.state.database import Database
from app.state.live_events import add_notices
from app.state.tables import alert, budget
from app.state.upserts import insert_once
from app.wire.json import dumps

_AT_ONCE: Final = 20


class Due(NamedTuple):
    """A message to be sent, for the ``tries``-th time."""

    budget_id: str
    threshold: int
    tries: int
    body: bytes


class Alerts:
    """Notes thresholds and hands out messages. ``clock`` gives Unix seconds."""

    def __init__(self, db: Database, clock: Callable[[], float] = time.time) -> None:
        self._db = db
        self._clock = clock

    def note(self, budget_id: str, bodies: Mapping[int, Mapping[str, Any]], *, sends: bool) -> Sequence[int]:
        """Note the thresholds that a budget reached, with their messages; return those that nobody noted before."""
        highest, now = max(bodies), self._clock()

        def work(connection: Connection) -> list[int]:
            lower = and_(budget.c.id == budget_id, budget.c.alerted < highest)
            connection.execute(update(budget).where(lower).values(alerted=highest))
            row = {"budget_id": budget_id, "created_at": now, "due_at": now if sends else None, "tries": 0}
            new = [
                threshold
                for threshold in sorted(bodies)
                if insert_once(
                    connection, alert, row | {"threshold": threshold, "body": dumps(bodies[threshold])}
                )
            ]
            add_notices(connection, [bodies[threshold] for threshold in new])
            return new

        return self._db.write(work)

    def claim(self, lease: float) -> list[Due]:
        """Return messages that are due; others get them once ``lease`` seconds are over."""
        now = self._clock()
        waiting = select(alert).where(alert.c.due_at <= now).order_by(alert.c.due_at).limit(_AT_ONCE)
        rows: list[Any] = self._db.read(lambda connection: list(connection.execute(waiting)))
        if not rows:
            return []

        def work(connection: Connection) -> list[Due]:
            return [
                Due(row.budget_id, row.threshold, row.tries + 1, bytes(row.body))
                for row in rows
                if connection.execute(
                    update(alert)
                    .where(_is(row), alert.c.due_at == row.due_at)
                    .values(due_at=now + lease, tries=row.tries + 1)
                ).rowcount
            ]

        return self._db.write(work)

    def done(self, one: Due) -> None:
        """Send a message no more."""
        self._move(one, None)

    def again(self, one: Due, after: float) -> None:
        """Send a message again ``after`` seconds from now."""
        self._move(one, self._clock() + after)

    def _move(self, one: Due, due_at: float | None) -> None:
        statement = update(alert).where(_is(one)).values(due_at=due_at)
        self._db.write(lambda connection: connection.execute(statement) and None, idempotent=True)


def _is(one: Any) -> Any:
    return and_(alert.c.budget_id == one.budget_id, alert.c.threshold == one.threshold)
