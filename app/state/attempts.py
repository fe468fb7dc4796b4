"""Attempts: one row for each, written before the upstream is called.

A row that never ended shows that a process died while an upstream may have been working, and charging. The row of the
ledger follows from the attempt's id, so ending an attempt twice is counted once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import select, update

from app.state.database import Repository
from app.state.records import JSON, NewAttempt
from app.state.tables import attempt, db_now
from app.state.upserts import insert_once
from app.wire.json import dumps, loads_lenient


class Attempts(Repository):
    """The attempts of all tenants."""

    def begin(self, new: NewAttempt) -> None:
        """Write the row of an attempt, with the status ``running``."""
        row = {**asdict(new), "status": "running", "started_at": db_now()}
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
        """Store how an attempt ended (``ok``, ``failed``, ``cancelled`` …); a second end changes nothing."""
        running = (attempt.c.id == attempt_id, attempt.c.tenant == tenant, attempt.c.ended_at.is_(None))
        statement = update(attempt).where(*running)
        self._db.execute(
            statement.values(
                status=status,
                error_kind=error_kind,
                usage=None if usage is None else dumps(dict(usage)),
                http_status=http_status,
                latency_ms=latency_ms,
                ended_at=db_now(),
            ),
            idempotent=True,
        )

    def of_response(self, tenant: str, response_id: str) -> list[JSON]:
        """Return a response's attempts in order, each as its row with ``usage`` parsed."""
        mine = (attempt.c.tenant == tenant, attempt.c.response_id == response_id)
        query = select(attempt).where(*mine).order_by(attempt.c.started_at, attempt.c.id)
        return [_show(row._mapping) for row in self._db.fetch_all(query)]


def _show(row: Mapping[str, Any]) -> JSON:
    usage = row["usage"]
    return {**row, "usage": None if usage is None else loads_lenient(bytes(usage))}
