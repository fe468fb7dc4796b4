"""Budgets: what was spent and is reserved of each in each of its periods, and the rows that say for what.

An attempt reserves its worst case of all its budgets at once, or of none; its ledger row releases that and is
charged in its place, in one transaction. So what a budget spent is the sum of the ledger rows that were charged to it, always.
Rows of budgets are locked in the order of their ids, so that two calls never wait for each other.
All money is in nano-dollars; the periods are the caller's, leases are on the database's clock.

Tests: tests/state/test_budgets.py, tests/governance/test_budgets_of_many.py.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, literal, select, update

from app.state import budget_statements, ledger_rows
from app.state.budget_lines import Line, Paid, Reserved, Standing, first_refused
from app.state.database import Database
from app.state.ledger_rows import Entry
from app.state.rows import chunks
from app.state.tables import budget, db_now, ledger, ledger_charge, reservation
from app.state.upserts import insert_once

_MOST_KNOWN: Final = 10_000
_SLACK: Final = 60.0
_AT_ONCE: Final = 50


class Budgets:
    """Reserves, settles, and finds what nobody settled. ``clock`` gives Unix seconds."""

    def __init__(self, db: Database, clock: Callable[[], float] = time.time) -> None:
        self._db = db
        self._clock = clock
        self._known: set[str] = set()

    def reserve(self, entry: Entry, lines: Sequence[Line], amount: int | None, lease: float) -> Reserved:
        """Reserve ``amount`` (None: of unknown price, which no budget refuses) of all ``lines`` or of none.

        ``entry`` is the row that is written when nobody settles within ``lease`` seconds."""
        unknown = [line for line in lines if line.id not in self._known]
        if unknown:
            self._adopt(unknown)
        wanted = _Wanted(entry, tuple(sorted(lines, key=lambda line: line.id)), amount, lease, self._clock())
        found = self._db.write(lambda connection: _reserve(connection, wanted), single=True)
        if found is None:  # rows that were there are gone
            self._adopt(lines)
            found = self._db.write(lambda connection: _reserve(connection, wanted), single=True)
        standings = found or {}
        ordered = tuple(standings.get(line.id, Standing(0, 0)) for line in lines)
        return Reserved(ordered, first_refused(lines, ordered, amount))

    def settle(self, entry: Entry) -> list[Paid]:
        """Charge an attempt to what it had reserved, once; return the budgets as they stand then.

        One that was counted as lost before gets a correcting row."""
        now = self._clock()
        paid = self._db.write(
            lambda connection: _settle(connection, entry, now), idempotent=True, single=True
        )
        return paid or self._db.write(
            lambda connection: _settle_late(connection, entry, now), idempotent=True
        )

    def release(self, attempt_ids: Iterable[str]) -> set[str]:
        """Take back what attempts that never went out have reserved; return those that had anything."""
        now, found = self._clock(), set()
        for some in chunks(sorted(attempt_ids)):
            found |= self._db.write(lambda connection, some=some: _release(connection, some, now))  # type: ignore[misc]
        return found

    def renew(self, attempt_ids: Iterable[str], lease: float) -> None:
        """Hold what attempts have reserved for ``lease`` seconds from now on."""
        for some in chunks(sorted(attempt_ids)):
            statement = (
                update(reservation)
                .where(reservation.c.attempt_id.in_(some))
                .values(lease_until=db_now() + lease)
            )
            self._db.write(lambda connection, statement=statement: connection.execute(statement) and None)  # type: ignore[misc]

    def concerned(self, attempt_ids: Iterable[str]) -> set[str]:
        """Return the attempts among these that have something reserved, or were counted as lost."""
        found: set[str] = set()
        lost = and_(ledger.c.state == "lost", ledger.c.corrects.is_(None))
        for some in chunks(sorted(attempt_ids)):
            held = select(reservation.c.attempt_id).where(reservation.c.attempt_id.in_(some))
            ids = [ledger_rows.row_id(one) for one in some]
            gone = select(ledger.c.attempt_id).where(ledger.c.id.in_(ids), lost)
            for statement in (held, gone):
                found.update(self._db.read(lambda c, s=statement: list(c.execute(s).scalars())))  # type: ignore[misc]
        return found

    def collect(self) -> list[tuple[Entry, list[Paid]]]:
        """Charge what nobody renewed, to the amount that was reserved, as lost; return these rows."""
        old = select(reservation.c.attempt_id).where(reservation.c.lease_until < db_now()).distinct()
        found = self._db.read(lambda connection: list(connection.execute(old.limit(_AT_ONCE)).scalars()))
        lost = (self._db.write(lambda c, one=one: _lose(c, one, self._clock())) for one in found)  # type: ignore[misc]
        return [row for row in lost if row is not None]

    def read(self, lines: Sequence[Line], *, adopt: bool = True) -> list[Standing]:
        """Return how budgets stand; one that nobody used yet has its sum of the ledger, or, where it is not to be
        adopted for that, nothing."""
        unknown = [line for line in lines if line.id not in self._known]
        if unknown and adopt:
            self._adopt(unknown)
        ids = [line.id for line in lines]
        rows = self._db.read(lambda connection: _standings(connection, ids), single=True)
        return [rows.get(line.id, Standing(0, 0)) for line in lines]

    def _adopt(self, lines: Sequence[Line]) -> None:
        """Know budgets from now on; what was spent while they were not there is charged to them."""
        ordered = sorted(lines, key=lambda line: line.id)

        def work(connection: Connection) -> None:
            for line in ordered:
                _adopt(connection, line, self._clock())

        self._db.write(work, idempotent=True)
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        self._known.update(line.id for line in lines)

    def forget(self) -> None:
        """Look again at each budget: what somebody may have taken away and added anew was not charged meanwhile."""
        self._known.clear()


# --- reserving ---------------------------------------------------------------------------------------


class _Wanted(NamedTuple):
    entry: Entry
    lines: tuple[Line, ...]
    amount: int | None
    lease: float
    now: float


def _reserve(connection: Connection, wanted: _Wanted) -> dict[str, Standing] | None:
    """Reserve, or not; return how the budgets stood, None when the row of one is not there."""
    row = {"attempt_id": wanted.entry.attempt_id, "body": wanted.entry.as_json(), "lease": wanted.lease}
    limits = {line.id: line.most for line in wanted.lines}
    found = budget_statements.reserve(connection, row, limits, wanted.amount, wanted.now)
    return None if len(found) < len(limits) else {one: Standing(*stands) for one, stands in found.items()}


def _standings(connection: Connection, ids: Sequence[str], *, lock: bool = False) -> dict[str, Standing]:
    columns = (budget.c.id, budget.c.spent, budget.c.reserved)
    statement = select(*columns).where(budget.c.id.in_(ids)).order_by(budget.c.id)
    rows = connection.execute(statement.with_for_update() if lock else statement)
    return {row.id: Standing(row.spent, row.reserved) for row in rows}


def _adopt(connection: Connection, line: Line, now: float) -> None:
    """Make the row of a budget's period, and charge to it the ledger rows of the period that were not.

    Of one that is there, rows since it was last used: it may have been taken away meanwhile."""
    row = {"id": line.id, "level": line.level, "owner": line.owner, "per": line.per, "models": line.models}
    numbers = {"period": line.period, "spent": 0, "reserved": 0, "alerted": 0, "used_at": now}
    is_new = insert_once(connection, budget, row | numbers)
    locked = select(budget.c.used_at).where(budget.c.id == line.id).with_for_update()
    used_at = connection.execute(locked).scalar_one()
    since = float(line.period) if is_new else max(float(line.period), used_at - _SLACK)
    total = sum(_charge_late(connection, line, some) for some in _uncharged_rows(connection, line, since))
    grown = {"spent": budget.c.spent + total, "used_at": now}
    connection.execute(update(budget).where(budget.c.id == line.id).values(**grown))


def _uncharged_rows(connection: Connection, line: Line, since: float) -> list[ColumnElement[bool]]:
    """Return conditions that together pick the ledger rows which a budget is about and was not charged."""
    charged = select(ledger_charge.c.ledger_id).where(
        ledger_charge.c.ledger_id == ledger.c.id, ledger_charge.c.budget_id == line.id
    )
    found = [ledger.c.created_at >= since, ledger.c.period_at >= line.period, ~charged.exists()]
    if line.until is not None:
        found.append(ledger.c.period_at < line.until)
    tenant, _, key = line.owner.partition("/")
    found += [ledger.c.tenant == tenant] if tenant else []
    found += [ledger.c.key == key] if key else []
    base = and_(*found)
    if line.models is None:
        return [base]
    names = (ledger.c.provider, ledger.c.model, ledger.c.asked)
    rows = connection.execute(select(*names).where(base).distinct())
    fitting = [row for row in rows if line.fits(f"{row.provider}/{row.model}", row.asked or "")]
    return [and_(base, *(column == row[place] for place, column in enumerate(names))) for row in fitting]


def _charge_late(connection: Connection, line: Line, some: ColumnElement[bool]) -> int:
    """Charge the rows that ``some`` picks; return what they cost: of these very rows, whoever writes others meanwhile."""
    rows = select(ledger.c.id, literal(line.id)).where(some)
    charged = insert(ledger_charge).from_select(["ledger_id", "budget_id"], rows)
    total = select(func.coalesce(func.sum(ledger.c.cost), 0))
    if connection.dialect.name == "postgresql":
        added = charged.returning(ledger_charge.c.ledger_id).cte("added")
        return int(connection.execute(total.where(ledger.c.id.in_(select(added.c.ledger_id)))).scalar_one())
    cost = connection.execute(total.where(some)).scalar_one()
    connection.execute(charged)
    return int(cost)


# --- settling ----------------------------------------------------------------------------------------


def settle_in(connection: Connection, entry: Entry, now: float) -> list[Paid]:
    """Write an attempt's row and charge it to what was reserved for it, within a transaction."""
    return _settle(connection, entry, now) or _settle_late(connection, entry, now)


