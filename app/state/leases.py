"""Leases: which process works on a response, and the end of responses whose process died.

The process that serves a synchronous response renews the lease in its row. A process that dies stops renewing, and any
other process's sweep ends the row as failed, ``server_lost``. The sweep does the same to background work that may not be
run again, because output was shown or three attempts died. All times are of the database's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Table, and_, or_, select, update

from app.responses_form.errors import SERVER_LOST
from app.state.database import Database
from app.state.loops import PeriodicTask
from app.state.rows import chunks
from app.state.schema import LEASE_SECONDS as LEASE_SECONDS
from app.state.tables import RUNNING, db_now, response
from app.state.termination import terminate
from app.state.upserts import run

SWEEP_SECONDS: Final = 2.0
MAX_ATTEMPTS: Final = 3
_SWEPT_AT_ONCE: Final = 50

#: The condition of rows whose lease ran out and that nobody may run again.
_LAPSED: Final = and_(
    RUNNING,
    response.c.lease_until < db_now(),
    or_(
        ~response.c.background,
        response.c.shown,
        and_(response.c.attempt >= MAX_ATTEMPTS, response.c.lease_owner.is_not(None)),
    ),
)
_SELECT_LAPSED: Final = select(response.c.id).where(_LAPSED).limit(_SWEPT_AT_ONCE)


class LeaseRenewer(PeriodicTask):
    """Renews this process's leases on synchronous responses, and sweeps for all processes; ``lease`` is in seconds."""

    def __init__(self, db: Database, *, lease: float = LEASE_SECONDS) -> None:
        super().__init__(self.renew_and_sweep, SWEEP_SECONDS, "leases not renewed")
        self._db = db
        self._lease = lease
        self._ids: set[str] = set()
        self._is_clean = False
        """Whether every lease had ended before the last sweep, so that there is nothing to sweep until somebody writes."""

    def add(self, response_id: str) -> None:
        """Renew the lease of a response from now on."""
        self._ids.add(response_id)

    def remove(self, response_id: str) -> None:
        """Let the lease of a response run out."""
        self._ids.discard(response_id)

    def __contains__(self, response_id: str) -> bool:
        """Tell whether this process renews the lease of a response, which is then a synchronous one."""
        return response_id in self._ids

    def renew_and_sweep(self) -> None:
        """Renew once and sweep once."""
        db, ids = self._db, list(self._ids)
        if ids:
            db.write(lambda c: renew_leases(c, response, ids, RUNNING, db.owner, self._lease))
        is_quiet = db.is_quiet(max(self._lease, LEASE_SECONDS) + 2 * SWEEP_SECONDS)
        is_settled = db.clock.is_settled()
        if is_settled and not (is_quiet and self._is_clean):
            sweep(self._db)
        self._is_clean = is_quiet and is_settled


def renew_leases(
    connection: Connection,
    table: Table,
    ids: Sequence[str],
    condition: Any,
    owner: str,
    seconds: float,
) -> None:
    """Let the leases that ``owner`` has on rows of ``table`` end ``seconds`` from now, where ``condition`` holds."""
    for some in chunks(ids):
        mine = (table.c.id.in_(some), condition, table.c.lease_owner == owner)
        connection.execute(update(table).where(*mine).values(lease_until=db_now() + seconds))


def sweep(db: Database) -> int:
    """End the lapsed rows as failed, ``server_lost``, with the output that was shown; return how many."""
    keys: list[Any] = db.read(lambda connection: run(connection, _SELECT_LAPSED, {}).fetchall())
    return sum(
        db.write(lambda connection, key=key: _end_lost(connection, key), [key])  # type: ignore[misc]
        for (key,) in keys
    )


def _end_lost(connection: Connection, response_id: str) -> bool:
    """Look again under the row's lock, because its owner may have come back, and end the row."""
    row = connection.execute(
        select(response).where(response.c.id == response_id, _LAPSED).with_for_update(skip_locked=True)
    ).first()
    return row is not None and terminate(connection, row, "failed", SERVER_LOST)
