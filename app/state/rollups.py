"""Sums of hours and days that ended, by one member at a time: what long spans are read from.

``sums`` has a row for each set of members in each hour, which is exact and many. Of an hour, and of a day, that ended
a while ago, the sums of all calls and those by provider, model, key and tenant are joined here, in one row. A
later write to that hour marks its rows, in its own transaction, until they are joined anew; whatever is not joined is read
from ``sums``, and kept in ``Recent`` as long as it is few. Tests: tests/state/test_rollups.py.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

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
from app.state.encryption import Sealed
from app.state.listing import Span, within
from app.state.schema import metadata
from app.state.sums import HOUR, Sums
from app.state.tables import usage_hour
from app.state.upserts import insert_for, insert_once
from app.wire.json import dumps, loads_lenient

DAY: Final = 24 * HOUR
WHOLE: Final = "whole"
MEMBERS: Final = ("provider", "model", "key", "tenant")
"""Members that sums of a span are kept by, each on its own."""

_COLUMNS: Final = (WHOLE, *MEMBERS)
_LAG: Final = 600
"""Seconds after its end from which an hour is joined: clocks of several machines may differ."""
_LONGEST: Final = 400 * DAY
"""Seconds of a span up to which hours that are not joined are named."""
_RECENT: Final = 3
"""Hours that are kept though not joined: the one that runs, the one that ended, and a late one."""

# ``seconds`` is the length, of an hour or a day. ``version`` counts the writes that came later; the sums are
# NULL from such a write on, until they are joined anew.
usage_rollup = Table(
    "usage_rollup",
    metadata,
    Column("seconds", Integer, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    *(Column(name, Sealed) for name in _COLUMNS),
)

Period = tuple[int, int]
"""Length and start, in seconds."""
Group = tuple[int, str | None, Sums]
"""Start of an hour or a day, the member's value (None: it has none), and its sums."""
ByMember = dict[str, dict[str | None, Sums]]
"""The sums of an hour or a day, by each member's values; nobody changes them."""


class Recent:
    """Hours that are not joined, as this process read them last: each question of a page asks for the same ones.

    An hour is known by how many calls it has, which only grows."""

    def __init__(self) -> None:
        self._hours: dict[int, tuple[int, ByMember]] = {}

    def get(self, hour: int, calls: int) -> ByMember | None:
        """Return the sums of an hour that has so many calls; None where they are not here."""
        known, found = self._hours.get(hour, (None, None))
        return found if known == calls else None

    def keep(self, hour: int, calls: int, found: ByMember) -> None:
        """Keep the sums of an hour, and drop the oldest beyond a few."""
        self._hours[hour] = calls, found
        while len(self._hours) > _RECENT:
            del self._hours[min(self._hours)]


