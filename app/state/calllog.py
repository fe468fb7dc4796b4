"""The call log: a row for each call, and sums by hour that are added to as the rows are written.

Rows are plain JSON as an administrator sees them. Sums are kept for each set of members that calls are
grouped by; how long calls took, in buckets 5 % apart, so that a percentile is right within that.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, delete, insert, or_, select

from app.errors import GatewayError
from app.state import callbodies, listing
from app.state.callbodies import CallBodies
from app.state.crypto import Sealer
from app.state.dialect import insert_for
from app.state.ids import storable
from app.state.listing import Page
from app.state.news import topics_of
from app.state.signals import Signals
from app.state.tables import call_log, usage_hour, usage_latency
from app.wire.json import dumps, loads_lenient

Members = Mapping[str, Any]

HOUR: Final = 3_600
NANO: Final = 1_000_000_000
FILTERS: Final = (
    *("tenant", "key", "provider", "model", "status", "request_type", "response_id", "request_id"),
)
GROUPS: Final = (
    *("key", "tenant", "provider", "model", "request_type", "user", "door", "error_code", "metadata"),
)
"""Members of a row that its sums are kept by."""

_DETAILS: Final = ("user", "metadata")
_PLAIN: Final = "p:"
_DETAILED: Final = "d:"
_BROAD: Final = "c:"
"""Ids of sums begin with these: of calls without details; of those with some, by all of ``GROUPS``; of the same
calls by all but their details, which may differ from call to call."""
_COLUMNS: Final = ("id", "created_at", *FILTERS)
_SUMS: Final = ("calls", "errors", "input_tokens", "output_tokens", "cost", "cache_hits")
_STEP: Final = math.log(1.05)
_EXPORT_PAGE: Final = 500
_PURGED_AT_ONCE: Final = 5_000


@dataclass(slots=True)
class Sums:
    """Sums of some calls; ``cost`` in nano-dollars, ``latency`` counts calls by bucket."""

    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    cache_hits: int = 0
    latency: Counter[int] = field(default_factory=Counter)

    def count(self, row: Members) -> None:
        """Add one call."""
        usage = row.get("usage") or {}
        self.calls += 1
        self.errors += row["status"] >= 400
        self.input_tokens += usage.get("input_tokens") or 0
        self.output_tokens += usage.get("output_tokens") or 0
        self.cost += round((row.get("cost") or 0) * NANO)
        self.cache_hits += row.get("cache") == "hit"
        self.latency[_bucket(row["latency"])] += 1

    def add(self, other: Sums) -> None:
        """Add other sums."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latency.update(other.latency)

    def percentile(self, share: float) -> int | None:
        """Return the milliseconds within which ``share`` of the calls ended, right within 5 %."""
        left = math.ceil(share * self.latency.total())
        for bucket in sorted(self.latency):
            left -= self.latency[bucket]
            if left <= 0:
                return round(math.exp(bucket * _STEP))
        return None


