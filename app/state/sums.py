"""Sums of the calls of each hour, written with the rows of the call log.

There is one row of sums for each set of members that calls are grouped by. How long calls took, and how long until their
first content, are histograms. Tests: tests/surfaces/test_calls.py.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Integer,
    Table,
    Text,
    or_,
    select,
)

from app.state import histogram
from app.state.bounds import MOST, at_most
from app.state.call_rows import CallRow, Figures, Members, QueuedRow
from app.state.database import Database
from app.state.lookup import Span, within
from app.state.schema import metadata
from app.state.tables import usage_hour, usage_latency
from app.state.upserts import insert_for, run_all
from app.wire.json import dumps, loads_lenient

HOUR: Final = 3_600
NANO: Final = 1_000_000_000
GROUPS: Final = (
    *(
        "key",
        "key_id",
        "tenant",
        "provider",
        "model",
        "request_type",
        "user",
        "door",
        "error_code",
        "metadata",
    ),
)
"""Members of a row that its sums are kept by."""

FILTERS: Final = ("tenant", "key", "provider", "model", "request_type")
"""Members by which usage can be filtered."""

_DETAILS: Final = ("user", "metadata")
_PLAIN: Final = "p:"
_DETAILED: Final = "d:"
_BROAD: Final = "c:"
"""Ids of sums begin with these: of calls without details; of those with some, by all of ``GROUPS``; of the same
calls by all but their details, which may differ from call to call."""
_SUMS: Final = ("calls", "errors", "input_tokens", "output_tokens", "cost", "cache_hits", "unpriced")

# How many calls had their first content after how long: the buckets of ``usage_latency``.
usage_first_content = Table(
    "usage_first_content",
    metadata,
    Column("usage_id", Text, primary_key=True),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("calls", BigInteger, nullable=False),
)

_TIMES: Final = {"latency": usage_latency, "first_content": usage_first_content}
"""Members of a row that are times in ms, and where they are counted."""
_ALL: Final = (*_SUMS, *_TIMES)


@dataclass(slots=True)
class Sums:
    """Sums of some calls; ``cost`` in nano-dollars, ``latency`` and ``first_content`` as histograms.

    ``unpriced`` counts calls that cost something nobody knows, so that ``cost`` is the least that all cost."""

    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    cache_hits: int = 0
    unpriced: int = 0
    latency: int = 0
    first_content: int = 0

    def count(self, rows: Sequence[QueuedRow]) -> None:
        """Add calls."""
        columns: Any = Figures._make(zip(*[figures for _, figures in rows], strict=True))
        self.calls += len(rows)
        self.errors += sum([row.status >= 400 for row, _ in rows])
        self.input_tokens += sum(columns.input_tokens)
        self.output_tokens += sum(columns.output_tokens)
        self.cost += sum([round((cost or 0) * NANO) for cost in columns.cost])
        self.cache_hits += columns.cache.count("hit")
        self.unpriced += sum(map(bool, columns.unpriced))
        for name in _TIMES:
            times = Counter(getattr(columns, name))
            del times[None]
            setattr(self, name, getattr(self, name) + histogram.of_times(times))

    def figures(self) -> dict[str, int]:
        """Return the sums themselves by name, none above ``MOST``."""
        return {name: min(getattr(self, name), MOST) for name in _SUMS}

    def take(self, figures: Sequence[int], *times: str) -> None:
        """Add other sums, as ``numbers`` writes them; older ones lack the last."""
        for name, figure in zip(_SUMS, figures, strict=False):
            setattr(self, name, getattr(self, name) + figure)
        for name, text in zip(_TIMES, times, strict=True):
            setattr(self, name, getattr(self, name) + histogram.unpack(text))

    def add(self, other: Sums) -> None:
        """Add other sums."""
        for name in _ALL:
            setattr(self, name, getattr(self, name) + getattr(other, name))


Additions = list[tuple[str, int, Members, Sums]]
"""Sums that a write adds: id, hour, members."""


def of(rows: Sequence[QueuedRow]) -> Additions:
    """Return the sums of rows of the call log, in one order, so that two writers never wait for each other."""
    groups: defaultdict[tuple[Any, ...], list[QueuedRow]] = defaultdict(list)
    for entry in rows:
        row, figures = entry
        owner = row.tenant, row.key, row.key_id
        target = row.provider, row.model, row.request_type
        plain = row.created_at // HOUR, *owner, *target, figures.door, figures.error_code
        if figures.user or figures.metadata:
            groups[_DETAILED, *plain, dumps([figures.user, figures.metadata])].append(entry)
            groups[_BROAD, *plain].append(entry)
        else:
            groups[_PLAIN, *plain].append(entry)
    additions = []
    for (kind, hour, *_), some in groups.items():
        members, sums = _members(*some[0], kind), Sums()
        sums.count(some)
        begin = hour * HOUR
        additions.append((kind + hashlib.sha256(dumps([begin, members])).hexdigest(), begin, members, sums))
    return sorted(additions, key=itemgetter(0))


def add(connection: Connection, additions: Additions) -> None:
    """Add sums to those that are there."""
    add_sums, add_times = _additions(connection.dialect.name)
    values = [
        {"id": label, "hour": hour, "members": dumps(dict(members)), **sums.figures()}
        for label, hour, members, sums in additions
    ]
    run_all(connection, add_sums, values)
    for name, statement in add_times.items():
        buckets = [
            {"usage_id": label, "bucket": bucket, "calls": calls}
            for label, _, _, sums in additions
            for bucket, calls in histogram.pairs(getattr(sums, name))
        ]
        run_all(connection, statement, buckets)


def read(db: Database, span: Span, *, detailed: bool) -> Iterator[tuple[int, Members, Sums]]:
    """Yield hour, members and sums of each group whose hour lies in ``span``.

    Without details (``user``, ``metadata``) groups are as few as an operator's names."""
    begin = None if span[0] is None else span[0] // HOUR * HOUR
    conditions = span_conditions((begin, span[1]), detailed=detailed)
    return join(*db.read(lambda connection: rows(connection, conditions)))


