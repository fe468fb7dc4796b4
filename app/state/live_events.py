"""What is new for whoever watches: calls that ended in any process, and notices of breakers and budgets.

On PostgreSQL a batch of the call log is told by NOTIFY with the ids of its rows; on SQLite the rows after the last
one are looked for. Notices are few and are rows of a table of their own, looked for by age. Nothing is read, and
nothing kept, while nobody watches. Tests: tests/surfaces/test_admin_events.py.
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
    delete,
    func,
    insert,
    literal,
    literal_column,
    select,
)

from app.state.ids import new_id
from app.state.records import Cursor, ended_at
from app.state.signals import Signals
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

KEPT: Final = 3_600.0
"""Seconds that a notice is kept."""

_CALLS: Final = "calls "
_IDS_OF_A_TOPIC: Final = 120  # of 53 characters: a payload of NOTIFY is below 8,000 bytes
_MOST: Final = 10_000  # ids that wait to be read, and as many that were seen
_AT_ONCE: Final = 500
_OVERLAP: Final = 5.0  # seconds: a notice may be committed after a younger one
MOST_MISSED: Final = 1_000
"""Events that one who comes back is told at most."""
_LONGEST: Final = 3_600.0  # seconds that a call takes at most: what had begun before may have ended since
_ROWID: Final[ColumnElement[int]] = literal_column("rowid", Integer)


class Piece(NamedTuple):
    """One piece of news: ``call`` with a row of the call log, or ``notice`` with a notice, and where it stands."""

    kind: str
    body: Members
    cursor: Cursor


def topics_of(ids: Sequence[str]) -> list[str]:
    """Return what is rung when rows of the call log with these ids are written."""
    return [_CALLS + ",".join(ids[at : at + _IDS_OF_A_TOPIC]) for at in range(0, len(ids), _IDS_OF_A_TOPIC)]


def add_notices(connection: Connection, bodies: Iterable[Members]) -> None:
    """Write notices, each ``{"type", "timestamp", "data"}``, in a transaction that is under way."""
    values = [{"id": new_id("note"), "body": dumps(dict(body))} for body in bodies]
    if values:
        connection.execute(insert(notice).values(created_at=db_now()), values)


def drop_notices(connection: Connection) -> int:
    """Delete what is too old for anybody to be told."""
    return connection.execute(delete(notice).where(notice.c.created_at < db_now() - KEPT)).rowcount


class News:
    """Writes notices, and gives readers."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    def write(self, bodies: Sequence[Members]) -> None:
        """Write notices, all or none."""
        self._signals.db.write(lambda connection: add_notices(connection, bodies))

    def reader(self) -> Reader:
        """Return a reader of what is new from now on; raises ``store_unavailable``."""
        return Reader(self._signals)

    def missed(self, since: Cursor) -> tuple[list[Piece], bool]:
        """Return what was told after ``since``, and whether there may be more: the newest ``MOST_MISSED`` are read.

        On SQLite each call comes once; on PostgreSQL, and of notices, those of ``_OVERLAP`` seconds before come again."""
        db, edge, most = self._signals.db, since.moment - _OVERLAP, MOST_MISSED + 1
        young = (
            select(notice).where(notice.c.created_at > edge).order_by(notice.c.created_at.desc()).limit(most)
        )
        notices: list[Any] = db.read(lambda connection: list(connection.execute(young)))
        calls: list[Any] = db.read(
            lambda c: list(c.execute(_calls_after(c, since, db.is_postgres).limit(most)))
        )
        pieces = [Piece("notice", _members(one), Cursor(since.row, one.created_at)) for one in notices]
        pieces += [Piece("call", _members(one), Cursor(one.row, since.moment)) for one in calls]
        more = [len(rows) == most for rows in (notices, calls)]
        if db.is_postgres:
            more[1] = more[1] and pieces[-1].body["created_at"] > edge
            pieces = [one for one in pieces if one.kind == "notice" or ended_at(one.body) > edge]
        return pieces[::-1], any(more)


