"""The call log: a row for each call, as plain JSON that an administrator sees; its sums are in ``sums``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, insert, select

from app.errors import GatewayError
from app.state import call_bodies, rollups, sums
from app.state.call_bodies import CallBodies
from app.state.crypto import Sealer
from app.state.deletion import delete_all
from app.state.listing import Page, Span, read_page, within
from app.state.live_events import topics_of
from app.state.lookup import require_row
from app.state.signals import Signals
from app.state.sums import Sums
from app.state.tables import CALL_FILTERS, call_log
from app.state.upserts import run_all
from app.wire.json import dumps_ascii, loads_lenient

Members = Mapping[str, Any]

FILTERS: Final = (*CALL_FILTERS, "response_id", "request_id")
_COLUMNS: Final = ("id", "created_at", *FILTERS)
_INSERT: Final = insert(call_log)
_EXPORT_PAGE: Final = 500
_PURGED_AT_ONCE: Final = 5_000


class CallLog:
    """Writes, lists, sums and purges the rows."""

    def __init__(self, signals: Signals, sealer: Sealer) -> None:
        self._signals = signals
        self._db = signals.db
        self._bodies = CallBodies(signals.db, sealer)
        self._recent = rollups.Recent()

    def write(self, rows: Sequence[Members], bodies: Mapping[str, Members] | None = None) -> None:
        """Write rows and add them to the sums of their hours, all or none; notify whoever watches.

        ``bodies`` are requests and answers of some of the calls, by call id."""
        values = [{**{n: row.get(n) for n in _COLUMNS}, "body": dumps_ascii(row)} for row in rows]
        added = sums.of(rows)
        body_rows = self._bodies.rows({row["id"]: row for row in rows}, bodies) if bodies else []

        def work(connection: Connection) -> None:
            run_all(connection, _INSERT, values)
            call_bodies.add(connection, body_rows)
            sums.add(connection, added)
            rollups.mark(connection, {hour for _, hour, _, _ in added}, time.time())

        self._signals.write(work, topics_of([row["id"] for row in rows]))

    def get(self, call_id: str) -> Members:
        """Return one row; raises ``not_found``."""
        query = select(call_log.c.body).where(call_log.c.id == call_id)
        error = GatewayError("not_found", f"There is no call with the id '{call_id[:80]}'.")
        return _members(self._db.read(lambda connection: require_row(connection, query, call_id, error)))

    def page(self, limit: int, after: str | None, filters: Members, span: Span) -> Page[Members]:
        """Return some rows, the newest first, that fit the filters, from and before the moments of ``span``."""
        named = (call_log.c[name] == value for name, value in filters.items())
        conditions = [*named, *within(call_log.c.created_at, span)]
        return read_page(self._db, call_log, limit, after, _members, *conditions)

    def all(self, filters: Members, span: Span) -> Iterator[Members]:
        """Yield all rows that fit, the newest first, read page by page."""
        after: str | None = None
        more = True
        while more:
            page = self.page(_EXPORT_PAGE, after, filters, span)
            yield from page.rows
            more, after = page.has_more, page.rows[-1]["id"] if page.rows else None

    def usage(self, span: Span, *, detailed: bool = True) -> Iterator[tuple[int, Members, Sums]]:
        """Yield hour, members and sums of each group whose hour lies in ``span``."""
        return sums.read(self._db, span, detailed=detailed)

    def usage_by(
        self, span: Span, member: str, *, unit: int | None, only: str | None = None
    ) -> Iterator[rollups.Group]:
        """Yield sums by one member alone, or of all calls; see ``rollups.read``."""
        return rollups.read(self._db, self._recent, span, member, unit=unit, only=only)

    def bodies(self, call_id: str) -> Members | None:
        """Return request and answer of a call; None where they are not stored."""
        return self._bodies.get(call_id)

    def purge(self, older_than: float, most: int, bodies_older_than: float) -> int:
        """Delete rows older than ``older_than`` seconds, and the oldest rows beyond ``most``; return how many.

        Bodies are deleted with their row, or when they are older than ``bodies_older_than`` seconds."""
        beyond = select(call_log.c.created_at).order_by(call_log.c.created_at.desc()).offset(most).limit(1)
        limit = max(time.time() - older_than, self._db.fetch_value(beyond) or 0)
        self._bodies.purge(bodies_older_than, limit)
        return delete_all(self._db, call_log, call_log.c.created_at <= limit, _PURGED_AT_ONCE)


def _members(row: Any) -> Members:
    members: Members = loads_lenient(bytes(row.body))
    return members