def mark(connection: Connection, hours: Iterable[int], now: float) -> None:
    """Note that calls of ``hours`` are being written; of one that runs nothing is joined yet."""
    ended = {(HOUR, hour) for hour in hours if hour + HOUR <= now}
    ended |= {(DAY, hour // DAY * DAY) for hour in hours if hour // DAY * DAY + DAY <= now}
    if ended:
        insert = insert_for(connection.dialect.name, usage_rollup)
        later = {"version": usage_rollup.c.version + 1, **dict.fromkeys(_COLUMNS)}
        statement = insert.on_conflict_do_update(
            index_elements=list(usage_rollup.primary_key.columns), set_=later
        )
        rows = [{"seconds": seconds, "start": start, "version": 1} for seconds, start in sorted(ended)]
        connection.execute(statement, rows)


def pending(db: Database, now: float) -> list[Period]:
    """Return the hours and days that can be joined, hours before their days, the newest first."""

    def work(connection: Connection) -> list[Period]:
        every = select(usage_hour.c.hour).where(usage_hour.c.hour <= now - _LAG - HOUR).distinct()
        hours = set(connection.execute(every).scalars())
        sound = select(usage_rollup.c.seconds, usage_rollup.c.start).where(usage_rollup.c.whole.is_not(None))
        joined = {(row.seconds, row.start) for row in connection.execute(sound)}
        found = [(HOUR, hour) for hour in hours if (HOUR, hour) not in joined]
        days = {hour // DAY * DAY for hour in hours}
        found += [(DAY, day) for day in days if (DAY, day) not in joined and day + DAY <= now - _LAG]
        return sorted(found, key=lambda one: (-(one[1] // DAY), one[0], -one[1]))

    return db.read(work)


def roll_up(db: Database, period: Period) -> None:
    """Join an hour, or a day of which all hours are joined, unless somebody did or it is written to meanwhile."""
    seconds, start = period
    mine = and_(usage_rollup.c.seconds == seconds, usage_rollup.c.start == start)
    known = select(usage_rollup.c.version, usage_rollup.c.whole.is_not(None).label("joined")).where(mine)
    row = db.read(lambda connection: connection.execute(known).first())
    if row is not None and row.joined:
        return
    found = _of_hour(db, start) if seconds == HOUR else _of_day(db, start)
    if found is None:
        return
    values = {name: _encode(by_value) for name, by_value in found.items()}

    def work(connection: Connection) -> None:
        if row is None:
            key = {"seconds": seconds, "start": start, "version": 0}
            insert_once(connection, usage_rollup, {**key, **values})
        else:
            unchanged = usage_rollup.c.version == row.version
            connection.execute(update(usage_rollup).where(mine, unchanged).values(**values))

    db.write(work)


def read(
    db: Database, recent: Recent, span: Span, member: str, *, unit: int | None, only: str | None = None
) -> Iterator[Group]:
    """Yield the sums of a span of whole hours by one member, or of all calls (``WHOLE``), and by ``unit``: ``HOUR``,
    ``DAY``, or None, which is all as one, with the start 0. ``only`` is the one value that is sought."""
    begin = None if span[0] is None else span[0] // HOUR * HOUR

    def work(connection: Connection) -> tuple[list[tuple[int, bytes]], dict[int, ByMember]]:
        chosen, covered = _joined(
            connection, member, (begin, span[1]), (HOUR,) if unit == HOUR else (DAY, HOUR)
        )
        return chosen, _single(connection, recent, covered, (begin, span[1]))

    chosen, single = db.read(work)
    groups: dict[tuple[int, str | None], Sums] = defaultdict(Sums)
    for start, body in chosen:
        label = start // unit * unit if unit else 0
        for value, *written in loads_lenient(body):
            if only is None or value == only:
                groups[label, value].take(*written)
    for hour, by_member in single.items():
        for value, some in by_member[member].items():
            if only is None or value == only:
                groups[hour // unit * unit if unit else 0, value].add(some)
    return ((label, value, some) for (label, value), some in groups.items())


def _joined(
    connection: Connection, member: str, span: Span, lengths: Iterable[int]
) -> tuple[list[tuple[int, bytes]], set[int]]:
    """Return the start and the sums by one member of days, and of the hours of no day that is there, with all hours that
    these are about."""
    column, start = usage_rollup.c[member], usage_rollup.c.start
    chosen: list[tuple[int, bytes]] = []
    covered: set[int] = set()
    for seconds in lengths:
        fitting = [usage_rollup.c.seconds == seconds, column.is_not(None), *within(start, span)]
        if span[1] is not None:
            fitting.append(start + seconds - HOUR < span[1])
        if chosen:
            fitting.append((start - start % DAY).not_in([day for day, _ in chosen]))
        for row in connection.execute(select(start, column.label("body")).where(*fitting)):
            chosen.append((row.start, bytes(row.body)))
            covered.update(range(row.start, row.start + seconds, HOUR))
    return chosen, covered


def _single(connection: Connection, recent: Recent, covered: set[int], span: Span) -> dict[int, ByMember]:
    """Return the sums of the hours in a span that are not covered."""
    counted = select(usage_hour.c.hour, func.sum(usage_hour.c.calls)).where(*_rest(covered, span))
    rows = connection.execute(counted.group_by(usage_hour.c.hour))
    calls = {hour: int(count) for hour, count in rows if hour not in covered}
    found = {hour: recent.get(hour, count) for hour, count in calls.items()}
    missing = [hour for hour, known in found.items() if known is None]
    read = _of_hours(connection, missing) if missing else {}
    if len(missing) <= _RECENT:
        for hour, by_member in read.items():
            recent.keep(hour, calls[hour], by_member)
    return {**{hour: known for hour, known in found.items() if known is not None}, **read}


def _rest(covered: set[int], span: Span) -> list[ColumnElement[bool]]:
    """Return the conditions of the rows of ``sums`` in a span whose hours are not covered; where these are very many,
    of all its rows. Hours are named one by one, so that each is looked up in the index."""
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
    """Return the sums of some hours."""
    fitting = sums.span_conditions((min(hours), max(hours) + HOUR), detailed=False)
    rows = sums.rows(connection, [*fitting, usage_hour.c.hour.in_(hours)])
    found: dict[int, ByMember] = {}
    for hour, members, some in sums.join(*rows):
        if hour not in found:
            found[hour] = {name: defaultdict(Sums) for name in _COLUMNS}
        for name, by_value in found[hour].items():
            by_value[members.get(name)].add(some)
    return found


def _of_hour(db: Database, hour: int) -> ByMember | None:
    """Return the sums of an hour; None where it has none."""
    return db.read(lambda connection: _of_hours(connection, [hour])).get(hour)


def _of_day(db: Database, day: int) -> ByMember | None:
    """Return the sums of a day by its hours; None where one of them is not joined."""
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
            for value, *written in loads_lenient(bytes(getattr(row, name))):
                by_value[value].take(*written)
    return groups


def _encode(by_value: Mapping[str | None, Sums]) -> bytes:
    return dumps([[value, *sums.numbers(some)] for value, some in by_value.items()])
