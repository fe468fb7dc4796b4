"""Batches as work: one leased row with a cursor, behind which results are written.

A claim takes a batch that nobody holds, or whose holder died; every later write is guarded by the
fence that the claim gave out, and moves the cursor together with the results. A line that was in
flight when a process died is begun again, as the counts of ``in_flight`` allow.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, or_, select, update

from app.canonical.record import record
from app.state import file_chunks, files
from app.state.batchhomes import PARKED, Home, home_of
from app.state.leases import LEASE_SECONDS
from app.state.records import JSON, Fence, NewFile
from app.state.rows import chunks
from app.state.signals import Signals
from app.state.tables import BATCH_RUNNING, AnyRow, batch, db_now
from app.state.upserts import run
from app.state.wakeups import QUEUE
from app.wire.json import dumps, loads_lenient

_OUTPUT: Final = "batch_output"


class Result(NamedTuple):
    """What a line came to: whether that was an answer, and its line of the output or error file."""

    good: bool
    text: str


@record
class Standing:
    """What is known of lines past the cursor: how often each was begun that is not done, and the results
    that wait for those of lines before them."""

    in_flight: Mapping[int, int]
    waiting: Mapping[int, Result]


@record
class BatchWork:
    """A claimed batch: where it stands, and for whom it is run. ``left`` are the seconds of its window, which its
    owner wrote as ``window``, ``age`` those since it was made. ``home`` is the provider that runs it, None where it runs here, or may: ``here`` says
    that this is settled."""

    id: str
    tenant: str
    fence: Fence
    key_id: str | None
    mount: str
    endpoint: str
    input_file_id: str
    line: int
    position: int
    in_flight: Mapping[int, int]
    waiting: Mapping[int, Result]
    cancelled: bool
    left: float
    age: float
    window: str
    home: Home | None = None
    here: bool = False


@record
class Progress:
    """Lines that are done: the cursor before and after them, how they ended, and what they leave behind."""

    first: int
    line: int
    position: int
    completed: int
    failed: int
    output: bytes
    errors: bytes


class BatchQueue:
    """The batches as work to be done; one that a provider runs is work, too, whenever it is looked at."""

    def __init__(self, signals: Signals, *, lease: float = LEASE_SECONDS) -> None:
        self._signals = signals
        self._db = signals.db
        self._lease = lease

    def claim(self, limit: int, *, but_for: Collection[str] = ()) -> list[BatchWork]:
        """Take at most ``limit`` batches under leases of this process, those of tenants in turn.

        ``but_for`` names tenants that get nothing this time."""
        if not self._db.read(lambda connection: _is_any_due(connection, but_for)):
            return []
        condition = and_(_due(), batch.c.tenant.not_in(but_for)) if but_for else _due()
        return self._db.write(lambda connection: self._claim(connection, limit, condition))

    def renew(self, fences: Mapping[str, Fence]) -> None:
        """Renew the leases of running batches, as far as they are still this process's."""

        def work(connection: Connection) -> None:
            for some in chunks(list(fences)):
                mine = (batch.c.id.in_(some), BATCH_RUNNING, batch.c.lease_owner == self._db.owner)
                until = db_now() + self._lease
                connection.execute(update(batch).where(*mine).values(lease_until=until))

        self._db.write(work)

    def lost(self, fences: Mapping[str, Fence]) -> dict[str, str]:
        """Return which running batches must stop, and why: ``cancelled`` or ``server_lost``."""

        def work(connection: Connection) -> dict[str, str]:
            found: dict[str, AnyRow] = {}
            columns = (batch.c.id, batch.c.lease_owner, batch.c.attempt, batch.c.cancel_requested)
            for some in chunks(list(fences)):
                rows = connection.execute(select(*columns).where(batch.c.id.in_(some)))
                found.update((row.id, row) for row in rows)
            reasons = ((one, _stop_reason(found.get(one), fence)) for one, fence in fences.items())
            return {one: reason for one, reason in reasons if reason is not None}

        return self._db.read(work)

    def release(self, batch_id: str, fence: Fence) -> None:
        """Hand a batch over: due at once for anybody."""
        values = {"lease_owner": None, "lease_until": None}
        self._signals.write(
            lambda connection: connection.execute(_guarded_update(batch_id, fence).values(values)), [QUEUE]
        )

    def fail(self, batch_id: str, fence: Fence) -> None:
        """End a batch whose runner had an error of its own."""
        errors = {
            "code": "internal_error",
            "message": "The batch could not be run.",
            "param": None,
            "line": None,
        }
        self.finish(batch_id, fence, "failed", [errors])

    def mark(self, work: BatchWork, standing: Standing) -> bool:
        """Write down how lines past the cursor stand; return false when the batch is not this fence's any more."""
        marked = _guarded_update(work.id, work.fence).values(**_past_cursor(standing))
        return self._db.write(lambda connection: connection.execute(marked).rowcount == 1)

    def advance(self, work: BatchWork, progress: Progress, standing: Standing) -> bool:
        """Move the cursor over lines that are done, and append what they leave; return false when the
        batch is not this fence's any more. What was done already is not done again."""

        def run(connection: Connection) -> bool:
            moved = _guarded_update(work.id, work.fence).values(
                line=progress.line,
                position=progress.position,
                completed=batch.c.completed + progress.completed,
                failed=batch.c.failed + progress.failed,
                **_past_cursor(standing),
            )
            if connection.execute(moved.where(batch.c.line == progress.first)).rowcount != 1:
                return _stands_at(connection, work, progress.line)
            row = connection.execute(select(batch).where(batch.c.id == work.id)).one()
            _append(connection, row, "output", progress.output)
            _append(connection, row, "error", progress.errors)
            return True

        return self._db.write(run)

    def finish(self, batch_id: str, fence: Fence, status: str, errors: list[JSON] | None = None) -> bool:
        """End a batch in ``status`` and show its files; return false, and do nothing, when it is not this
        fence's any more."""

        def run(connection: Connection) -> bool:
            locked = select(batch).where(batch.c.id == batch_id, *_lease_conditions(fence)).with_for_update()
            row = connection.execute(locked).first()
            if row is not None:
                _end(connection, row, status, errors)
            return row is not None

        return self._signals.write(run, [batch_id])

    def _claim(self, connection: Connection, limit: int, condition: ColumnElement[bool]) -> list[BatchWork]:
        ranked = _turns().subquery()
        due = (
            select(batch.c.id)
            .join(ranked, ranked.c.id == batch.c.id)
            .where(condition)
            .order_by(ranked.c.turn, batch.c.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True, of=batch)
            .cte("due")
        )
        claimed = connection.execute(
            update(batch)
            .where(batch.c.id.in_(select(due.c.id)))
            .values(
                status=case((batch.c.status == "validating", "in_progress"), else_=batch.c.status),
                attempt=batch.c.attempt + 1,
                lease_owner=self._db.owner,
                lease_until=db_now() + self._lease,
            )
            .returning(*batch.c, db_now().label("now"))
        ).all()
        for row in claimed:
            _begin(connection, row)
        return [_work(row) for row in sorted(claimed, key=lambda row: row.created_at)]


