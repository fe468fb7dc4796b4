"""Alerts of budgets: one for each threshold that a budget reaches in a period, stored until its message was sent.

A message is claimed by moving the time at which it is due: the process that claims it has until then to send it, and if
it dies, the message is due again. So a message is sent at least once. Tests: tests/governance/test_alerts.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, select, update

from app.state.database import Database
from app.state.live_events import add_notices
from app.state.tables import alert, budget, db_now
from app.state.upserts import insert_once
from app.wire.json import dumps

_AT_ONCE: Final = 4
"""So few that all are sent within their lease, however slow the receiver is."""


class Due(NamedTuple):
    """A message that is due; ``tries`` counts this attempt to send it."""

    budget_id: str
    threshold: int
    tries: int
    body: bytes


class Alerts:
    """Stores thresholds and hands out messages."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def note(self, budget_id: str, bodies: Mapping[int, Mapping[str, Any]], *, sends: bool) -> Sequence[int]:
        """Store the thresholds that a budget reached, with their messages; return those that are new."""
        highest, now = max(bodies), db_now()

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
        """Claim messages that are due, for ``lease`` seconds."""
        waiting = select(alert).where(alert.c.due_at <= db_now()).order_by(alert.c.due_at).limit(_AT_ONCE)
        rows = self._db.fetch_all(waiting)
        if not rows:
            return []

        def work(connection: Connection) -> list[Due]:
            return [
                Due(row.budget_id, row.threshold, row.tries + 1, bytes(row.body))
                for row in rows
                if connection.execute(
                    update(alert)
                    .where(_is(row), alert.c.due_at == row.due_at)
                    .values(due_at=db_now() + lease, tries=row.tries + 1)
                ).rowcount
            ]

        return self._db.write(work)

    def done(self, due: Due) -> None:
        """Store that a message was sent."""
        self._move(due, None)

    def again(self, due: Due, after: float) -> None:
        """Let a message be due again ``after`` seconds from now."""
        self._move(due, db_now() + after)

    def _move(self, due: Due, due_at: ColumnElement[Any] | None) -> None:
        self._db.execute(update(alert).where(_is(due)).values(due_at=due_at), idempotent=True)


def _is(key: Any) -> Any:
    return and_(alert.c.budget_id == key.budget_id, alert.c.threshold == key.threshold)
