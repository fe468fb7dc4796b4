"""Attempts: one row a try at a target, written before the upstream is called.

A row that never ended tells that a process died while an upstream may have been
working, and charging. The ledger hangs on the attempt's id, so ending it twice counts
once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select, update

from app.state.database import Database
from app.state.records import JSON, NewAttempt
from app.state.tables import attempt, db_now
from app.state.upserts import insert_once
from app.wire.json import dumps, loads_lenient


class Attempts:
    """The attempts of all tenants."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def begin(self, new: NewAttempt) -> None:
        """Write the row of a try, status ``running``."""
        row = {
            "id": new.id,
            "tenant": new.tenant,
            "call_id": new.call_id,
            "target": new.target,
            "realm": new.realm,
            "response_id": new.response_id,
            "run": new.run,
            "key_name": new.key_name,
            "status": "running",
            "started_at": db_now(),
        }
        self._db.write(lambda connection: insert_once(connection, attempt, row), idempotent=True)

    def end(
        self,
        tenant: str,
        attempt_id: str,
        status: str,
        *,
        error_kind: str | None = None,
        usage: Mapping[str, Any] | None = None,
        http_status: int | None = None,
        latency_ms: int | None = None,
    ) -> None:
        """Store how a try ended (``ok``, ``failed``, ``cancelled`` …); the first end stays."""

        def work(connection: Connection) -> None:
            connection.execute(
                update(attempt)
                .where(
                    attempt.c.id == attempt_id,
                    attempt.c.tenant == tenant,
                    attempt.c.ended_at.is_(None),
                )
                .values(
                    status=status,
                    error_kind=error_kind,
                    usage=None if usage is None else dumps(dict(usage)),
                    http_status=http_status,
                    latency_ms=latency_ms,
                    ended_at=db_now(),
                )
            )

        self._db.write(work, idempotent=True)

    def of_response(self, tenant: str, response_id: str) -> list[JSON]:
        """Return a response's tries in order, each as its row with ``usage`` parsed."""

        def work(connection: Connection) -> list[JSON]:
            found = connection.execute(
                select(attempt)
                .where(attempt.c.tenant == tenant, attempt.c.response_id == response_id)
                .order_by(attempt.c.started_at, attempt.c.id)
            )
            return [_show(dict(row)) for row in found.mappings()]

        return self._db.read(work)


def _show(row: Mapping[str, Any]) -> JSON:
    usage = row["usage"]
    return {**row, "usage": None if usage is None else loads_lenient(bytes(usage))}
