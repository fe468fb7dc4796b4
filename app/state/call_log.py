"""The call log: a row for each call, as plain JSON for administrators; its sums are in ``sums``.

Request and answer of a call may be stored beside its row, for some days. They are sealed whatever ``SLUICE_ENCRYPT``
says, under the key of the state. Tests: tests/state/test_call_log.py, tests/surfaces/test_bodies.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sqlalchemy import Column, ColumnElement, Connection, Double, Index, Table, Text, insert, select

from app.errors import GatewayError
from app.state import key_names, rollups, sums
from app.state.call_rows import CallRow, QueuedRow, members_of, row_of
from app.state.call_rows import Members as Members
from app.state.crypto import Sealer
from app.state.database import Database
from app.state.deletion import delete_all
from app.state.ids import storable
from app.state.live_events import topics_of
from app.state.lookup import Page, Span, by_key, read_page, require_row, within
from app.state.sums import Sums
from app.state.tables import CALL_FILTERS, call_log, metadata
from app.state.upserts import run_all_values
from app.wire.json import dumps, loads_lenient

FILTERS: Final = (*CALL_FILTERS, "response_id", "request_id")
_INSERT: Final = insert(call_log)
_EXPORT_PAGE: Final = 500
_ROWS_AT_ONCE: Final = 5_000
_BODIES_AT_ONCE: Final = 500

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


class CallLog:
    """Writes, lists, sums and purges the rows of all tenants."""

    def __init__(self, db: Database, sealer: Sealer) -> None:
        self._db = db
        self._sealer = sealer
        self._recent = rollups.Recent()

    def write(self, rows: Sequence[Members], bodies: Mapping[str, Members] | None = None) -> None:
        """Write calls as ``write_rows`` does, each as it is shown."""
        self.write_rows(list(map(row_of, rows)), bodies)

    def write_rows(
        self,
        entries: Sequence[QueuedRow],
        bodies: Mapping[str, Members] | None = None,
        *,
        is_again: bool = False,
    ) -> None:
        """Write rows and add them to the sums of their hours, once and all or none; notify whoever watches.

        ``bodies`` are requests and answers of some of the calls, by call id. ``is_again``: the same rows may be there."""
        rows = [row for row, _ in entries]
        additions = sums.of(entries)
        body_rows = [
            {
                "call_id": row.id,
                "created_at": row.created_at,
                "tenant": row.tenant,
                "sealed": self._sealer.seal(dumps(dict(bodies[row.id])), row.id.encode()),
            }
            for row in rows
            if bodies and row.id in bodies
        ]

        def work(connection: Connection) -> None:
            nonlocal is_again
            if is_again and connection.execute(by_key(call_log, rows[0].id)).first() is not None:
                return  # the first try was committed, though the database said that it failed
            is_again = True
            run_all_values(connection, _INSERT, CallRow._fields, rows)
            if body_rows:
                connection.execute(insert(call_body), body_rows)
            sums.add(connection, additions)
            rollups.mark(connection, {hour for _, hour, _, _ in additions}, time.time())

        self._db.write(work, topics_of([row.id for row in rows]), idempotent=True)

    def get(self, call_id: str) -> Members:
        """Return one row; raises ``not_found``."""
        query = select(call_log).where(call_log.c.id == call_id)
        error = GatewayError("not_found", f"There is no call with the id '{call_id[:80]}'.")
        return members_of(self._db.read(lambda connection: require_row(connection, query, call_id, error)))

    def page(self, limit: int, after: str | None, filters: Members, span: Span) -> Page[Members]:
        """Return some rows, the newest first, that fit the filters, from and before the moments of ``span``."""
        return read_page(self._db, call_log, limit, after, members_of, *self._conditions(filters, span))

    def all(self, filters: Members, span: Span) -> Iterator[Members]:
        """Yield all rows that fit, the newest first, read page by page."""
        after: str | None = None
        more = True
        conditions = self._conditions(filters, span)
        while more:
            page = read_page(self._db, call_log, _EXPORT_PAGE, after, members_of, *conditions)
            yield from page.rows
            more, after = page.has_more, page.rows[-1]["id"] if page.rows else None

    def _conditions(self, filters: Members, span: Span) -> list[ColumnElement[bool]]:
        return [*key_names.conditions(self._db, call_log, filters), *within(call_log.c.created_at, span)]

    def usage(self, span: Span, *, detailed: bool = True) -> Iterator[tuple[int, Members, Sums]]:
        """Yield hour, members and sums of each group whose hour lies in ``span``."""
        return sums.read(self._db, span, detailed=detailed)

    def usage_by(
        self, span: Span, member: str, *, unit: int | None, fits: rollups.Fits | None = None
    ) -> Iterator[rollups.Group]:
        """Yield sums by one member alone, or of all calls; see ``rollups.read``."""
        return rollups.read(self._db, self._recent, span, member, unit=unit, fits=fits)

    def bodies(self, call_id: str) -> Members | None:
        """Return request and answer of a call; None where they are not stored, or the key that sealed them is gone."""
        if not storable(call_id):
            return None
        sealed = self._db.fetch_value(select(call_body.c.sealed).where(call_body.c.call_id == call_id))
        data = None if sealed is None else self._sealer.unseal(sealed, call_id.encode())
        return None if data is None else loads_lenient(data)

    def purge(self, older_than: float, most: int, bodies_older_than: float) -> int:
        """Delete rows older than ``older_than`` seconds, and the oldest rows beyond ``most``; return how many.

        Bodies are deleted with their row, or when they are older than ``bodies_older_than`` seconds."""
        beyond = select(call_log.c.created_at).order_by(call_log.c.created_at.desc()).offset(most).limit(1)
        limit = max(time.time() - older_than, self._db.fetch_value(beyond) or 0)
        bodies_limit = max(time.time() - bodies_older_than, limit)
        delete_all(self._db, call_body, call_body.c.created_at <= bodies_limit, _BODIES_AT_ONCE)
        return delete_all(self._db, call_log, call_log.c.created_at <= limit, _ROWS_AT_ONCE)
