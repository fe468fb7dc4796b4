"""Batches as work: one leased row with a cursor, and the results of the lines before the cursor.

Every write moves the cursor together with the results, under the fence of the claim. A line that was in flight when its
process died is begun again, as often as the counts of ``in_flight`` allow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, and_, case, or_, select, update

from app.canonical.record import record
from app.state import files
from app.state.database import Database
from app.state.leased_rows import LeasedRows, QueueTable, is_held
from app.state.records import JSON, Fence, LeasedWork, NewFile
from app.state.remote_batches import PARKED, RemoteBatch, lease_conditions, remote_batch_of
from app.state.tables import BATCH_RUNNING, AnyRow, batch, db_now
from app.state.wakeups import QUEUE
from app.wire.json import dumps, loads_lenient

_OUTPUT: Final = "batch_output"


class Result(NamedTuple):
    """The result of a line: whether it is an answer, and its line of the output or error file."""

    good: bool
    text: str


@record
class Lookahead:
    """The lines past the cursor: how often each line in flight was begun, and the results that wait until the lines
    before them are done. Both are by line number."""

    in_flight: Mapping[int, int]
    waiting: Mapping[int, Result]


@record
class BatchWork(LeasedWork):
    """A claimed batch.

    ``line`` and ``position`` are the cursor: the number of lines that are done, and the byte at which the next one
    begins. ``left`` are the seconds until the batch expires, ``age`` the seconds since it was created, ``window`` the
    completion window as its owner wrote it. ``remote`` is the batch at the provider that runs this one, None where the
    gateway runs it, or may; ``is_local`` says that this is decided.
    """

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
    remote: RemoteBatch | None = None
    is_local: bool = False


@record
class Progress:
    """Lines that are done: the cursor before (``first``) and after them, how many succeeded and failed, and their lines
    of the output and error file."""

    first: int
    line: int
    position: int
    completed: int
    failed: int
    output: bytes
    errors: bytes


class BatchQueue(LeasedRows[BatchWork]):
    """The batches of all tenants as work to be done. A batch at a provider is work, too, each time it is polled."""

    def __init__(self, db: Database) -> None:
        super().__init__(db, _TABLE)

    def release(self, batch_id: str, fence: Fence) -> None:
        """Hand a batch over: any process may claim it at once."""
        values = {"lease_owner": None, "lease_until": None}
        self._db.write(
            lambda connection: connection.execute(_guarded_update(batch_id, fence).values(values)), [QUEUE]
        )

    def fail(self, batch_id: str, fence: Fence) -> None:
        """End a batch as failed because its runner had an error of its own."""
        error = {
            "code": "internal_error",
            "message": "The batch could not be run.",
            "param": None,
            "line": None,
        }
        self.finish(batch_id, fence, "failed", [error])

    def mark(self, work: BatchWork, lookahead: Lookahead) -> bool:
        """Store the state of the lines past the cursor; return false when the fence no longer holds."""
        statement = _guarded_update(work.id, work.fence).values(**_lookahead_columns(lookahead))
        return self._db.execute(statement) == 1

    def advance(self, work: BatchWork, progress: Progress, lookahead: Lookahead) -> bool:
        """Move the cursor past lines that are done and append their results to the files.

        Doing it twice does it once. Returns false when the fence no longer holds.
        """

        def run(connection: Connection) -> bool:
            statement = _guarded_update(work.id, work.fence).values(
                line=progress.line,
                position=progress.position,
                completed=batch.c.completed + progress.completed,
                failed=batch.c.failed + progress.failed,
                **_lookahead_columns(lookahead),
            )
            if connection.execute(statement.where(batch.c.line == progress.first)).rowcount != 1:
                return _is_at(connection, work, progress.line)
            row = connection.execute(select(batch).where(batch.c.id == work.id)).one()
            _append(connection, row, "output", progress.output)
            _append(connection, row, "error", progress.errors)
            return True

        return self._db.write(run)

    def finish(self, batch_id: str, fence: Fence, status: str, errors: list[JSON] | None = None) -> bool:
        """End a batch as ``status`` and show its files; return false, without a change, when the fence no longer
        holds."""

        def run(connection: Connection) -> bool:
            query = select(batch).where(batch.c.id == batch_id, *lease_conditions(fence)).with_for_update()
            row = connection.execute(query).first()
            if row is not None:
                _end(connection, row, status, errors)
            return row is not None

        return self._db.write(run, [batch_id])

    def _begin(self, connection: Connection, row: AnyRow) -> BatchWork:
        members = loads_lenient(bytes(row.body))
        if "in_progress_at" not in members:  # the first claim
            body = dumps({**members, "in_progress_at": int(row.now)})
            connection.execute(update(batch).where(batch.c.id == row.id).values(body=body))
        waiting = [] if row.waiting is None else loads_lenient(bytes(row.waiting))
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
            waiting={line: Result(good, text) for line, good, text in waiting},
            cancelled=row.cancel_requested,
            left=row.ends_at - row.now,
            age=row.now - row.created_at,
            window=members["completion_window"],
            remote=remote_batch_of(members),
            is_local=bool(members.get("here")),
        )

    def _stop_reason(self, row: AnyRow | None, fence: Fence) -> str | None:
        if row is None or not is_held(row, fence):
            return "server_lost"
        return "cancelled" if row.cancel_requested else None


_DUE: Final = and_(BATCH_RUNNING, or_(batch.c.lease_owner.is_(None), batch.c.lease_until <= db_now()))
_TABLE: Final = QueueTable(
    batch,
    due=_DUE,
    counted=and_(BATCH_RUNNING, or_(_DUE, batch.c.lease_owner != PARKED)),
    renewable=BATCH_RUNNING,
    claimed_status=case((batch.c.status == "validating", "in_progress"), else_=batch.c.status),
)


def _guarded_update(batch_id: str, fence: Fence) -> Any:
    return update(batch).where(batch.c.id == batch_id, *lease_conditions(fence))


def _is_at(connection: Connection, work: BatchWork, line: int) -> bool:
    """Tell whether the cursor is at ``line`` already, moved by a write that was reported as failed."""
    statement = select(batch.c.line).where(batch.c.id == work.id, *lease_conditions(work.fence))
    return connection.execute(statement).scalar() == line


def _lookahead_columns(lookahead: Lookahead) -> dict[str, Any]:
    counts = {str(line): count for line, count in lookahead.in_flight.items()}
    waiting = dumps([[line, *result] for line, result in lookahead.waiting.items()])
    return {"in_flight": json.dumps(counts), "waiting": waiting if lookahead.waiting else None}


def _append(connection: Connection, row: AnyRow, kind: str, data: bytes) -> None:
    """Append to the ``output`` or ``error`` file of a batch; the first bytes create the file."""
    if not data:
        return
    file_id, size = getattr(row, f"{kind}_file_id"), getattr(row, f"{kind}_bytes")
    if size == 0:
        files.begin(connection, _new_file(row, kind))
    files.append_bytes(connection, file_id, size, data)
    values = {f"{kind}_bytes": size + len(data)}
    connection.execute(update(batch).where(batch.c.id == row.id).values(values))


def _new_file(row: AnyRow, kind: str) -> NewFile:
    seconds = loads_lenient(bytes(row.body)).get("output_keeps")
    members = {"filename": f"{row.id}_{kind}.jsonl"}
    return NewFile(getattr(row, f"{kind}_file_id"), row.tenant, _OUTPUT, members, seconds)


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
