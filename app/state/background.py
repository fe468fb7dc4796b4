"""Background responses as a queue: the row itself is queue entry, lease and truth.

A row is *due* when it is queued, or when its lease ran out and it may be run again:
nothing was shown yet, and it was handed over or died fewer than three times. Claiming
is one conditional UPDATE; every later write is guarded by the fence that the claim
gave out. The database's clock decides about leases.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, or_, select, update

from app.canonical.record import record
from app.errors import GatewayError
from app.responses_form.errors import INTERNAL, SHUTDOWN
from app.responses_form.events import FIRST_NUMBER
from app.state import event_rows, rows
from app.state.items import pack
from app.state.leases import LEASE_SECONDS, MAX_ATTEMPTS
from app.state.records import JSON, Fence, NewResponse
from app.state.signals import Signals
from app.state.store import insert_new_response
from app.state.tables import RUNNING, AnyRow, db_now, response
from app.state.termination import terminate
from app.state.upserts import run
from app.state.wakeups import QUEUE
from app.wire.json import loads_lenient

QUEUE_MAX: Final = 1_000
_RETRY_AFTER: Final = 10


@record
class Work:
    """A claimed background response: all that is needed to run it for its owner.

    The log goes on at number ``next_number``; ``started`` says that an earlier attempt
    wrote ``response.in_progress`` already. ``object`` is the stored snapshot.
    """

    id: str
    tenant: str
    fence: Fence
    request: JSON
    headers: dict[str, str]
    object: JSON
    extra: JSON
    stream: bool
    next_number: int
    started: bool
    key_id: str | None
    mount: str | None
    api_version: str | None
    parent_id: str | None
    conversation_id: str | None
    conversation_head: int | None
    realm: str | None


class Queue:
    """The background responses of all tenants, as work to be done."""

    def __init__(self, signals: Signals, *, lease: float = LEASE_SECONDS, limit: int = QUEUE_MAX) -> None:
        self._signals = signals
        self._db = signals.db
        self._lease = lease
        self._limit = limit

    def enqueue(self, new: NewResponse) -> None:
        """Store a queued response and wake a runner.

        Raises 429 ``rate_limited`` when the caller's key has ``limit`` queued ones.
        """
        packed = pack(new.input)

        def work(connection: Connection) -> None:
            _check_room(connection, new, self._limit)
            insert_new_response(connection, new, packed, None)

        self._signals.write(work, [QUEUE, new.id], idempotent=True)

    def claim(self, limit: int, *, but_for: Collection[str] = ()) -> list[Work]:
        """Take at most ``limit`` due responses under leases of this process.

        Tenants take turns: first comes whoever has the fewest running or taken before, then
        the oldest. ``but_for`` names tenants that get nothing this time.
        """
        if not self._db.read(lambda connection: _is_any_due(connection, but_for)):
            return []
        condition = and_(_due(), response.c.tenant.not_in(but_for)) if but_for else _due()
        return self._db.write(lambda connection: self._claim(connection, limit, condition))

    def renew(self, fences: Mapping[str, Fence]) -> None:
        """Renew the leases of running work, as far as it is still this process's."""

        def work(connection: Connection) -> None:
            for some in rows.chunks(list(fences)):
                connection.execute(
                    update(response)
                    .where(
                        response.c.id.in_(some),
                        RUNNING,
                        response.c.lease_owner == self._db.owner,
                        ~response.c.cancel_requested,
                    )
                    .values(lease_until=db_now() + self._lease)
                )

        self._db.write(work)

    def lost(self, fences: Mapping[str, Fence]) -> dict[str, str]:
        """Return which running work must stop, and why: ``cancelled`` or ``server_lost``."""

        def work(connection: Connection) -> dict[str, str]:
            found: dict[str, AnyRow] = {}
            for some in rows.chunks(list(fences)):
                statement = select(*_HELD).where(response.c.id.in_(some))
                found.update((row.id, row) for row in connection.execute(statement))
            reasons = ((one, _abort_reason(found.get(one), fence)) for one, fence in fences.items())
            return {one: reason for one, reason in reasons if reason is not None}

        return self._db.read(work)

    def release(self, response_id: str, fence: Fence) -> None:
        """Hand work over at shutdown: due at once for anybody, or failed when output was shown."""

        def work(connection: Connection) -> None:
            row = _lock(connection, response_id, fence)
            if row is None:
                return
            if row.shown:
                terminate(connection, row, "failed", SHUTDOWN)
                return
            connection.execute(
                update(response).where(response.c.id == response_id).values(lease_owner=None, lease_until=0.0)
            )

        self._signals.write(work, [QUEUE, response_id], idempotent=True)

    def fail(self, response_id: str, fence: Fence, error: Mapping[str, str] = INTERNAL) -> None:
        """End work whose runner had an error of its own: failed, with what was shown.

        Does nothing when the work ended properly or is not this fence's any more.
        """
        if not self._db.read(lambda connection: _holds(connection, response_id, fence)):
            return

        def work(connection: Connection) -> None:
            row = _lock(connection, response_id, fence)
            if row is not None:
                terminate(connection, row, "failed", error)

        self._signals.write(work, [response_id], idempotent=True)

    def waiting(self) -> int:
        """Count what is queued, for metrics and readiness."""
        return self._db.read(
            lambda connection: connection.execute(
                select(func.count())
                .select_from(response)
                .where(RUNNING, response.c.background, response.c.status == "queued")
            ).scalar_one()
        )

    def running(self) -> tuple[float | None, dict[str, int]]:
        """Return when the oldest queued response was made, and how many run by worker.

        Work whose worker is gone counts as nobody's, under ``""``, until somebody takes it.
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

    def _claim(self, connection: Connection, limit: int, condition: ColumnElement[bool]) -> list[Work]:
        ranked = _turns().subquery()
        due = (
            select(response.c.id)
            .join(ranked, ranked.c.id == response.c.id)
            .where(condition)
            .order_by(ranked.c.turn, response.c.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True, of=response)
            .cte("due")
        )
        claimed = connection.execute(
            update(response)
            .where(response.c.id.in_(select(due.c.id)))
            .values(
                status="in_progress",
                attempt=response.c.attempt + 1,
                lease_owner=self._db.owner,
                lease_until=db_now() + self._lease,
            )
            .returning(*response.c)
        ).all()
        ordered = sorted(claimed, key=lambda row: row.created_at)
        return [_work(connection, row) for row in ordered]


def _due() -> Any:
    """Queued, or run out and harmless to run again."""
    handed_over = response.c.lease_owner.is_(None)
    again = and_(
        response.c.lease_until < db_now(),
        ~response.c.shown,
        or_(handed_over, response.c.attempt < MAX_ATTEMPTS),
    )
    return and_(
        RUNNING,
        response.c.background,
        ~response.c.cancel_requested,
        or_(response.c.status == "queued", again),
    )


def _turns() -> Select[*tuple[Any, ...]]:
    """Number each tenant's background work: what runs first, then what waits, by age."""
    order = (case((_due(), 1), else_=0), response.c.created_at)
    turn = func.row_number().over(partition_by=response.c.tenant, order_by=order)
    return select(response.c.id, turn.label("turn")).where(RUNNING, response.c.background)


