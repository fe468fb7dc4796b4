"""The vault: what must go back with a tool call although plain chat clients drop it.

Thought signatures and encrypted reasoning belong to a tool call, of which a chat client sends back the id only. So they
are stored under tenant and call id. The body is the caller's JSON; this module does not read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from app.state.database import Repository
from app.state.ids import storable
from app.state.tables import db_now, vault
from app.state.upserts import upsert_for
from app.wire.json import dumps, loads_lenient


class Vault(Repository):
    """The entries of all tenants."""

    def put(self, tenant: str, entries: Mapping[str, Any]) -> None:
        """Store one JSON value for each call id; a later value replaces an earlier one."""
        rows = [
            {"tenant": tenant, "call_id": call_id, "body": dumps(value), "created_at": db_now()}
            for call_id, value in sorted(entries.items())
            if storable(call_id)
        ]
        if not rows:
            return

        def work(connection: Connection) -> None:
            for row in rows:
                connection.execute(upsert_for(connection.dialect.name, vault, row, ["body", "created_at"]))

        self._db.write(work, idempotent=True)

    def get(self, tenant: str, call_ids: Sequence[str]) -> dict[str, Any]:
        """Return the values of those of ``call_ids`` that have one."""
        ids = [call_id for call_id in call_ids if storable(call_id)]
        if not ids:
            return {}
        mine = (vault.c.tenant == tenant, vault.c.call_id.in_(ids))
        rows = self._db.fetch_all(select(vault.c.call_id, vault.c.body).where(*mine))
        return {row.call_id: loads_lenient(bytes(row.body)) for row in rows}
