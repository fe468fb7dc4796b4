"""The audit log: who changed what, from where, and how it was before and after; it holds no secrets."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert

from app.canonical.record import record
from app.state.database import Repository
from app.state.ids import new_id
from app.state.lookup import Page, read_page
from app.state.tables import AnyRow, audit
from app.wire.json import dumps, loads_lenient


@record
class Actor:
    """The administrator who makes a change: name, role, and the address of the request."""

    name: str
    role: str
    address: str


def note(
    connection: Connection,
    actor: Actor,
    action: str,
    subject: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    """Write the row of a change, in the transaction that makes it."""
    row = {
        "id": new_id("audit"),
        "created_at": time.time(),
        "admin": actor.name,
        "role": actor.role,
        "address": actor.address,
        "action": action,
        "subject": subject,
        "before": None if before is None else dumps(before),
        "after": None if after is None else dumps(after),
    }
    connection.execute(insert(audit).values(row))


class Audit(Repository):
    """Reads the rows, and writes those of actions that change nothing in the database."""

    def add(self, actor: Actor, action: str, subject: str) -> None:
        """Write the row of an action that changed nothing in the database."""
        self._db.write(lambda connection: note(connection, actor, action, subject, None, None))

    def page(self, limit: int, after: str | None) -> Page[dict[str, Any]]:
        """Return some rows, the newest first; raises ``bad_request`` for an unknown ``after``."""
        return read_page(self._db, audit, limit, after, _show)


def _show(row: AnyRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "object": "audit.entry",
        "created_at": int(row.created_at),
        "admin": row.admin,
        "role": row.role,
        "address": row.address,
        "action": row.action,
        "subject": row.subject,
        "before": None if row.before is None else loads_lenient(bytes(row.before)),
        "after": None if row.after is None else loads_lenient(bytes(row.after)),
    }