class CallLog:
    """Writes, lists, sums and purges the rows."""

    def __init__(self, signals: Signals, sealer: Sealer) -> None:
        self._signals = signals
        self._db = signals.db
        self._bodies = CallBodies(signals.db, sealer)

    def write(self, rows: Sequence[Members], bodies: Mapping[str, Members] | None = None) -> None:
        """Write rows and add them to the sums of their hours, all or none; whoever watches is told.

        ``bodies`` are what was asked and answered in some of the calls, by their ids."""
        by_id: dict[str, tuple[int, dict[str, Any], Sums]] = {}
        for row in rows:
            hour = int(row["created_at"]) // HOUR * HOUR
            for kind, members in _kinds(row):
                label = kind + hashlib.sha256(dumps([hour, members])).hexdigest()
                by_id.setdefault(label, (hour, members, Sums()))[2].count(row)
        values = [{**{n: row.get(n) for n in _COLUMNS}, "body": dumps(dict(row))} for row in rows]
        said = self._bodies.rows({row["id"]: row for row in rows}, bodies) if bodies else []

        def work(connection: Connection) -> None:
            connection.execute(insert(call_log), values)
            callbodies.add(connection, said)
            for label in sorted(by_id):  # in one order, so that two writers never wait for each other
                _add(connection, label, *by_id[label])

        self._signals.write(work, topics_of([row["id"] for row in rows]))

    def get(self, call_id: str) -> Members:
        """Return one row; raises ``not_found``."""
        body = None
        if storable(call_id):
            statement = select(call_log.c.body).where(call_log.c.id == call_id)
            body = self._db.read(lambda connection: connection.execute(statement).scalar())
        if body is None:
            raise GatewayError("not_found", f"There is no call with the id '{call_id[:80]}'.")
        row: Members = loads_lenient(bytes(body))
        return row

    def page(
        self, limit: int, after: str | None, filters: Members, span: tuple[float | None, float | None]
    ) -> Page[Members]:
        """Return some rows, the newest first, that fit the filters, from and before the moments of ``span``."""
        fitting = [call_log.c[name] == value for name, value in filters.items()]
        fitting += _within(call_log.c.created_at, span)
        rows, more = self._db.read(lambda c: listing.read(c, call_log, limit, after, *fitting))
        return Page([loads_lenient(bytes(row.body)) for row in rows], more)

    def all(self, filters: Members, span: tuple[float | None, float | None]) -> Iterator[Members]:
        """Yield all rows that fit, the newest first, read page by page."""
        after: str | None = None
        more = True
        while more:
            page = self.page(_EXPORT_PAGE, after, filters, span)
            yield from page.rows
            more, after = page.has_more, page.rows[-1]["id"] if page.rows else None

    def usage(
        self, span: tuple[float | None, float | None], *, detailed: bool = True
    ) -> Iterator[tuple[int, Members, Sums]]:
        """Yield hour, members and sums of each group whose hour lies in ``span``.

        Without details (``user``, ``metadata``) groups are as few as an operator's names."""
        begin = None if span[0] is None else span[0] // HOUR * HOUR
        within = _within(usage_hour.c.hour, (begin, span[1]))
        kinds = (_PLAIN, _DETAILED if detailed else _BROAD)
        within.append(or_(*(usage_hour.c.id.startswith(kind) for kind in kinds)))
        hours: list[Any] = self._db.read(lambda c: list(c.execute(select(usage_hour).where(*within))))
        joined = usage_latency.join(usage_hour, usage_hour.c.id == usage_latency.c.usage_id)
        statement = select(usage_latency).select_from(joined).where(*within)
        latency: dict[str, Counter[int]] = {}
        for row in self._db.read(lambda c: list(c.execute(statement))):
            latency.setdefault(row.usage_id, Counter())[row.bucket] = row.calls
        for row in hours:
            sums = Sums(**{name: getattr(row, name) for name in _SUMS})
            sums.latency = latency.get(row.id, Counter())
            yield row.hour, loads_lenient(bytes(row.members)), sums

    def bodies(self, call_id: str) -> Members | None:
        """Return what was asked and answered in a call; None where that is not kept."""
        return self._bodies.get(call_id)

    def purge(self, older_than: float, most: int, bodies_older_than: float) -> int:
        """Delete rows that are older than so many seconds, and the oldest beyond ``most``; return how many.

        What was asked and answered goes with its row, or after seconds of its own."""
        beyond = select(call_log.c.created_at).order_by(call_log.c.created_at.desc()).offset(most).limit(1)
        edge = self._db.read(lambda connection: connection.execute(beyond).scalar())
        limit = max(time.time() - older_than, edge or 0)
        self._bodies.purge(bodies_older_than, limit)
        old = select(call_log.c.id).where(call_log.c.created_at <= limit).limit(_PURGED_AT_ONCE)
        total = 0
        while went := self._db.write(
            lambda c: c.execute(delete(call_log).where(call_log.c.id.in_(old))).rowcount
        ):
            total += went
        return total


def _kinds(row: Members) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the sums that a row is added to."""
    members = {name: row.get(name) for name in GROUPS}
    plain = {**members, **dict.fromkeys(_DETAILS)}
    if not any(members[name] for name in _DETAILS):
        yield _PLAIN, plain
    else:
        yield _DETAILED, members
        yield _BROAD, plain


def _within(column: Any, span: tuple[float | None, float | None]) -> list[ColumnElement[bool]]:
    begin, end = span
    found = [] if begin is None else [column >= begin]
    return found if end is None else [*found, column < end]


def _bucket(milliseconds: int) -> int:
    return round(math.log(max(1, milliseconds)) / _STEP)


def _add(connection: Connection, label: str, hour: int, members: Members, sums: Sums) -> None:
    add_sums, add_buckets = _additions(connection.dialect.name)
    row = {"id": label, "hour": hour, "members": dumps(dict(members))}
    connection.execute(add_sums, [row | {name: getattr(sums, name) for name in _SUMS}])
    buckets = [{"usage_id": label, "bucket": b, "calls": n} for b, n in sorted(sums.latency.items())]
    connection.execute(add_buckets, buckets)


@cache
def _additions(dialect: str) -> tuple[Any, Any]:
    """Return the statements that insert the sums of an hour and its buckets, or add to those that are there."""
    sums, buckets = insert_for(dialect, usage_hour), insert_for(dialect, usage_latency)
    grown = {name: usage_hour.c[name] + sums.excluded[name] for name in _SUMS}
    more = {"calls": usage_latency.c.calls + buckets.excluded.calls}
    keys = list(usage_latency.primary_key.columns)
    return (
        sums.on_conflict_do_update(index_elements=[usage_hour.c.id], set_=grown),
        buckets.on_conflict_do_update(index_elements=keys, set_=more),
    )
