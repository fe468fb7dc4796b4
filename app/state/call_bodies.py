"""What was asked and answered in a call: a sealed text beside its row of the call log, kept for some days.

It is sealed whatever ``SLUICE_ENCRYPT`` says, under the key of the state.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Column, Connection, Double, Index, Table, Text, delete, insert, select

from app.state.crypto import Sealer
from app.state.database import Database
from app.state.ids import storable
from app.state.tables import metadata
from app.wire.json import dumps, loads_lenient

Members = Mapping[str, Any]

call_body = Table(
    "call_body",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("created_at", Double, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("sealed", Text, nullable=False),
    Index("call_body_created_at", "created_at"),
    Index("call_body_tenant", "tenant"),
)

_AT_ONCE: Final = 500


class CallBodies:
    """Writes, reads and purges."""

    def __init__(self, db: Database, sealer: Sealer) -> None:
        self._db = db
        self._sealer = sealer

    def rows(self, calls: Mapping[str, Members], bodies: Mapping[str, Members]) -> list[dict[str, Any]]:
        """Return the rows of ``bodies``; both are by the call's id."""
        return [
            {
                "call_id": label,
                "created_at": calls[label]["created_at"],
                "tenant": calls[label]["tenant"],
                "sealed": self._sealer.seal(dumps(dict(body)), label.encode()),
            }
            for label, body in bodies.items()
        ]

    def get(self, call_id: str) -> Members | None:
        """Return the bodies of a call; None where none are kept, or their key is no longer there."""
        if not storable(call_id):
            return None
        statement = select(call_body.c.sealed).where(call_body.c.call_id == call_id)
        sealed = self._db.read(lambda connection: connection.execute(statement).scalar())
        opened = None if sealed is None else self._sealer.unseal(sealed, call_id.encode())
        return None if opened is None else loads_lenient(opened)

    def purge(self, older_than: float, edge: float) -> None:
        """Delete what is older than so many seconds, or of calls before the moment ``edge``."""
        limit = max(time.time() - older_than, edge)
        old = select(call_body.c.call_id).where(call_body.c.created_at <= limit).limit(_AT_ONCE)
        gone = delete(call_body).where(call_body.c.call_id.in_(old))
        while self._db.write(lambda connection: connection.execute(gone).rowcount):
            continue


def add(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Write rows in a transaction that is under way."""
    if rows:
        connection.execute(insert(call_body), rows)


def drop_of_tenant(connection: Connection, tenant: str) -> int:
    """Delete some of a tenant's; return how many."""
    some = select(call_body.c.call_id).where(call_body.c.tenant == tenant).limit(_AT_ONCE)
    return connection.execute(delete(call_body).where(call_body.c.call_id.in_(some))).rowcount