def span_conditions(span: Span, *, detailed: bool) -> list[ColumnElement[bool]]:
    """Return the conditions of the rows of ``usage_hour`` that make up a span."""
    kinds = (_PLAIN, _DETAILED if detailed else _BROAD)
    return [*within(usage_hour.c.hour, span), or_(*(usage_hour.c.id.startswith(kind) for kind in kinds))]


Histograms = dict[str, dict[str, int]]
"""Of each time, by the ids of their sums."""


def rows(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> tuple[list[Any], Histograms]:
    """Return the rows of ``usage_hour`` that fit, and their histograms."""
    hours: list[Any] = list(connection.execute(select(usage_hour).where(*conditions)))
    times: Histograms = {}
    for name, table in _TIMES.items():
        by_id = times.setdefault(name, {})
        both = table.join(usage_hour, usage_hour.c.id == table.c.usage_id)
        for row in connection.execute(select(table).select_from(both).where(*conditions)):
            by_id[row.usage_id] = by_id.get(row.usage_id, 0) + histogram.of([(row.bucket, row.calls)])
    return hours, times


def join(hours: Sequence[Any], times: Histograms) -> Iterator[tuple[int, Members, Sums]]:
    """Yield hour, members and sums of rows with their histograms."""
    for row in hours:
        sums = Sums(**{name: getattr(row, name) for name in _SUMS})
        for name, by_id in times.items():
            setattr(sums, name, by_id.get(row.id, 0))
        yield row.hour, loads_lenient(bytes(row.members)), sums


def numbers(sums: Sums) -> list[Any]:
    """Return what a row holds: a list of the sums themselves, then each time's histogram, packed."""
    return [
        list(sums.figures().values()),
        *(histogram.pack(getattr(sums, name)) for name in _TIMES),
    ]


def value_of(name: str, members: Members) -> str | None:
    """Return the value of a member by which calls are summed; for a key with an id, both its id and its name at the
    time."""
    value: str | None = members.get(name)
    return f"{members['key_id']}/{value}" if name == "key" and members.get("key_id") else value


def key_of(value: str | None) -> tuple[str | None, str | None]:
    """Return the id and the name of a key that ``value_of`` returned."""
    key_id, slash, name = (value or "").partition("/")
    return (key_id, name) if slash and key_id.startswith("key_") else (None, value)


def members_of(name: str, value: str | None) -> Members:
    """Return the members of calls of which ``value_of`` returned a value."""
    return dict(zip(("key_id", "key"), key_of(value), strict=True)) if name == "key" else {name: value}


def _members(row: CallRow, figures: Figures, kind: str) -> Members:
    """Return what the calls of such sums agree in."""
    every = {**row._asdict(), **figures._asdict()}
    members = {name: every.get(name) for name in GROUPS}
    return members if kind == _DETAILED else {**members, **dict.fromkeys(_DETAILS)}


@cache
def _additions(dialect: str) -> tuple[Any, dict[str, Any]]:
    """Return the statements that insert the sums of an hour and its times, or add to those that are there."""
    sums = insert_for(dialect, usage_hour)
    values = {name: at_most(dialect, usage_hour.c[name] + sums.excluded[name]) for name in _SUMS}
    return (
        sums.on_conflict_do_update(index_elements=[usage_hour.c.id], set_=values),
        {name: _addition(dialect, table) for name, table in _TIMES.items()},
    )


def _addition(dialect: str, table: Table) -> Any:
    counts = insert_for(dialect, table)
    more = {"calls": table.c.calls + counts.excluded.calls}
    return counts.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=more)