def _due() -> ColumnElement[bool]:
    free = or_(batch.c.lease_owner.is_(None), batch.c.lease_until < db_now())
    return and_(BATCH_RUNNING, free)


def _is_any_due(connection: Connection, but_for: Collection[str]) -> bool:
    if but_for:
        found = connection.execute(_first_due().where(batch.c.tenant.not_in(but_for)))
    else:  # every second of an idle process
        found = run(connection, _first_due(), {})
    return found.fetchone() is not None


@cache
def _first_due() -> Any:
    return select(batch.c.id).where(_due()).limit(1)


def _turns() -> Select[*tuple[Any, ...]]:
    """Number each tenant's batches: what runs first, then what waits, by age."""
    order = (case((_due(), 1), else_=0), batch.c.created_at)
    turn = func.row_number().over(partition_by=batch.c.tenant, order_by=order)
    awake = or_(_due(), batch.c.lease_owner != PARKED)
    return select(batch.c.id, turn.label("turn")).where(BATCH_RUNNING, awake)


def _lease_conditions(fence: Fence) -> tuple[Any, ...]:
    return (BATCH_RUNNING, batch.c.lease_owner == fence.owner, batch.c.attempt == fence.attempt)


def _guarded_update(batch_id: str, fence: Fence) -> Any:
    return update(batch).where(batch.c.id == batch_id, *_lease_conditions(fence))


