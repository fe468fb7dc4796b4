"""Budgets: what is spent and reserved of each budget in each of its periods, and the rows that say for what.

An attempt reserves the most that it may cost from all its budgets at once, or from none. Its ledger row releases that and
is charged instead, in one transaction, so a budget's spending is always the sum of the ledger rows that were charged to
it. Rows of budgets are locked in the order of their ids, so that two calls never wait for each other. All money is in
nano-dollars. The caller's clock decides about periods, the database's clock about leases.

Tests: tests/state/test_budgets.py, tests/governance/test_budgets_of_many.py.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    insert,
    literal,
    or_,
    select,
    update,
)

from app.state import budget_statements, ledger_rows
from app.state.bounds import MOST, at_most, sum_columns, sum_of
from app.state.budget_lines import Balance, ChargedBudget, Line, Reserved, first_refused
from app.state.database import Database
from app.state.ledger_rows import Entry
from app.state.rows import chunks
from app.state.tables import AnyRow, budget, db_now, ledger, ledger_charge, reservation
from app.state.upserts import insert_once

_MOST_LINES: Final = 10_000
_SLACK: Final = 60.0
_AT_ONCE: Final = 50


class Budgets:
    """Reserves, settles, and finds reservations that nobody settled; ``clock`` returns Unix seconds."""

    def __init__(self, db: Database, clock: Callable[[], float] = time.time) -> None:
        self._db = db
        self._clock = clock
        self._lines: dict[str, Line] = {}

    def knows(self, lines: Sequence[Line]) -> bool:
        """Tell whether the rows of these budgets exist, as far as this process knows."""
        return self._lines.keys() >= {line.id for line in lines}

    def reserve(self, entry: Entry, lines: Sequence[Line], amount: int | None, lease: float) -> Reserved:
        """Reserve ``amount`` from all ``lines`` or from none; None is an unknown price, which no budget refuses.

        ``entry`` is the ledger row to write when nobody settles or renews within ``lease`` seconds."""
        unknown = [line for line in lines if line.id not in self._lines]
        if unknown:
            self._adopt(unknown)
        row = {"attempt_id": entry.attempt_id, "body": entry.as_json(), "lease": lease}
        limits = {line.id: line.most for line in sorted(lines, key=lambda line: line.id)}
        rows = self._reserve(row, limits, amount)
        if len(rows) < len(limits):  # rows were deleted meanwhile
            self._adopt(lines)
            rows = self._reserve(row, limits, amount)
        balances = tuple([Balance(*rows.get(line.id, (0, 0))) for line in lines])
        return Reserved(balances, first_refused(lines, balances, amount))

    def _reserve(
        self, row: Mapping[str, Any], limits: Mapping[str, int], amount: int | None
    ) -> dict[str, tuple[int, int]]:
        now = self._clock()
        return self._db.write(
            lambda connection: budget_statements.reserve(connection, row, limits, amount, now), single=True
        )

    def settle(self, entry: Entry) -> list[ChargedBudget]:
        """Write an attempt's ledger row and charge it to the budgets that it reserved from; return them as they are then.

        Settling twice charges once. An attempt that was counted as lost gets a correcting row."""
        now = self._clock()
        budgets = self._db.write(
            lambda connection: _settle(connection, entry, now), idempotent=True, single=True
        )
        return budgets or self._db.write(
            lambda connection: _settle_late(connection, entry, now), idempotent=True
        )

    def release(self, attempt_ids: Iterable[str]) -> set[str]:
        """Release what attempts reserved that were never sent; return those that had a reservation."""
        ids: set[str] = set()
        for some in chunks(sorted(attempt_ids)):
            ids |= self._db.write(partial(_release, attempt_ids=some, now=self._clock()))
        return ids

    def renew(self, attempt_ids: Iterable[str], lease: float) -> None:
        """Keep the reservations of attempts for ``lease`` seconds from now."""
        for some in chunks(sorted(attempt_ids)):
            statement = update(reservation).where(reservation.c.attempt_id.in_(some))
            self._db.execute(statement.values(lease_until=db_now() + lease))

    def find_attempts(self, attempt_ids: Iterable[str]) -> set[str]:
        """Return the attempts among these that have a reservation, or were counted as lost."""
        present: set[str] = set()
        is_lost = and_(ledger.c.state == "lost", ledger.c.corrects.is_(None))
        for some in chunks(sorted(attempt_ids)):
            reservations = select(reservation.c.attempt_id).where(reservation.c.attempt_id.in_(some))
            ids = [ledger_rows.row_id(one) for one in some]
            losses = select(ledger.c.attempt_id).where(ledger.c.id.in_(ids), is_lost)
            for statement in (reservations, losses):
                present.update(attempt_id for (attempt_id,) in self._db.fetch_all(statement))
        return present

    def collect(self) -> list[tuple[Entry, list[ChargedBudget]]]:
        """Settle reservations that nobody renewed, as lost, with the amount that was reserved; return their ledger rows and
        budgets."""
        if not self._db.clock.is_settled():
            return []
        old = select(reservation.c.attempt_id).where(reservation.c.lease_until < db_now()).distinct()
        results = (
            self._db.write(partial(_settle_lost, attempt_id=attempt_id, now=self._clock()))
            for (attempt_id,) in self._db.fetch_all(old.limit(_AT_ONCE))
        )
        return [row for row in results if row is not None]

    def charge_others(
        self, entries: Sequence[Entry], periods: Iterable[int], concerns: Callable[[AnyRow, Entry], bool]
    ) -> list[ChargedBudget]:
        """Charge ledger rows to the budgets that were added while their attempts ran; return these budgets.

        ``periods`` are the starts of all periods in which the attempts began; ``concerns`` tells whether an entry belongs
        to a row of ``budget``. A budget that has the row already is left as it is."""
        owners = {"", *(entry.tenant for entry in entries), *(entry.owner for entry in entries)}
        owners |= {f"{entry.tenant}/{entry.key}" for entry in entries}  # as versions before 0021 knew them
        some = select(budget).where(budget.c.owner.in_(sorted(owners)), budget.c.period.in_(sorted(periods)))
        ids = [entry.id for entry in entries]
        charges = select(ledger_charge).where(ledger_charge.c.ledger_id.in_(ids))
        rows = self._read(some.order_by(budget.c.id))
        pairs = {(row.budget_id, row.ledger_id) for row in self._read(charges)} if rows else set()
        missing = {
            row.id: [one for one in entries if (row.id, one.id) not in pairs and concerns(row, one)]
            for row in rows
        }
        missing = {budget_id: some for budget_id, some in missing.items() if some}
        if not missing:
            return []
        return self._db.write(lambda connection: _charge_rows(connection, missing), idempotent=True)

    def _read(self, query: Select[Any]) -> list[Any]:
        return self._db.read(lambda connection: list(connection.execute(query)), single=True)

    def read(self, lines: Sequence[Line], *, adopt: bool = True) -> list[Balance]:
        """Return the balances of budgets. With ``adopt``, a budget that nobody used yet gets the sum of its ledger rows;
        without it, its balance is zero."""
        unknown = [line for line in lines if line.id not in self._lines]
        if unknown and adopt:
            self._adopt(unknown)
        ids = [line.id for line in lines]
        rows = self._db.read(lambda connection: _balances(connection, ids), single=True)
        return [rows.get(line.id, Balance(0, 0)) for line in lines]

    def _adopt(self, lines: Sequence[Line]) -> None:
        """Make sure that the rows of budgets exist; charge to them what was spent while they did not.

        The rows are there for all before the ledger is read: a ledger row that is written later is charged by its writer
        (``charge_others``)."""
        in_order = sorted(lines, key=lambda line: line.id)

        def insert_rows(connection: Connection) -> None:
            for line in in_order:
                insert_once(connection, budget, _new_row(line))

        def work(connection: Connection) -> None:
            for line in in_order:
                _adopt(connection, line, self._clock())

        present = self._read(select(budget.c.id).where(budget.c.id.in_([line.id for line in lines])))
        if len(present) < len({line.id for line in lines}):
            self._db.write(insert_rows, idempotent=True)
        self._db.write(work, idempotent=True)
        if len(self._lines) > _MOST_LINES:
            self._lines.clear()
        self._lines.update((line.id, line) for line in lines)

    def adopt_again(self) -> None:
        """Charge to each budget that this process knows what was written since, whatever wrote it.

        One after another, because calls wait for a budget that is being adopted."""
        for line in list(self._lines.values()):
            self._adopt([line])

    def forget(self) -> None:
        """Adopt each budget again: one that was removed and added again was not charged meanwhile."""
        self._lines.clear()


# --- reserving ---------------------------------------------------------------------------------------


def _balances(connection: Connection, ids: Sequence[str], *, lock: bool = False) -> dict[str, Balance]:
    columns = (budget.c.id, budget.c.spent, budget.c.reserved)
    statement = select(*columns).where(budget.c.id.in_(ids)).order_by(budget.c.id)
    rows = connection.execute(statement.with_for_update() if lock else statement)
    return {row.id: Balance(row.spent, row.reserved) for row in rows}


def _new_row(line: Line) -> dict[str, Any]:
    """Return the row of a budget that was never used, so that all of its period is charged to it."""
    names = {"id": line.id, "level": line.level, "owner": line.owner, "per": line.per, "models": line.models}
    return {**names, "period": line.period, "spent": 0, "reserved": 0, "alerted": 0, "used_at": 0.0}


def _adopt(connection: Connection, line: Line, now: float) -> None:
    """Charge to a budget the ledger rows of its period that were not charged yet: those since its last use, because it may
    have been removed meanwhile."""
    query = select(budget.c.used_at).where(budget.c.id == line.id).with_for_update()
    used_at = connection.execute(query).scalar_one()
    since = max(float(line.period), used_at - _SLACK) if used_at <= now + _SLACK else float(line.period)
    total = sum(_charge_late(connection, line, some) for some in _uncharged_rows(connection, line, since))
    values = {"spent": _spent_after(connection, total), "used_at": now, "owner": line.owner}
    connection.execute(update(budget).where(budget.c.id == line.id).values(**values))


def _uncharged_rows(connection: Connection, line: Line, since: float) -> list[ColumnElement[bool]]:
    """Return conditions; a ledger row that fits one of them concerns the budget and was not charged to it."""
    charges = select(ledger_charge.c.ledger_id).where(
        ledger_charge.c.ledger_id == ledger.c.id, ledger_charge.c.budget_id == line.id
    )
    conditions = [ledger.c.created_at >= since, ledger.c.period_at >= line.period, ~charges.exists()]
    if line.until is not None:
        conditions.append(ledger.c.period_at < line.until)
    base = and_(*conditions, *_of_owner(line))
    if line.models is None:
        return [base]
    names = (ledger.c.provider, ledger.c.model, ledger.c.asked)
    rows = connection.execute(select(*names).where(base).distinct())
    return [
        and_(base, *(column == row[place] for place, column in enumerate(names)))
        for row in rows
        if line.fits(f"{row.provider}/{row.model}", row.asked or "")
    ]


def _of_owner(line: Line) -> list[ColumnElement[bool]]:
    """Return the conditions of the ledger rows of a budget's owner: under any name that its key had, those with the key's id;
    those without an id, which are of keys of the file or from before version 0021, under each name while the key had it."""
    tenant, _, key_id = line.owner.partition("/")
    conditions = [ledger.c.tenant == tenant] if tenant else []
    if key_id:
        names, begin, spans = set(), line.history.since, []
        for name, until in (*line.history.former, (line.name.partition("/")[2], math.inf)):
            names.add(name)
            spans.append(and_(ledger.c.key == name, ledger.c.period_at.between(begin, until)))
            begin = until
        conditions.append(ledger.c.key.in_(sorted(names)))  # there is an index of names
        conditions.append(or_(ledger.c.key_id == key_id, and_(ledger.c.key_id.is_(None), or_(*spans))))
    return conditions


def _charge_rows(connection: Connection, missing: Mapping[str, Sequence[Entry]]) -> list[ChargedBudget]:
    """Charge ledger rows to budgets, in the order of the budgets' ids; what another process charged meanwhile is left out."""
    _balances(connection, list(missing), lock=True)
    columns = [budget.c[name] for name in ChargedBudget._fields if name != "most"]
    budgets = []
    for budget_id, entries in missing.items():
        total = sum(
            entry.cost or 0
            for entry in entries
            if insert_once(connection, ledger_charge, {"ledger_id": entry.id, "budget_id": budget_id})
        )
        statement = (
            update(budget).where(budget.c.id == budget_id).values(spent=_spent_after(connection, total))
        )
        row = connection.execute(statement.returning(*columns)).one()
        budgets.append(ChargedBudget._make((*row, 0)))
    return budgets


