"""Bodies of calls: request and answer, as a sealed text beside the row of the call log, kept for some days.

They are sealed whatever ``SLUICE_ENCRYPT`` says, under the key of the state.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Column, Connection, Double, Index, Table, Text, insert, select

from app.state.crypto import Sealer
from app.state.database import Database
from app.state.deletion import delete_all
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

_DELETED_AT_ONCE: Final = 500


class CallBodies:
    """Seals, reads and purges the bodies of all tenants."""

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
        """Return the bodies of a call; None where none are stored, or the key that sealed them is gone."""
        if not storable(call_id):
            return None
        sealed = self._db.fetch_value(select(call_body.c.sealed).where(call_body.c.call_id == call_id))
        opened = None if sealed is None else self._sealer.unseal(sealed, call_id.encode())
        return None if opened is None else loads_lenient(opened)

    def purge(self, older_than: float, edge: float) -> None:
        """Delete the bodies that are older than ``older_than`` seconds, or of calls before ``edge`` (Unix seconds)."""
        limit = max(time.time() - older_than, edge)
        delete_all(self._db, call_body, call_body.c.created_at <= limit, _DELETED_AT_ONCE)


def add(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Write rows within a transaction."""
    if rows:
        connection.execute(insert(call_body), rows)
