"""Queues whose entries are rows: what background responses and batches have in common.

A row is queue entry and lease at once. It is *due* when nobody works on it. A claim is one UPDATE that gives the row to
this process for some seconds; every later write is guarded by the fence that the claim gave out. The database's clock
decides about leases. Tests: tests/state/test_background.py, tests/lifecycle/test_batches.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Table, and_, case, func, select, update

from app.state.database import Database
from app.state.leases import LEASE_SECONDS, renew_leases
from app.state.records import Fence, LeasedWork
from app.state.rows import chunks
from app.state.tables import AnyRow, db_now
from app.state.upserts import run

W = TypeVar("W", bound=LeasedWork)


class QueueTable(NamedTuple):
    """A table whose rows are work: which rows are due, which of them count when tenants take turns, which leases
    may be renewed, and the status that a claim sets."""

    table: Table
    due: ColumnElement[bool]
    counted: ColumnElement[bool]
    renewable: Any
    claimed_status: Any


class LeasedRows(ABC, Generic[W]):
    """The work of all tenants in one table; ``lease`` is in seconds."""

    def __init__(self, db: Database, queue: QueueTable, *, lease: float = LEASE_SECONDS) -> None:
        self._db = db
        self._queue = queue
        self._lease = lease
        self._first_due = select(queue.table.c.id).where(queue.due).limit(1)

    @abstractmethod
    def release(self, work_id: str, fence: Fence, /) -> None:
        """Hand work over, so that any process may claim it at once."""

    @abstractmethod
    def fail(self, work_id: str, fence: Fence, /) -> object:
        """End work whose runner had an error of its own."""

    @abstractmethod
    def _begin(self, connection: Connection, row: AnyRow) -> W:
        """Return a claimed row as work; ``row.now`` is the time of the claim."""

    @abstractmethod
    def _stop_reason(self, row: AnyRow | None, fence: Fence) -> str | None:
        """Return why work under ``fence`` must stop: ``cancelled``, ``server_lost``, or None when it goes on."""

    def claim(self, limit: int, *, excluding: Collection[str] = ()) -> list[W]:
        """Claim at most ``limit`` due rows for this process.

        Tenants take turns: first comes whoever has the fewest rows running or claimed before, then the oldest row.
        Tenants in ``excluding`` get nothing this time. Nothing is claimed just after the clock was set forward, because
        work that runs elsewhere then seems to be due.
        """
        if not self._db.clock.is_settled() or not self._db.read(
            lambda connection: self._is_any_due(connection, excluding)
        ):
            return []
        of_others = self._queue.table.c.tenant.not_in(excluding)
        condition = and_(self._queue.due, of_others) if excluding else self._queue.due
        return self._db.write(lambda connection: self._claim(connection, limit, condition))

    def renew(self, fences: Mapping[str, Fence]) -> None:
        """Renew the leases of the rows, by id, that are still this process's."""
        table, condition, owner = self._queue.table, self._queue.renewable, self._db.owner
        self._db.write(
            lambda connection: renew_leases(connection, table, list(fences), condition, owner, self._lease)
        )

    def stop_reasons(self, fences: Mapping[str, Fence]) -> dict[str, str]:
        """Return the ids of running work that must stop, each with the reason: ``cancelled`` or ``server_lost``."""
        table = self._queue.table
        columns = [table.c[name] for name in ("id", "status", "lease_owner", "attempt", "cancel_requested")]

        def work(connection: Connection) -> dict[str, str]:
            rows = {
                row.id: row
                for ids in chunks(list(fences))
                for row in connection.execute(select(*columns).where(table.c.id.in_(ids)))
            }
            reasons = {key: self._stop_reason(rows.get(key), fence) for key, fence in fences.items()}
            return {key: reason for key, reason in reasons.items() if reason is not None}

        return self._db.read(work)

    def _is_any_due(self, connection: Connection, excluding: Collection[str]) -> bool:
        if excluding:
            of_others = self._queue.table.c.tenant.not_in(excluding)
            return connection.execute(self._first_due.where(of_others)).first() is not None
        return run(connection, self._first_due, {}).fetchone() is not None  # every second of an idle process

    def _claim(self, connection: Connection, limit: int, condition: ColumnElement[bool]) -> list[W]:
        table = self._queue.table
        ranks = self._ranked_rows()
        due = (
            select(table.c.id)
            .join(ranks, ranks.c.id == table.c.id)
            .where(condition)
            .order_by(ranks.c.turn, table.c.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True, of=table)
            .cte("due")
        )
        rows: Sequence[AnyRow] = connection.execute(
            update(table)
            .where(table.c.id.in_(select(due.c.id)))
            .values(
                status=self._queue.claimed_status,
                attempt=table.c.attempt + 1,
                lease_owner=self._db.owner,
                lease_until=db_now() + self._lease,
            )
            .returning(*table.c, db_now().label("now"))
        ).all()
        return [self._begin(connection, row) for row in sorted(rows, key=lambda row: row.created_at)]

    def _ranked_rows(self) -> Any:
        """Number each tenant's rows from 1: first those that run, then those that wait, by age."""
        table = self._queue.table
        order = (case((self._queue.due, 1), else_=0), table.c.created_at)
        turn = func.row_number().over(partition_by=table.c.tenant, order_by=order)
        return select(table.c.id, turn.label("turn")).where(self._queue.counted).subquery()


def is_held(row: AnyRow, fence: Fence) -> bool:
    """Tell whether a row is still held under ``fence``."""
    return (row.lease_owner, row.attempt) == (fence.owner, fence.attempt)