def _charge_late(connection: Connection, line: Line, some: ColumnElement[bool]) -> int:
    """Charge the ledger rows that fit ``some``; return the cost of exactly these rows, whatever is written meanwhile."""
    rows = select(ledger.c.id, literal(line.id)).where(some)
    charges = insert(ledger_charge).from_select(["ledger_id", "budget_id"], rows)
    total = select(*sum_columns(ledger.c.cost))
    if connection.dialect.name == "postgresql":
        new_rows = charges.returning(ledger_charge.c.ledger_id).cte("added")
        return sum_of(connection.execute(total.where(ledger.c.id.in_(select(new_rows.c.ledger_id)))).one())
    cost = sum_of(connection.execute(total.where(some)).one())
    connection.execute(charges)
    return cost


def _spent_after(connection: Connection, cost: int) -> ColumnElement[Any]:
    """Return a budget's spending after ``cost``."""
    return at_most(connection.dialect.name, budget.c.spent + min(cost, MOST))


# --- settling ----------------------------------------------------------------------------------------


def settle_in(connection: Connection, entry: Entry, now: float) -> list[ChargedBudget]:
    """Write an attempt's ledger row and charge it to the budgets that it reserved from, within a transaction."""
    return _settle(connection, entry, now) or _settle_late(connection, entry, now)