class Reader:
    """Reads rows of the call log and notices that are written from now on, each once."""

    def __init__(self, signals: Signals) -> None:
        self.bell = Event()
        self.lost = 0
        """Calls that were not read, since too many waited."""
        self._db, self._wakeups = signals.db, signals.wakeups
        self._ids: deque[str] = deque()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._row, self._moment = self._db.read(self._now)
        self._wakeups.ears.append(self._hear)

    def close(self) -> None:
        """Listen no more."""
        self._wakeups.ears.remove(self._hear)

    def read(self) -> Iterator[Piece]:
        """Yield what came since."""
        for kind, bodies in (("notice", self._notices()), ("call", self._calls())):
            for body in bodies:
                yield Piece(kind, body, self.cursor())

    def cursor(self) -> Cursor:
        """Return the place after what was read last."""
        return Cursor(self._row, time.time())

    def _calls(self) -> Iterator[Members]:
        return self._listed_rows() if self._db.is_postgres else self._rows()

    def _hear(self, topic: str) -> None:
        if not topic.startswith(_CALLS):
            return
        if self._db.is_postgres:
            for label in topic[len(_CALLS) :].split(","):
                self._take(label)
        self.bell.set()

    def _take(self, label: str) -> None:
        if not self._is_new(label):
            return
        if len(self._ids) >= _MOST:
            self._ids.popleft()
            self.lost += 1
        self._ids.append(label)

    def _is_new(self, label: str) -> bool:
        """Tell whether an id was not seen before: what this process wrote is heard of twice."""
        if label in self._seen:
            return False
        self._seen[label] = None
        if len(self._seen) > 2 * _MOST:
            self._seen.popitem(last=False)
        return True

    def _listed_rows(self) -> Iterator[Members]:
        """Yield the rows of the ids that were heard."""
        while self._ids:
            some = [self._ids.popleft() for _ in range(min(_AT_ONCE, len(self._ids)))]
            statement = select(call_log.c.id, call_log.c.body).where(call_log.c.id.in_(some))
            yield from self._bodies(statement)

    def _rows(self) -> Iterator[Members]:
        """Yield the rows that SQLite has after the last one; a VACUUM may have numbered them anew."""
        self._row = min(self._row, self._db.read(self._now)[0])
        while rows := self._db.read(self._next_rows):
            for row in rows:
                self._row = row.row
                yield _members(row)

    def _next_rows(self, connection: Connection) -> list[Any]:
        columns = select(_ROWID.label("row"), call_log.c.body).select_from(call_log)
        statement = columns.where(self._row < _ROWID).order_by(_ROWID).limit(_AT_ONCE)
        return list(connection.execute(statement))

    def _notices(self) -> Iterator[Members]:
        young = notice.c.created_at > self._moment - _OVERLAP
        statement = select(notice).where(young).order_by(notice.c.created_at)
        rows: list[Any] = self._db.read(lambda connection: list(connection.execute(statement)))
        for row in rows:
            self._moment = max(self._moment, row.created_at)
            if self._is_new(row.id):
                yield _members(row)

    def _bodies(self, statement: Any) -> Iterator[Members]:
        rows: list[Any] = self._db.read(lambda connection: list(connection.execute(statement)))
        for row in rows:
            yield _members(row)

    def _now(self, connection: Connection) -> tuple[int, float]:
        row = 0
        if not self._db.is_postgres:
            row = connection.execute(select(func.max(_ROWID)).select_from(call_log)).scalar() or 0
        moment: float = connection.execute(select(db_now())).scalar() or 0.0
        return row, moment


def _calls_after(connection: Connection, since: Cursor, is_postgres: bool) -> Select[Any]:
    """Return what reads the rows of calls after a place, the newest first."""
    if is_postgres:
        columns = select(literal(0).label("row"), call_log.c.body)
        young = columns.where(call_log.c.created_at > since.moment - _OVERLAP - _LONGEST)
        return young.order_by(call_log.c.created_at.desc(), call_log.c.id.desc())
    last = connection.execute(select(func.max(_ROWID)).select_from(call_log)).scalar() or 0
    columns = select(_ROWID.label("row"), call_log.c.body).select_from(call_log)
    return columns.where(min(since.row, last) < _ROWID).order_by(_ROWID.desc())


def _members(row: Any) -> Members:
    found: Members = loads_lenient(bytes(row.body))
    return found