def _settle(connection: Connection, entry: Entry, now: float) -> list[Paid]:
    """Charge what an attempt has reserved still; nothing where that is gone."""
    paid = budget_statements.settle(connection, ledger_rows.columns_of(entry, now), now)
    return [Paid._make(row) for row in paid]


def _settle_late(connection: Connection, entry: Entry, now: float) -> list[Paid]:
    """Settle what has nothing reserved any more: correct it where it was counted as lost."""
    row = connection.execute(select(ledger).where(ledger.c.id == entry.id).with_for_update()).first()
    if row is None:
        insert_once(connection, ledger, ledger_rows.columns_of(entry, now))
        return []
    if row.state != "lost":
        return []
    cost = None if entry.cost is None else entry.cost - (row.cost or 0)
    corrected = ledger_rows.correction_id(row.id)
    return correct_in(
        connection, entry._replace(id=corrected, corrects=row.id, cost=cost, cost_details=None), now
    )


def correct_in(connection: Connection, entry: Entry, now: float) -> list[Paid]:
    """Write a correcting row and charge it to what the row it corrects was charged to, once."""
    if not insert_once(connection, ledger, ledger_rows.columns_of(entry, now)):
        return []
    mine = select(ledger_charge.c.budget_id).where(ledger_charge.c.ledger_id == entry.corrects)
    limits = dict.fromkeys(connection.execute(mine).scalars(), 0)
    charge(connection, entry.id, limits)
    return pay(connection, limits, entry.cost or 0, now)


