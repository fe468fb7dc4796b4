"""Background responses as a queue.

A response is due when it is queued, or when its lease ran out and it may be run again: no output was shown yet, and it
was handed over, or its process died for less than the third time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, and_, case, func, or_, select, update

from app.canonical.record import record
from app.errors import GatewayError
from app.responses_form.errors import INTERNAL, SHUTDOWN
from app.responses_form.events import FIRST_NUMBER
from app.state import event_log, rows
from app.state.database import Database
from app.state.items import pack_aside
from app.state.leased_rows import LeasedRows, QueueTable, is_held
from app.state.leases import LEASE_SECONDS, MAX_ATTEMPTS
from app.state.records import JSON, Fence, LeasedWork, NewResponse
from app.state.store import insert_new_response
from app.state.tables import RUNNING, AnyRow, db_now, response
from app.state.termination import terminate
from app.state.wakeups import QUEUE
from app.wire.json import loads_lenient

QUEUE_MAX: Final = 1_000
_RETRY_AFTER: Final = 10


@record
class Work(LeasedWork):
    """A claimed background response: all that is needed to run it for its owner.

    The next event of its log has the number ``next_number``; ``started`` says that an earlier attempt
    wrote ``response.in_progress`` already. ``object`` is the response object as it was stored.
    """

    request: JSON
    headers: dict[str, str]
    object: JSON
    extra: JSON
    stream: bool
    next_number: int
    started: bool
    key_id: str | None
    mount: str | None


class Queue(LeasedRows[Work]):
    """The background responses of all tenants, as work to be done."""

    def __init__(self, db: Database, *, lease: float = LEASE_SECONDS, limit: int = QUEUE_MAX) -> None:
        super().__init__(db, _TABLE, lease=lease)
        self._limit = limit

    def enqueue(self, new: NewResponse) -> None:
        """Store a queued response and wake a runner.

        Raises ``rate_limited`` (429) when ``limit`` responses of the caller's key are queued.
        """
        content = pack_aside(new.input)

        def work(connection: Connection) -> None:
            _check_room(connection, new, self._limit)
            insert_new_response(connection, new, content, None)

        self._db.write(work, [QUEUE, new.id], idempotent=True)

    def release(self, response_id: str, fence: Fence) -> None:
        """Hand work over at shutdown: any process may claim it at once. Where output was shown it ends as failed."""

        def work(connection: Connection) -> None:
            row = _lock(connection, response_id, fence)
            if row is not None and row.shown:
                terminate(connection, row, "failed", SHUTDOWN)
            elif row is not None:
                statement = update(response).where(response.c.id == response_id)
                connection.execute(statement.values(lease_owner=None, lease_until=0.0))

        self._db.write(work, [QUEUE, response_id], idempotent=True)

    def fail(self, response_id: str, fence: Fence, error: Mapping[str, str] = INTERNAL) -> None:
        """End work as failed, with the output that was shown, because its runner had an error of its own.

        Does nothing when the work ended properly or the fence no longer holds.
        """

        def work(connection: Connection) -> None:
            row = _lock(connection, response_id, fence)
            if row is not None:
                terminate(connection, row, "failed", error)

        if self._db.read(lambda connection: _select_held(connection, response_id, fence).first()):
            self._db.write(work, [response_id], idempotent=True)

    def count_queued(self) -> int:
        """Return how many responses are queued, for metrics and readiness."""
        return self._db.fetch_value(
            select(func.count())
            .select_from(response)
            .where(RUNNING, response.c.background, response.c.status == "queued")
        )

    def running(self) -> tuple[float | None, dict[str, int]]:
        """Return when the oldest queued response was created (Unix seconds), and how many run in each worker.

        Work whose worker is gone is counted under ``""`` until another worker claims it.
        """

        def work(connection: Connection) -> tuple[float | None, dict[str, int]]:
            ours = (RUNNING, response.c.background)
            oldest = select(func.min(response.c.created_at)).where(*ours, response.c.status == "queued")
            owner = case((response.c.lease_until < db_now(), ""), else_=response.c.lease_owner)
            by_worker = (
                select(func.coalesce(owner, "").label("worker"), func.count().label("running"))
                .where(*ours, response.c.status == "in_progress")
                .group_by("worker")
            )
            counts = {row.worker: row.running for row in connection.execute(by_worker)}
            return connection.execute(oldest).scalar_one(), counts

        return self._db.read(work)

    def _begin(self, connection: Connection, row: AnyRow) -> Work:
        events = event_log.read(connection, row.id, after=FIRST_NUMBER - 1) if row.stream else []
        return Work(
            id=row.id,
            tenant=row.tenant,
            fence=Fence(row.lease_owner, row.attempt),
            request={} if row.request is None else loads_lenient(row.request),
            headers=loads_lenient(row.headers),
            object=loads_lenient(row.object),
            extra=loads_lenient(row.extra),
            stream=row.stream,
            next_number=int(events[-1]["sequence_number"]) + 1 if events else FIRST_NUMBER,
            started=bool(events),
            key_id=row.key_id,
            mount=row.mount,
        )

    def _stop_reason(self, row: AnyRow | None, fence: Fence) -> str | None:
        if row is None or row.status == "cancelled":
            return "cancelled"
        return None if is_held(row, fence) else "server_lost"


_AGAIN: Final = and_(
    response.c.lease_until < db_now(),
    ~response.c.shown,
    or_(response.c.lease_owner.is_(None), response.c.attempt < MAX_ATTEMPTS),
)
_TABLE: Final = QueueTable(
    response,
    due=and_(
        RUNNING,
        response.c.background,
        ~response.c.cancel_requested,
        or_(response.c.status == "queued", _AGAIN),
    ),
    counted=and_(RUNNING, response.c.background),
    renewable=and_(RUNNING, ~response.c.cancel_requested),
    claimed_status="in_progress",
)


def _select_held(connection: Connection, response_id: str, fence: Fence, *, lock: bool = False) -> Any:
    """Select the row if ``fence`` may still write to it."""
    query = select(response).where(response.c.id == response_id, *rows.GUARD)
    return connection.execute(query.with_for_update() if lock else query, rows.fence_parameters(fence))


def _lock(connection: Connection, response_id: str, fence: Fence) -> AnyRow | None:
    return _select_held(connection, response_id, fence, lock=True).first()


def _check_room(connection: Connection, new: NewResponse, limit: int) -> None:
    rows = (
        select(response.c.id)
        .where(
            RUNNING,
            response.c.status == "queued",
            response.c.tenant == new.tenant,
            response.c.key_id.is_not_distinct_from(new.key_id),
        )
        .limit(limit)
        .subquery()
    )
    count = connection.execute(select(func.count()).select_from(rows)).scalar_one()
    if count >= limit:
        raise GatewayError(
            "rate_limited",
            f"Too many background responses are queued for this key; the limit is {limit}.",
            retry_after=_RETRY_AFTER,
        )