def _is_any_due(connection: Connection, but_for: Collection[str]) -> bool:
    if but_for:
        found = connection.execute(_first_due().where(response.c.tenant.not_in(but_for)))
    else:  # every second of an idle process
        found = run(connection, _first_due(), {})
    return found.fetchone() is not None


@cache
def _first_due() -> Any:
    return select(response.c.id).where(_due()).limit(1)


_HELD: Final = (
    response.c.id,
    response.c.status,
    response.c.lease_owner,
    response.c.attempt,
)


def _abort_reason(row: AnyRow | None, fence: Fence) -> str | None:
    if row is None or row.status == "cancelled":
        return "cancelled"
    held = (row.lease_owner, row.attempt) == (fence.owner, fence.attempt)
    return None if held else "server_lost"


def _holds(connection: Connection, response_id: str, fence: Fence) -> bool:
    statement = select(response.c.id).where(response.c.id == response_id, *rows.GUARD)
    return connection.execute(statement, rows.fence_parameters(fence)).first() is not None


def _lock(connection: Connection, response_id: str, fence: Fence) -> AnyRow | None:
    """Return the locked row when ``fence`` may still write to it."""
    statement = select(response).where(response.c.id == response_id, *rows.GUARD).with_for_update()
    return connection.execute(statement, rows.fence_parameters(fence)).first()


def _check_room(connection: Connection, new: NewResponse, limit: int) -> None:
    queued = (
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
    count = connection.execute(select(func.count()).select_from(queued)).scalar_one()
    if count >= limit:
        raise GatewayError(
            "rate_limited",
            f"Too many background responses are queued for this key; the limit is {limit}.",
            retry_after=_RETRY_AFTER,
        )


def _work(connection: Connection, row: AnyRow) -> Work:
    logged = event_rows.read(connection, row.id, after=FIRST_NUMBER - 1) if row.stream else []
    extra = loads_lenient(row.extra)
    return Work(
        id=row.id,
        tenant=row.tenant,
        fence=Fence(row.lease_owner, row.attempt),
        request={} if row.request is None else loads_lenient(row.request),
        headers=loads_lenient(row.headers),
        object=loads_lenient(row.object),
        extra=extra,
        stream=row.stream,
        next_number=_next_number(logged),
        started=bool(logged),
        key_id=row.key_id,
        mount=row.mount,
        api_version=row.api_version,
        parent_id=row.parent_id,
        conversation_id=row.conversation_id,
        conversation_head=extra.get("conversation_head"),
        realm=row.realm,
    )


def _next_number(logged: Sequence[JSON]) -> int:
    return int(logged[-1]["sequence_number"]) + 1 if logged else FIRST_NUMBER