def charge(connection: Connection, entry_id: str, budget_ids: Iterable[str]) -> None:
    """Note that a ledger row is charged to budgets."""
    rows = [{"ledger_id": entry_id, "budget_id": one} for one in sorted(budget_ids)]
    if rows:
        connection.execute(insert(ledger_charge), rows)


def pay(connection: Connection, limits: dict[str, int], cost: int, now: float) -> list[Paid]:
    """Add to what budgets, by id with their amounts, have spent."""
    if not limits:
        return []
    ids = sorted(limits)
    _standings(connection, ids, lock=True)
    changed = {"spent": budget.c.spent + cost, "used_at": now}
    columns = [budget.c[name] for name in Paid._fields if name != "most"]
    statement = update(budget).where(budget.c.id.in_(ids)).values(**changed).returning(*columns)
    return [Paid._make((*row, limits[row.id])) for row in connection.execute(statement)]


def _release(connection: Connection, attempt_ids: Sequence[str], now: float) -> set[str]:
    """Delete reservations, and take their amounts from what the budgets have reserved."""
    held = (reservation.c.attempt_id, reservation.c.budget_id, reservation.c.amount)
    mine = delete(reservation).where(reservation.c.attempt_id.in_(attempt_ids)).returning(*held)
    rows: list[Any] = list(connection.execute(mine))
    amounts: Counter[str] = Counter()
    for row in rows:
        amounts[row.budget_id] += row.amount
    for one in sorted(amounts):
        less = {"reserved": budget.c.reserved - amounts[one], "used_at": now}
        connection.execute(update(budget).where(budget.c.id == one).values(**less))
    return {row.attempt_id for row in rows}


def _lose(connection: Connection, attempt_id: str, now: float) -> tuple[Entry, list[Paid]] | None:
    """Count as spent what an attempt reserved whose process is gone; look again under the rows' locks."""
    over = and_(reservation.c.attempt_id == attempt_id, reservation.c.lease_until < db_now())
    rows: list[Any] = list(
        connection.execute(select(reservation).where(over).with_for_update(skip_locked=True))
    )
    if not rows:
        return None
    entry = ledger_rows.from_json(rows[0].body)
    return entry, settle_in(connection, entry, now)
