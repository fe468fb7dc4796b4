"""Live events: calls that ended in any process, and notices of breakers and budgets, for whoever watches.

On PostgreSQL each write of the call log sends NOTIFY with the ids of its rows; on SQLite a reader looks for rows after
the last one. Notices are few: they are rows of a table of their own, found by age. Nothing is read or kept while nobody
watches. Tests: tests/surfaces/test_admin_events.py.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from gevent.event import Event
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Double,
    Index,
    Integer,
    LargeBinary,
    Select,
    Table,
    Text,
    case,
    delete,
    func,
    insert,
    literal,
    literal_column,
    select,
)

from app.state.call_rows import members_of
from app.state.database import Database, Repository
from app.state.ids import new_id
from app.state.records import Cursor, ended_at
from app.state.tables import call_log, db_now, metadata
from app.wire.json import dumps, loads_lenient

Members = Mapping[str, Any]

notice = Table(
    "notice",
    metadata,
    Column("id", Text, primary_key=True),
    Column("created_at", Double, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("notice_created_at", "created_at"),
)

KEEP_SECONDS: Final = 3_600.0
"""Seconds for which a notice is kept."""

MOST_MISSED: Final = 1_000
"""How many of the events that it missed a returning reader gets at most."""

_CALLS: Final = "calls "
_IDS_OF_A_TOPIC: Final = 120  # of 53 characters: a payload of NOTIFY is below 8,000 bytes
_MOST_IDS: Final = 10_000  # ids that wait to be read; twice as many are remembered as seen
_AT_ONCE: Final = 500
_OVERLAP: Final = 5.0  # seconds: a notice may be committed after a younger one
_LONGEST: Final = 3_600.0  # seconds that a call takes at most: what had begun before may have ended since
_ROWID: Final[ColumnElement[int]] = literal_column("rowid", Integer)


class LiveEvent(NamedTuple):
    """One event: ``call`` with a row of the call log, or ``notice`` with a notice; ``cursor`` is the place after it."""

    kind: str
    body: Members
    cursor: Cursor


def topics_of(ids: Sequence[str]) -> list[str]:
    """Return the topics to notify when rows of the call log with these ids are written."""
    return [_CALLS + ",".join(ids[at : at + _IDS_OF_A_TOPIC]) for at in range(0, len(ids), _IDS_OF_A_TOPIC)]


def add_notices(connection: Connection, bodies: Iterable[Members]) -> None:
    """Write notices, each ``{"type", "timestamp", "data"}``, within a transaction."""
    values = [{"id": new_id("note"), "body": dumps(dict(body))} for body in bodies]
    if values:
        connection.execute(insert(notice).values(created_at=db_now()), values)


def drop_notices(connection: Connection) -> int:
    """Delete the notices that are too old for any reader; return how many."""
    return connection.execute(delete(notice).where(notice.c.created_at < db_now() - KEEP_SECONDS)).rowcount


class LiveEvents(Repository):
    """Writes notices, and reads events: as they come, or those that a reader missed."""

    def write(self, bodies: Sequence[Members]) -> None:
        """Write notices, all or none."""
        self._db.write(lambda connection: add_notices(connection, bodies))

    def reader(self) -> Reader:
        """Return a reader of the events from now on; raises ``store_unavailable``."""
        return Reader(self._db)

    def since(self, cursor: Cursor) -> tuple[list[LiveEvent], bool]:
        """Return the newest ``MOST_MISSED`` events after ``cursor``, in order, and whether there may be more.

        On SQLite each call comes once. On PostgreSQL, calls of the ``_OVERLAP`` seconds before come again; so do notices
        on both."""
        db, edge, most = self._db, cursor.moment - _OVERLAP, MOST_MISSED + 1
        young = select(notice).where(notice.c.created_at > edge).order_by(notice.c.created_at.desc())
        notices = db.fetch_all(young.limit(most))
        calls: list[Any] = db.read(
            lambda c: list(c.execute(_calls_after(c, cursor, db.is_postgres).limit(most)))
        )
        events = [LiveEvent("notice", _members(one), Cursor(cursor.row, one.created_at)) for one in notices]
        events += [LiveEvent("call", members_of(one), Cursor(one.row, cursor.moment)) for one in calls]
        more = [len(rows) == most for rows in (notices, calls)]
        if db.is_postgres:
            more[1] = more[1] and events[-1].body["created_at"] > edge
            events = [one for one in events if one.kind == "notice" or ended_at(one.body) > edge]
        return events[::-1], any(more)


class Reader:
    """Reads rows of the call log and notices that are written from now on, each once."""

    def __init__(self, db: Database) -> None:
        self.wakeup = Event()
        """Set when there may be something to read."""
        self.lost = 0
        """Calls that were not read because too many waited."""
        self._db = db
        self._ids: deque[str] = deque()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._row, self._moment = self._db.read(self._now)
        db.wakeups.listeners.append(self._receive)

    def close(self) -> None:
        """Stop receiving."""
        self._db.wakeups.listeners.remove(self._receive)

    def read(self) -> Iterator[LiveEvent]:
        """Yield the events since the last call."""
        calls = self._calls_by_id() if self._db.is_postgres else self._calls_by_row()
        for kind, bodies in (("notice", self._notices()), ("call", calls)):
            for body in bodies:
                yield LiveEvent(kind, body, self.cursor())

    def cursor(self) -> Cursor:
        """Return the place after the event that was read last."""
        return Cursor(self._row, time.time())

    def _receive(self, topic: str) -> None:
        if not topic.startswith(_CALLS):
            return
        if self._db.is_postgres:
            for call_id in topic[len(_CALLS) :].split(","):
                self._enqueue(call_id)
        self.wakeup.set()

    def _enqueue(self, call_id: str) -> None:
        if not self._is_new(call_id):
            return
        if len(self._ids) >= _MOST_IDS:
            self._ids.popleft()
            self.lost += 1
        self._ids.append(call_id)

    def _is_new(self, row_id: str) -> bool:
        """Tell whether an id is seen for the first time: what this process wrote is received twice."""
        if row_id in self._seen:
            return False
        self._seen[row_id] = None
        if len(self._seen) > 2 * _MOST_IDS:
            self._seen.popitem(last=False)
        return True

    def _calls_by_id(self) -> Iterator[Members]:
        """Yield the rows of the ids that were received."""
        while self._ids:
            ids = [self._ids.popleft() for _ in range(min(_AT_ONCE, len(self._ids)))]
            statement = select(call_log).where(call_log.c.id.in_(ids))
            yield from map(members_of, self._db.fetch_all(statement))

    def _calls_by_row(self) -> Iterator[Members]:
        """Yield the rows that SQLite has after the last one; a VACUUM may have numbered them anew."""
        self._row = min(self._row, self._db.read(self._now)[0])
        columns = select(_ROWID.label("row"), call_log)
        while rows := self._db.fetch_all(columns.where(self._row < _ROWID).order_by(_ROWID).limit(_AT_ONCE)):
            for row in rows:
                self._row = row.row
                yield members_of(row)

    def _notices(self) -> Iterator[Members]:
        latest = case(
            (db_now() < self._moment, db_now()), else_=self._moment
        )  # the clock may have been set back
        young = notice.c.created_at > latest - _OVERLAP
        for row in self._db.fetch_all(select(notice).where(young).order_by(notice.c.created_at)):
            self._moment = max(self._moment, row.created_at)
            if self._is_new(row.id):
                yield _members(row)

    def _now(self, connection: Connection) -> tuple[int, float]:
        row = 0 if self._db.is_postgres else _last_row(connection)
        moment: float = connection.execute(select(db_now())).scalar_one()
        return row, moment


def _last_row(connection: Connection) -> int:
    return connection.execute(select(func.max(_ROWID)).select_from(call_log)).scalar() or 0


def _calls_after(connection: Connection, cursor: Cursor, is_postgres: bool) -> Select[Any]:
    """Return the query for rows of the call log after a place, the newest first."""
    if is_postgres:
        columns = select(literal(0).label("row"), call_log)
        young = columns.where(call_log.c.created_at > cursor.moment - _OVERLAP - _LONGEST)
        return young.order_by(call_log.c.created_at.desc(), call_log.c.id.desc())
    columns = select(_ROWID.label("row"), call_log)
    return columns.where(min(cursor.row, _last_row(connection)) < _ROWID).order_by(_ROWID.desc())


def _members(row: Any) -> Members:
    members: Members = loads_lenient(bytes(row.body))
    return members