def _stands_at(connection: Connection, work: BatchWork, line: int) -> bool:
    """Tell whether the cursor was moved already, by a write that said it had failed."""
    statement = select(batch.c.line).where(batch.c.id == work.id, *_lease_conditions(work.fence))
    return connection.execute(statement).scalar() == line


def _stop_reason(row: AnyRow | None, fence: Fence) -> str | None:
    if row is None or (row.lease_owner, row.attempt) != (fence.owner, fence.attempt):
        return "server_lost"
    return "cancelled" if row.cancel_requested else None


def _begin(connection: Connection, row: AnyRow) -> None:
    """Note when a batch began, at its first claim."""
    members = loads_lenient(bytes(row.body))
    if "in_progress_at" not in members:
        body = dumps({**members, "in_progress_at": int(row.now)})
        connection.execute(update(batch).where(batch.c.id == row.id).values(body=body))


def _work(row: AnyRow) -> BatchWork:
    members = loads_lenient(bytes(row.body))
    return BatchWork(
        id=row.id,
        tenant=row.tenant,
        fence=Fence(row.lease_owner, row.attempt),
        key_id=row.key_id,
        mount=row.mount,
        endpoint=members["endpoint"],
        input_file_id=row.input_file_id,
        line=row.line,
        position=row.position,
        in_flight={int(line): count for line, count in json.loads(row.in_flight).items()},
        waiting=_waiting_results(row),
        cancelled=row.cancel_requested,
        left=row.ends_at - row.now,
        age=row.now - row.created_at,
        window=members["completion_window"],
        home=home_of(members),
        here=bool(members.get("here")),
    )


def _past_cursor(standing: Standing) -> dict[str, Any]:
    counts = {str(line): count for line, count in standing.in_flight.items()}
    waiting = dumps([[line, *result] for line, result in standing.waiting.items()])
    return {"in_flight": json.dumps(counts), "waiting": waiting if standing.waiting else None}


def _waiting_results(row: AnyRow) -> dict[int, Result]:
    rows = [] if row.waiting is None else loads_lenient(bytes(row.waiting))
    return {line: Result(good, text) for line, good, text in rows}


def _append(connection: Connection, row: AnyRow, kind: str, data: bytes) -> None:
    """Append to one of a batch's files, which is begun with its first bytes."""
    if not data:
        return
    file_id, size = getattr(row, f"{kind}_file_id"), getattr(row, f"{kind}_bytes")
    if size == 0:
        files.begin(connection, _new_file(row, kind))
    file_chunks.append(connection, file_id, size, data)
    moved = {f"{kind}_bytes": size + len(data)}
    connection.execute(update(batch).where(batch.c.id == row.id).values(moved))


def _new_file(row: AnyRow, kind: str) -> NewFile:
    keeps = loads_lenient(bytes(row.body)).get("output_keeps")
    members = {"filename": f"{row.id}_{kind}.jsonl"}
    return NewFile(getattr(row, f"{kind}_file_id"), row.tenant, _OUTPUT, members, keeps)


def _end(connection: Connection, row: AnyRow, status: str, errors: list[JSON] | None) -> None:
    now = connection.execute(select(db_now())).scalar_one()
    members = loads_lenient(bytes(row.body))
    if errors is not None:
        members["errors"] = {"object": "list", "data": errors}
    if status == "completed":
        members["finalizing_at"] = int(now)
    members[f"{status}_at"] = int(now)
    values = {"status": status, "ended_at": now, "lease_owner": None, "lease_until": None}
    values |= {"in_flight": "{}", "waiting": None, "body": dumps(members)}
    connection.execute(update(batch).where(batch.c.id == row.id).values(values))
    for kind in ("output", "error"):
        if size := getattr(row, f"{kind}_bytes"):
            members = dict(_new_file(row, kind).members)
            files.make_ready(connection, getattr(row, f"{kind}_file_id"), size, members)