def _settle(connection: Connection, entry: Entry, now: float) -> list[ChargedBudget]:
    """Settle an attempt that still has its reservation; do nothing when the reservation is gone."""
    rows = budget_statements.settle(connection, entry.at(now)._asdict(), now)
    return [ChargedBudget._make(row) for row in rows]


def _settle_late(connection: Connection, entry: Entry, now: float) -> list[ChargedBudget]:
    """Settle an attempt without a reservation: correct its row if it was counted as lost."""
    row = connection.execute(select(ledger).where(ledger.c.id == entry.id).with_for_update()).first()
    if row is None:
        insert_once(connection, ledger, entry.at(now)._asdict())
        return []
    if row.state != "lost":
        return []
    cost = None if entry.cost is None else entry.cost - (row.cost or 0)
    new_id = ledger_rows.correction_id(row.id)
    return correct_in(
        connection, entry._replace(id=new_id, corrects=row.id, cost=cost, cost_details=None), now
    )


def correct_in(connection: Connection, entry: Entry, now: float) -> list[ChargedBudget]:
    """Write a correcting row and charge it, once, to the budgets of the row that it corrects."""
    if not insert_once(connection, ledger, entry.at(now)._asdict()):
        return []
    mine = select(ledger_charge.c.budget_id).where(ledger_charge.c.ledger_id == entry.corrects)
    limits = dict.fromkeys(connection.execute(mine).scalars(), 0)
    charge(connection, entry.id, limits)
    return pay(connection, limits, entry.cost or 0, now)


