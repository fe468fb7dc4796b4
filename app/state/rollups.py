"""Roll-ups: sums of hours and days that ended, by one member at a time, from which long spans are read.

``sums`` has a row for each set of members in each hour, which is exact but many rows. For an hour, and for a day, that
ended a while ago, the sums of all calls and the sums by provider, model, key and tenant are rolled up into one row here. A
later write to that hour clears its rows, in its own transaction, until they are rolled up again. What is not rolled up is
read from ``sums``, and kept in ``Recent`` while it is little. Tests: tests/state/test_rollups.py.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import gevent
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Integer,
    Table,
    and_,
    func,
    or_,
    select,
    update,
)

from app.state import sums
from app.state.database import Database
from app.state.encryption import SealedBytes
from app.state.lookup import Span, within
from app.state.schema import metadata
from app.state.sums import HOUR, Sums
from app.state.tables import usage_hour
from app.state.upserts import insert_for, insert_once
from app.wire.json import dumps, loads_lenient

DAY: Final = 24 * HOUR
ROLL_UP_SECONDS: Final = 600.0
"""How long to wait after one ``roll_up_all`` until the next."""

_LOG: Final = logging.getLogger(__name__)
WHOLE: Final = "whole"
MEMBERS: Final = ("provider", "model", "key", "tenant")
"""The members by which sums are rolled up, each on its own."""

_COLUMNS: Final = (WHOLE, *MEMBERS)
_LAG: Final = 600
"""How many seconds after its end an hour is rolled up: the clocks of several machines may differ."""
_LONGEST: Final = 400 * DAY
"""The longest span, in seconds, of which the hours that are not rolled up are named one by one."""
_AT_ONCE: Final = 100
_SHARE: Final = 4
"""How many times as long as the work before it a pause is: rolling up takes at most a fifth of the time."""
_MANY: Final = 30
"""From so many pending periods on, as after an upgrade or a night without a server, the log shows the progress."""
_RECENT: Final = 3
"""How many hours are kept that are not rolled up: the running one, the one before, and a late one."""

# ``seconds`` is the length of an hour or a day. ``version`` counts the later writes; such a write sets the sums to NULL
# until they are rolled up again.
usage_rollup = Table(
    "usage_rollup",
    metadata,
    Column("seconds", Integer, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    *(Column(name, SealedBytes) for name in _COLUMNS),
)

Period = tuple[int, int]
"""Length in seconds, and start in Unix seconds."""
Group = tuple[int, str | None, Sums]
"""The start of an hour or a day, a value of the member (None: calls without one), and the sums."""
Fits = Callable[[str | None], bool]
ByMember = dict[str, dict[str | None, Sums]]
"""The sums of an hour or a day, by member and value; they must not be changed."""


class Recent:
    """The sums of hours that are not rolled up, as this process read them last: the queries of one page need the same.

    An hour is identified by its number of calls, which only grows."""

    def __init__(self) -> None:
        self._hours: dict[int, tuple[int, ByMember]] = {}

    def get(self, hour: int, calls: int) -> ByMember | None:
        """Return the sums of an hour that has ``calls`` calls; None when they are not kept."""
        count, by_member = self._hours.get(hour, (None, None))
        return by_member if count == calls else None

    def keep(self, hour: int, calls: int, by_member: ByMember) -> None:
        """Keep the sums of an hour, and drop those of the oldest hours beyond a few."""
        self._hours[hour] = calls, by_member
        while len(self._hours) > _RECENT:
            del self._hours[min(self._hours)]


def mark(connection: Connection, hours: Iterable[int], now: float) -> None:
    """Clear the roll-ups of hours to which calls are being written; an hour that still runs has none."""
    periods = {(HOUR, hour) for hour in hours if hour + HOUR <= now}
    periods |= {(DAY, hour // DAY * DAY) for hour in hours if hour // DAY * DAY + DAY <= now}
    if periods:
        insert = insert_for(connection.dialect.name, usage_rollup)
        later = {"version": usage_rollup.c.version + 1, **dict.fromkeys(_COLUMNS)}
        statement = insert.on_conflict_do_update(
            index_elements=list(usage_rollup.primary_key.columns), set_=later
        )
        rows = [{"seconds": seconds, "start": start, "version": 1} for seconds, start in sorted(periods)]
        connection.execute(statement, rows)


def pending(db: Database, now: float) -> list[Period]:
    """Return the hours and days that can be rolled up, the newest first, hours before their day."""

    def work(connection: Connection) -> list[Period]:
        every = select(usage_hour.c.hour).where(usage_hour.c.hour <= now - _LAG - HOUR).distinct()
        hours = set(connection.execute(every).scalars())
        sound = select(usage_rollup.c.seconds, usage_rollup.c.start).where(usage_rollup.c.whole.is_not(None))
        sound_periods = {(row.seconds, row.start) for row in connection.execute(sound)}
        periods = [(HOUR, hour) for hour in hours if (HOUR, hour) not in sound_periods]
        days = {hour // DAY * DAY for hour in hours}
        periods += [(DAY, day) for day in days if (DAY, day) not in sound_periods and day + DAY <= now - _LAG]
        return sorted(periods, key=lambda one: (-(one[1] // DAY), one[0], -one[1]))

    return db.read(work)


def roll_up(db: Database, period: Period) -> None:
    """Roll up an hour, or a day whose hours are all rolled up, unless that is done, or a write comes in between."""
    seconds, start = period
    mine = and_(usage_rollup.c.seconds == seconds, usage_rollup.c.start == start)
    rollup = select(usage_rollup.c.version, usage_rollup.c.whole.is_not(None).label("rolled_up")).where(mine)
    row = db.fetch_first(rollup)
    if row is not None and row.rolled_up:
        return
    sums_of_period = _of_hour(db, start) if seconds == HOUR else _of_day(db, start)
    if sums_of_period is None:
        return
    values = {
        name: dumps([[value, *sums.numbers(some)] for value, some in by_value.items()])
        for name, by_value in sums_of_period.items()
    }

    def work(connection: Connection) -> None:
        if row is None:
            key = {"seconds": seconds, "start": start, "version": 0}
            insert_once(connection, usage_rollup, {**key, **values})
        else:
            same_version = usage_rollup.c.version == row.version
            connection.execute(update(usage_rollup).where(mine, same_version).values(**values))

    db.write(work)


def roll_up_all(db: Database) -> None:
    """Roll up all hours and days that are pending now, the newest first.

    It works for at most a fifth of the time. Several processes may run it at once and share the work.
    """
    periods = pending(db, time.time())
    is_logged = len(periods) >= _MANY
    while periods:
        if is_logged:
            _LOG.info("%d hours and days of the call log's sums are to be rolled up", len(periods))
        for period in periods[:_AT_ONCE]:
            began = time.monotonic()
            roll_up(db, period)
            gevent.sleep((time.monotonic() - began) * _SHARE)
        before, periods = len(periods), pending(db, time.time())
        if len(periods) >= before:
            return  # nothing of the rest can be rolled up yet
    if is_logged:
        _LOG.info("the call log's sums are rolled up")


def read(
    db: Database, recent: Recent, span: Span, member: str, *, unit: int | None, fits: Fits | None = None
) -> Iterator[Group]:
    """Return the sums of a span of whole hours by one member, or of all calls (``WHOLE``).

    ``unit`` is ``HOUR``, ``DAY``, or None: the whole span as one, with the start 0. ``fits`` tells which values to return."""
    begin = None if span[0] is None else span[0] // HOUR * HOUR

    def work(connection: Connection) -> tuple[list[tuple[int, bytes]], dict[int, ByMember]]:
        rolled_up, covered = _rolled_up(
            connection, member, (begin, span[1]), (HOUR,) if unit == HOUR else (DAY, HOUR)
        )
        return rolled_up, _not_rolled_up(connection, recent, covered, (begin, span[1]))

    rolled_up, single = db.read(work)
    groups: dict[tuple[int, str | None], Sums] = defaultdict(Sums)
    for start, body in rolled_up:
        label = start // unit * unit if unit else 0
        for value, *numbers in loads_lenient(body):
            if fits is None or fits(value):
                groups[label, value].take(*numbers)
    for hour, by_member in single.items():
        for value, some in by_member[member].items():
            if fits is None or fits(value):
                groups[hour // unit * unit if unit else 0, value].add(some)
    return ((label, value, some) for (label, value), some in groups.items())


def _rolled_up(
    connection: Connection, member: str, span: Span, lengths: Iterable[int]
) -> tuple[list[tuple[int, bytes]], set[int]]:
    """Return start and sums by one member of the days, and of the hours outside these days, that are rolled up.

    Also return the set of all hours that they cover."""
    column, start = usage_rollup.c[member], usage_rollup.c.start
    bodies: list[tuple[int, bytes]] = []
    hours: set[int] = set()
    for seconds in lengths:
        fitting = [usage_rollup.c.seconds == seconds, column.is_not(None), *within(start, span)]
        if span[1] is not None:
            fitting.append(start + seconds - HOUR < span[1])
        if bodies:
            fitting.append((start - start % DAY).not_in([day for day, _ in bodies]))
        for row in connection.execute(select(start, column.label("body")).where(*fitting)):
            bodies.append((row.start, bytes(row.body)))
            hours.update(range(row.start, row.start + seconds, HOUR))
    return bodies, hours


def _not_rolled_up(
    connection: Connection, recent: Recent, covered: set[int], span: Span
) -> dict[int, ByMember]:
    """Return the sums of the hours in a span that no roll-up covers."""
    query = select(usage_hour.c.hour, func.sum(usage_hour.c.calls)).where(*_rest(covered, span))
    rows = connection.execute(query.group_by(usage_hour.c.hour))
    calls = {hour: int(count) for hour, count in rows if hour not in covered}
    sums_of = {hour: recent.get(hour, count) for hour, count in calls.items()}
    missing = [hour for hour, by_member in sums_of.items() if by_member is None]
    fresh = _of_hours(connection, missing) if missing else {}
    if len(missing) <= _RECENT:
        for hour, by_member in fresh.items():
            recent.keep(hour, calls[hour], by_member)
    return {**{hour: by_member for hour, by_member in sums_of.items() if by_member is not None}, **fresh}


def _rest(covered: set[int], span: Span) -> list[ColumnElement[bool]]:
    """Return the conditions of the rows of ``sums`` in a span whose hours are not covered; of all its rows where these
    hours are very many. Hours are named one by one, so that each is looked up in the index."""
    fitting = sums.span_conditions(span, detailed=False)
    if covered:
        begin = min(covered) if span[0] is None else int(span[0])
        end = int(span[1] if span[1] is not None else time.time() + DAY)
        if end - begin <= _LONGEST:
            rest = [hour for hour in range(begin, end, HOUR) if hour not in covered]
            before = [usage_hour.c.hour < begin] if span[0] is None else []
            fitting.append(or_(usage_hour.c.hour.in_(rest), *before))
    return fitting


def _of_hours(connection: Connection, hours: Sequence[int]) -> dict[int, ByMember]:
    """Return the sums of some hours, from ``sums``."""
    fitting = sums.span_conditions((min(hours), max(hours) + HOUR), detailed=False)
    rows = sums.rows(connection, [*fitting, usage_hour.c.hour.in_(hours)])
    by_hour: dict[int, ByMember] = {}
    for hour, members, some in sums.join(*rows):
        if hour not in by_hour:
            by_hour[hour] = {name: defaultdict(Sums) for name in _COLUMNS}
        for name, by_value in by_hour[hour].items():
            by_value[sums.value_of(name, members)].add(some)
    return by_hour


def _of_hour(db: Database, hour: int) -> ByMember | None:
    """Return the sums of an hour; None when it has no calls."""
    return db.read(lambda connection: _of_hours(connection, [hour])).get(hour)


def _of_day(db: Database, day: int) -> ByMember | None:
    """Return the sums of a day from its hours; None when one of them is not rolled up."""
    mine = (usage_rollup.c.seconds == HOUR, usage_rollup.c.start >= day, usage_rollup.c.start < day + DAY)
    there = select(func.count(usage_hour.c.hour.distinct())).where(
        usage_hour.c.hour >= day, usage_hour.c.hour < day + DAY
    )

    def work(connection: Connection) -> tuple[list[Any], int]:
        return list(connection.execute(select(usage_rollup).where(*mine))), connection.execute(
            there
        ).scalar_one()

    hours, count = db.read(work)
    if len(hours) < count or any(row.whole is None for row in hours):
        return None
    groups: dict[str, dict[str | None, Sums]] = {name: defaultdict(Sums) for name in _COLUMNS}
    for row in hours:
        for name, by_value in groups.items():
            for value, *numbers in loads_lenient(bytes(getattr(row, name))):
                by_value[value].take(*numbers)
    return groups
