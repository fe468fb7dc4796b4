"""The vault: what must come back with a tool call although plain chat clients drop it.

Thought signatures and encrypted reasoning belong to a tool call; a chat client sends
back the call's id only. So they are kept here under tenant and call id. The body is the
caller's JSON; this module does not look inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from app.state.database import Database
from app.state.ids import storable
from app.state.tables import db_now, vault
from app.state.upserts import upsert_for
from app.wire.json import dumps, loads_lenient


class Vault:
    """Entries of all tenants."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put(self, tenant: str, entries: Mapping[str, Any]) -> None:
        """Keep one JSON value for each call id; a later one replaces an earlier one."""
        bodies = {call_id: dumps(value) for call_id, value in entries.items() if storable(call_id)}
        if not bodies:
            return

        def work(connection: Connection) -> None:
            for call_id in sorted(bodies):
                row = {
                    "tenant": tenant,
                    "call_id": call_id,
                    "body": bodies[call_id],
                    "created_at": db_now(),
                }
                connection.execute(upsert_for(connection.dialect.name, vault, row, ["body", "created_at"]))

        self._db.write(work, idempotent=True)

    def get(self, tenant: str, call_ids: Sequence[str]) -> dict[str, Any]:
        """Return the values kept for those of ``call_ids`` that have one."""
        wanted = [call_id for call_id in call_ids if storable(call_id)]
        if not wanted:
            return {}

        def work(connection: Connection) -> dict[str, Any]:
            found = connection.execute(
                select(vault.c.call_id, vault.c.body).where(
                    vault.c.tenant == tenant, vault.c.call_id.in_(wanted)
                )
            )
            return {row.call_id: loads_lenient(bytes(row.body)) for row in found}

        return self._db.read(work)