def charge(connection: Connection, entry_id: str, budget_ids: Iterable[str]) -> None:
    """Store that a ledger row is charged to budgets."""
    rows = [{"ledger_id": entry_id, "budget_id": one} for one in sorted(budget_ids)]
    if rows:
        connection.execute(insert(ledger_charge), rows)


def pay(connection: Connection, limits: dict[str, int], cost: int, now: float) -> list[ChargedBudget]:
    """Add ``cost`` to the spending of budgets; ``limits`` are their amounts by id."""
    if not limits:
        return []
    ids = sorted(limits)
    _balances(connection, ids, lock=True)
    values = {"spent": _spent_after(connection, cost), "used_at": now}
    columns = [budget.c[name] for name in ChargedBudget._fields if name != "most"]
    statement = update(budget).where(budget.c.id.in_(ids)).values(**values).returning(*columns)
    return [ChargedBudget._make((*row, limits[row.id])) for row in connection.execute(statement)]


def _release(connection: Connection, attempt_ids: Sequence[str], now: float) -> set[str]:
    """Delete reservations and subtract their amounts from the budgets; return the attempts that had one."""
    columns = (reservation.c.attempt_id, reservation.c.budget_id, reservation.c.amount)
    mine = delete(reservation).where(reservation.c.attempt_id.in_(attempt_ids)).returning(*columns)
    rows: list[Any] = list(connection.execute(mine))
    amounts: Counter[str] = Counter()
    for row in rows:
        amounts[row.budget_id] += row.amount
    for one in sorted(amounts):
        less = {"reserved": budget.c.reserved - amounts[one], "used_at": now}
        connection.execute(update(budget).where(budget.c.id == one).values(**less))
    return {row.attempt_id for row in rows}


def _settle_lost(
    connection: Connection, attempt_id: str, now: float
) -> tuple[Entry, list[ChargedBudget]] | None:
    """Settle, with the amount that it reserved, an attempt whose process is gone; check again under the rows' locks."""
    over = and_(reservation.c.attempt_id == attempt_id, reservation.c.lease_until < db_now())
    row = connection.execute(select(reservation).where(over).with_for_update(skip_locked=True)).first()
    if row is None:
        return None
    entry = ledger_rows.from_json(row.body)
    return entry, settle_in(connection, entry, now)
