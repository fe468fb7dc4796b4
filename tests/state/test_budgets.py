"""Budgets and their ledger on both databases: reserved or not at all, settled once, and always the sum of the rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gevent
import pytest
from sqlalchemy import Engine, event, select, update

from app.errors import GatewayError
from app.state.budget_lines import Balance, History, Line, Reserved
from app.state.budgets import Budgets
from app.state.ledger import Ledger
from app.state.ledger_rows import COUNTS, Entry, row_id
from app.state.state import State
from app.state.tables import budget, reservation
from app.state.tables import ledger as ledger_table

NOW = 1_700_000_000.0
DAY = int(NOW) // 86_400 * 86_400


class Clock:
    """A clock that the test moves; Unix seconds."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def line(most: int = 100, level: str = "key", owner: str = "red/ann", **members: Any) -> Line:
    names = {"per": "day", "models": None, "period": DAY, "until": DAY + 86_400, **members}
    pattern = names["models"]
    return Line(
        level,
        owner,
        **names,
        most=most,
        fits=lambda label, asked: pattern in (None, label, asked),
        name=owner,
    )


def entry(name: str, state: str = "lost", cost: int | None = None, **members: Any) -> Entry:
    attempt = f"att_{name}"
    names: dict[str, Any] = {
        "tenant": "red",
        "key": "ann",
        "asked": "groq/x",
        "provider": "groq",
        "model": "x",
    }
    names |= {
        "call_id": f"req_{name}",
        "provider_key": None,
        "request_type": "chat_completion",
        "state": state,
    }
    names |= {"created_at": NOW, "period_at": NOW, "cost": cost, "cost_details": None}
    return Entry(
        **{"id": row_id(attempt), "attempt_id": attempt, **dict.fromkeys(COUNTS), **names, **members}
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(state: State, clock: Clock) -> Budgets:
    return Budgets(state.db, clock)


@pytest.fixture
def ledger(state: State, clock: Clock) -> Iterator[Ledger]:
    made = Ledger(state.db, clock)
    yield made
    assert made.check().faults == []


def test_all_budgets_of_an_attempt_are_reserved_or_none(book: Budgets, ledger: Ledger) -> None:
    wide, narrow = line(100, "tenant", "red"), line(10)
    assert book.reserve(entry("a"), [wide, narrow], 8, 60).refused is None
    refused = book.reserve(entry("b"), [wide, narrow], 8, 60)
    assert (refused.refused, refused.balances) == (1, (Balance(0, 8), Balance(0, 8)))
    assert book.read([wide, narrow]) == [Balance(0, 8), Balance(0, 8)]
    assert book.reserve(entry("c"), [wide], 92, 60).refused is None
    assert book.reserve(entry("d"), [wide], 1, 60).refused == 0


def test_what_was_reserved_is_released_for_what_it_cost(book: Budgets, ledger: Ledger) -> None:
    mine = line()
    book.reserve(entry("a"), [mine], 40, 60)
    (paid,) = book.settle(entry("a", "settled", 130))
    assert (paid.spent, paid.most, paid.level, paid.owner) == (130, 100, "key", "red/ann")
    assert book.read([mine]) == [Balance(130, 0)]
    assert (
        book.reserve(entry("b"), [mine], 0, 60).refused == 0
    )  # passed by what was counted above the estimate
    assert book.reserve(entry("c"), [mine], None, 60).refused is None  # of unknown price


def test_a_budget_begins_with_the_rows_of_its_key(book: Budgets, ledger: Ledger) -> None:
    """By the key's id; rows without one, of a version before 0021, by the names that the key had."""
    history = History(former=(("old", NOW),), since=NOW - 100)
    mine = replace(line(owner="red/key_1"), name="red/new", history=history)
    before, after = {"period_at": NOW - 50}, {"period_at": NOW + 50}
    ledger.write(
        [
            entry("a", "settled", 1, key="old", key_id="key_1", **after),
            entry("b", "settled", 2, key="new", key_id="key_1"),
            entry("c", "settled", 4, key="old", **before),
            entry("d", "settled", 8, key="new", **after),
            entry("e", "settled", 1_000, key="new", key_id="key_2", **after),
            entry("f", "settled", 1_000, key="old", **after),
            entry("g", "settled", 1_000, key="new", **before),
            entry("h", "settled", 1_000, key="old", period_at=NOW - 150),
            entry("i", "settled", 1_000, key="old", tenant="blue", key_id="key_1"),
        ]
    )
    assert book.read([mine]) == [Balance(15, 0)]
    assert book.read([line(owner="red/new")]) == [Balance(1_008, 0)]


def test_the_columns_of_a_row_are_those_of_the_table() -> None:
    assert tuple(column.name for column in ledger_table.columns) == Entry._fields


def test_settling_twice_charges_once(book: Budgets, ledger: Ledger) -> None:
    mine = line()
    book.reserve(entry("a"), [mine], 40, 60)
    assert [len(book.settle(entry("a", "settled", 30))) for _ in range(3)] == [1, 0, 0]
    assert book.read([mine]) == [Balance(30, 0)]


def test_an_attempt_without_budgets_has_a_row_all_the_same(book: Budgets, ledger: Ledger) -> None:
    ledger.write([entry("a", "settled", 5), entry("a", "settled", 5), entry("b", "cached", 0)])
    assert [row["state"] for row in ledger.page(10, None, {}, (None, None)).rows] != []
    assert ledger.check().rows == 2


def end_leases(state: State) -> None:
    ended = update(reservation).values(lease_until=0.0)
    state.db.write(lambda connection: connection.execute(ended) and None)


def test_what_nobody_renews_is_charged_in_full_and_corrected_by_what_comes_later(
    state: State, book: Budgets, ledger: Ledger
) -> None:
    mine = line()
    book.reserve(entry("a", cost=40), [mine], 40, 60)
    assert book.collect() == []
    end_leases(state)
    ((row, (paid,)),) = book.collect()
    assert (row.state, row.cost, paid.spent) == ("lost", 40, 40)
    assert book.read([mine]) == [Balance(40, 0)]
    assert book.collect() == []
    (paid,) = book.settle(entry("a", "settled", 15))
    assert paid.spent == 15
    assert book.settle(entry("a", "settled", 15)) == []
    first, second = sorted(
        ledger.page(10, None, {}, (None, None)).rows, key=lambda row: row["corrects"] or ""
    )
    assert (first["state"], first["cost"]) == ("lost", 4e-8)
    assert (second["state"], second["cost"], second["corrects"]) == ("settled", -2.5e-8, first["id"])


def test_a_renewed_lease_is_not_collected(state: State, book: Budgets, ledger: Ledger) -> None:
    book.reserve(entry("a"), [line()], 40, 60)
    end_leases(state)
    book.renew(["att_a"], 60)
    assert book.collect() == []


def test_a_budget_that_is_added_begins_with_the_sum_of_its_period(
    book: Budgets, ledger: Ledger, clock: Clock
) -> None:
    ledger.write(
        [
            entry("a", "settled", 5),
            entry("b", "settled", 7, model="y", asked="fast"),
            entry("c", "settled", None),
            entry("d", "settled", 11, key="bob"),
            entry("e", "settled", 13, period_at=NOW - 86_400),
            entry("f", "settled", 17, tenant="blue"),
        ]
    )
    lines = [
        line(),
        line(models="groq/y"),
        line(models="fast"),
        line(level="tenant", owner="red"),
        line(level="gateway", owner=""),
        line(per="total", period=0, until=None),
    ]
    assert [one.spent for one in book.read(lines)] == [12, 7, 7, 23, 40, 25]
    assert [one.spent for one in Budgets(book._db, clock).read(lines)] == [12, 7, 7, 23, 40, 25]


def test_changing_the_amount_keeps_what_was_spent(book: Budgets, ledger: Ledger) -> None:
    book.reserve(entry("a"), [line(100)], 40, 60)
    book.settle(entry("a", "settled", 40))
    assert book.reserve(entry("b"), [line(50)], 20, 60).balances == (Balance(40, 0),)
    assert book.reserve(entry("b"), [line(200)], 20, 60).refused is None


def test_a_budget_that_was_taken_away_and_comes_back_is_charged_for_the_time_between(
    book: Budgets, ledger: Ledger, clock: Clock
) -> None:
    mine = line()
    book.reserve(entry("a"), [mine], 10, 60)
    book.settle(entry("a", "settled", 10))
    clock.now += 600
    ledger.write([entry("b", "settled", 20, period_at=clock.now)])
    assert book.read([mine]) == [Balance(10, 0)]
    book.forget()
    assert book.read([mine]) == [Balance(30, 0)]


def test_a_budget_that_comes_back_is_charged_for_the_time_between_though_the_clock_was_set_back(
    book: Budgets, ledger: Ledger, clock: Clock
) -> None:
    mine = line()
    book.reserve(entry("a"), [mine], 10, 60)
    book.settle(entry("a", "settled", 10))
    clock.now -= 3_600
    ledger.write([entry("b", "settled", 20, period_at=clock.now)])
    book.forget()
    clock.now += 600
    assert book.read([mine]) == [Balance(30, 0)]


def test_a_period_begins_anew_and_the_one_before_pays_for_what_it_reserved(
    book: Budgets, ledger: Ledger, clock: Clock
) -> None:
    today, tomorrow = line(), line(period=DAY + 86_400, until=DAY + 2 * 86_400)
    book.reserve(entry("a"), [today], 90, 60)
    clock.now = DAY + 86_400 + 1
    assert book.reserve(entry("b", period_at=clock.now), [tomorrow], 90, 60).refused is None
    book.settle(entry("a", "settled", 60))
    assert book.read([today, tomorrow]) == [Balance(60, 0), Balance(0, 90)]


def test_rows_of_a_database_that_was_emptied_are_made_anew(
    state: State, book: Budgets, ledger: Ledger
) -> None:
    mine = line()
    book.read([mine])
    state.db.write(lambda connection: connection.execute(budget.delete()) and None)
    assert book.reserve(entry("a"), [mine], 40, 60).refused is None


def test_crowds_at_several_budgets_never_wait_for_each_other_in_a_circle(
    state: State, second: State, ledger: Ledger
) -> None:
    lines = [line(1_000, "key", f"red/{name}") for name in "abc"] + [line(20, "gateway", "")]
    books = [Budgets(state.db), Budgets(second.db)]
    admitted: list[int] = []

    def work(number: int) -> None:
        book = books[number % 2]
        some = [lines[(number + offset) % 3] for offset in range(2)] + [lines[3]]
        row = entry(str(number))
        if book.reserve(row, some[:: 1 if number % 4 < 2 else -1], 2, 60).refused is None:
            admitted.append(number)
            book.settle(row._replace(state="settled", cost=2))

    gevent.joinall([gevent.spawn(work, number) for number in range(64)], raise_error=True)
    assert len(admitted) == 10
    assert Budgets(state.db).read([lines[3]]) == [Balance(20, 0)]


def test_a_budget_that_is_added_while_rows_are_written_is_charged_for_what_it_sums(
    state: State, second: State, ledger: Ledger
) -> None:
    writer, book = Ledger(second.db), Budgets(state.db)
    written = 0

    def write() -> None:
        nonlocal written
        for number in range(40):
            writer.write([entry(f"{number}-{part}", "settled", 1).at(time.time()) for part in range(20)])
            written += 20

    writing = gevent.spawn(write)
    lines = [line(per=f"day{number}") for number in range(20)]
    for one in lines:
        book.read([one])
        gevent.sleep(0.005)
    writing.join()
    book.forget()
    assert [one.spent for one in book.read(lines)] == [written] * 20


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """What is sent to a database, without what begins and ends transactions."""
    heard: list[str] = []

    def hear(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if not statement.startswith(("BEGIN", "SAVEPOINT", "RELEASE")):
            heard.append(statement)

    event.listen(Engine, "before_cursor_execute", hear)
    yield heard
    event.remove(Engine, "before_cursor_execute", hear)


def test_a_known_budget_costs_one_statement_before_and_one_after(
    state: State, book: Budgets, ledger: Ledger, statements: list[str]
) -> None:
    lines = [line(), line(level="tenant", owner="red"), line(level="gateway", owner="")]
    book.read(lines)
    transactions: list[Any] = []

    def begun(connection: Any) -> None:
        transactions.append(connection)

    event.listen(Engine, "begin", begun)
    statements.clear()
    book.reserve(entry("a"), lines, 40, 60)
    before = (len(statements), len(transactions))
    book.settle(entry("a", "settled", 30))
    after = (len(statements) - before[0], len(transactions) - before[1])
    event.remove(Engine, "begin", begun)
    if state.db.is_postgres:
        assert (before, after) == ((1, 1), (1, 1))
    else:  # the writer thread's: one transaction, no round trip
        assert (before[1], after[1]) == (1, 1)
    statement = select(reservation)
    assert state.db.read(lambda connection: connection.execute(statement).all()) == []


def test_a_reservation_that_comes_twice_is_held_once(state: State, book: Budgets, ledger: Ledger) -> None:
    """A connection that breaks while PostgreSQL commits: the statement is sent again."""
    if not state.db.is_postgres:
        return  # its writer thread has no connection that could break
    lines = [line(), line(level="tenant", owner="red")]
    first = book.reserve(entry("a"), lines, 60, 60)
    again = book.reserve(entry("a"), lines, 60, 60)
    assert (first, again) == (Reserved((Balance(0, 0),) * 2, None),) * 2
    assert book.read(lines) == [Balance(0, 60)] * 2
    book.settle(entry("a", "settled", 30))
    assert book.read(lines) == [Balance(30, 0)] * 2
    assert ledger.check().faults == []


@pytest.mark.slow
def test_a_reservation_waits_five_seconds_for_a_row_that_others_hold(state: State, book: Budgets) -> None:
    """The statement sets this limit itself: it has no BEGIN."""
    if not state.db.is_postgres:
        return  # its writer thread waits for nobody
    book.read([line()])
    with state.db.backend._engine.connect() as other, other.begin():  # type: ignore[attr-defined]
        other.execute(select(budget).with_for_update())
        with pytest.raises(GatewayError, match="not available") as caught:
            book.reserve(entry("a"), [line()], 40, 60)
    assert "lock timeout" in str(caught.value.raw)


def test_what_was_reserved_for_nothing_is_taken_back_once(book: Budgets, ledger: Ledger) -> None:
    lines = [line(), line(level="tenant", owner="red")]
    for name in ("a", "b", "c"):
        book.reserve(entry(name), lines, 20, 60)
    assert book.release(["att_a", "att_b", "att_never"]) == {"att_a", "att_b"}
    assert book.release(["att_a"]) == set()
    assert (book.read(lines), ledger.check().faults) == ([Balance(0, 20)] * 2, [])


def test_a_row_that_is_written_late_is_charged_once_to_budgets_that_were_added(
    book: Budgets, ledger: Ledger
) -> None:
    old, added = line(), [line(per="week"), line(level="tenant", owner="red"), line(models="groq/y")]
    book.reserve(entry("a"), [old], 40, 60)
    book.read(added)
    settled = entry("a", "settled", 30)
    book.settle(settled)
    concerns = lambda row, one: row.models in (None, f"{one.provider}/{one.model}")  # noqa: E731
    charged = book.charge_others([settled], [DAY], concerns)
    assert [(one.per, one.spent, one.most) for one in charged] == [("week", 30, 0), ("day", 30, 0)]
    assert book.charge_others([settled], [DAY], concerns) == []
    book.forget()
    assert [one.spent for one in book.read([old, *added])] == [30, 30, 30, 0]
    assert ledger.check().faults == []
