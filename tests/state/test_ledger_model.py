"""The ledger held to a model: drawn lives of attempts, over which each budget is the sum of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select, text, update

from app.errors import GatewayError
from app.state.audit import Actor
from app.state.budget_lines import Balance, Line
from app.state.budgets import Budgets
from app.state.ledger import Correction, Ledger
from app.state.ledger_rows import Entry, row_id
from app.state.state import State
from app.state.tables import budget, ledger, ledger_charge, reservation
from tests.state.test_budgets import DAY, Clock, entry, line

ACTOR = Actor("test", "admin", "")
DAY_SECONDS = 86_400


CALLERS = {
    "ann": ["day", "total", "tenant", "gateway"],
    "bob": ["tenant", "gateway"],
    "eve": ["gateway"],
}
"""The budgets that hold each caller."""


@dataclass
class Life:
    """An attempt: what it reserved of which budgets, what it is charged so far, and what may still happen to it."""

    lines: list[str]
    amount: int
    charged: int = 0
    runs: bool = True
    lost: bool = False
    sure: bool = True


class Book(RuleBasedStateMachine):
    """Attempts are reserved, settled, lost and corrected in any order."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state, self.clock = state, Clock()
        tables = (budget, reservation, ledger, ledger_charge)
        state.db.write(lambda c: [c.execute(text(f"DELETE FROM {one}")) for one in tables] and None)
        self.book, self.ledger = Budgets(state.db, self.clock), Ledger(state.db, self.clock)
        self.most = {"day": 60, "total": 200, "tenant": 100, "gateway": 150}
        self.spent: dict[str, int] = {}
        self.reserved: dict[str, int] = {}
        self.lives: dict[str, Life] = {}
        self.total = 0
        self.noted = 0
        self.names = 0

    def line(self, name: str) -> Line:
        day = int(self.clock.now) // DAY_SECONDS * DAY_SECONDS
        ever: dict[str, Any] = {"per": "total", "period": 0, "until": None}
        made = {
            "day": line(self.most["day"], period=day, until=day + DAY_SECONDS),
            "total": line(self.most["total"], **ever),
            "tenant": line(self.most["tenant"], "tenant", "red", **ever),
            "gateway": line(self.most["gateway"], "gateway", "", **ever),
        }
        return made[name]

    def entry(self, label: str, state: Any, cost: int | None) -> Entry:
        """Return the row of an attempt, whose name ends in that of its caller."""
        key = label.partition("-")[2]
        tenant = "blue" if key == "eve" else "red"
        return entry(label, state, cost, period_at=self.clock.now, tenant=tenant, key=key)

    @initialize(costs=st.lists(st.integers(0, 20), max_size=4))
    def rows_from_before_there_were_budgets(self, costs: list[int]) -> None:
        rows = [entry(f"old{n}", "settled", cost, tenant="blue") for n, cost in enumerate(costs)]
        self.ledger.write(rows)
        self.spent[self.line("gateway").id] = sum(costs)
        self.total = sum(costs)

    @rule(who=st.sampled_from(sorted(CALLERS)), amount=st.none() | st.integers(0, 40))
    def reserve(self, who: str, amount: int | None) -> None:
        self.names += 1
        label = f"{self.names}-{who}"
        lines = [self.line(name) for name in CALLERS[who]]
        found = self.book.reserve(self.entry(label, "lost", amount), lines, amount, 60)
        balances = [Balance(self.spent.get(one.id, 0), self.reserved.get(one.id, 0)) for one in lines]
        short = [
            sum(balance) + (amount or 0) > one.most for one, balance in zip(lines, balances, strict=True)
        ]
        refused = amount is not None and any(short)
        assert found.balances == tuple(balances)
        assert found.refused == (short.index(True) if refused else None)
        if not refused:
            self.lives[label] = Life([one.id for one in lines], amount or 0)
            for one in lines:
                self.reserved[one.id] = self.reserved.get(one.id, 0) + (amount or 0)

    @rule(data=st.data(), cost=st.none() | st.integers(0, 60), sure=st.booleans())
    @precondition(lambda self: self.lives)
    def settle(self, data: st.DataObject, cost: int | None, sure: bool) -> None:
        label = data.draw(st.sampled_from(sorted(self.lives)))
        life = self.lives[label]
        state = "settled" if sure else "estimated"
        self.book.settle(self.entry(label, state, cost))
        if life.runs or life.lost:
            self._end(life, cost or 0 if life.runs or cost is not None else life.charged)
            life.lost, life.sure = False, sure or life.lost  # what was lost has its one correction

    @rule(data=st.data())
    @precondition(lambda self: any(life.runs for life in self.lives.values()))
    def lose(self, data: st.DataObject) -> None:
        label = data.draw(st.sampled_from(sorted(name for name, life in self.lives.items() if life.runs)))
        mine = update(reservation).where(reservation.c.attempt_id == f"att_{label}").values(lease_until=0.0)
        self.state.db.write(lambda connection: connection.execute(mine) and None)
        ((row, _),) = self.book.collect()
        life = self.lives[label]
        assert (row.attempt_id, row.state) == (f"att_{label}", "lost")
        self._end(life, life.amount)
        life.lost = True

    @rule(data=st.data(), cost=st.integers(0, 60))
    @precondition(lambda self: any(not life.runs for life in self.lives.values()))
    def correct(self, data: st.DataObject, cost: int) -> None:
        label = data.draw(st.sampled_from(sorted(name for name, life in self.lives.items() if not life.runs)))
        life = self.lives[label]
        correction = Correction(cost, "the bill")
        if life.sure and not life.lost:
            with pytest.raises(GatewayError, match="corrected"):
                self.ledger.correct(ACTOR, row_id(f"att_{label}"), correction)
            return
        self.ledger.correct(ACTOR, row_id(f"att_{label}"), correction)
        self._end(life, cost)
        life.lost, life.sure = False, True

    @rule(name=st.sampled_from(["day", "total", "tenant", "gateway"]), most=st.integers(0, 300))
    def change_the_amount(self, name: str, most: int) -> None:
        self.most[name] = most

    @rule()
    def pass_midnight(self) -> None:
        self.clock.now += DAY_SECONDS

    @rule()
    def start_another_process(self) -> None:
        self.book = Budgets(self.state.db, self.clock)

    @rule()
    @precondition(lambda self: not any(life.runs or life.lost for life in self.lives.values()))
    def join_what_is_old(self) -> None:
        self.ledger.compact(self.clock.now)
        self.lives = {}

    def _end(self, life: Life, cost: int) -> None:
        """Charge an attempt ``cost`` in all, from now on."""
        for one in life.lines:
            self.spent[one] = self.spent.get(one, 0) + cost - life.charged
            if life.runs:
                self.reserved[one] -= life.amount
        self.total += cost - life.charged
        life.charged, life.runs = cost, False

    @invariant()
    def each_budget_is_the_sum_of_its_rows(self) -> None:
        assert self.ledger.check().faults == []
        stored = select(budget.c.id, budget.c.spent, budget.c.reserved)
        rows = self.state.db.read(lambda connection: list(connection.execute(stored)))
        assert {row.id: (row.spent, row.reserved) for row in rows} == {
            row.id: (self.spent.get(row.id, 0), self.reserved.get(row.id, 0)) for row in rows
        }
        whole = select(func.coalesce(func.sum(ledger.c.cost), 0))
        assert self.state.db.read(lambda connection: connection.execute(whole).scalar_one()) == self.total


def test_a_ledger_and_its_model_agree_over_any_life(state: State) -> None:
    examples = 10 if state.db.is_postgres else 25
    drawn = settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),  # a smaller life would take minutes to be found
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(lambda: Book(state), settings=drawn)  # type: ignore[no-untyped-call]


def test_old_rows_become_one_a_day_owner_and_budget(state: State) -> None:
    clock = Clock()
    book, ledger_ = Budgets(state.db, clock), Ledger(state.db, clock)
    mine, whole = line(1_000), line(1_000, "gateway", "")
    book.read([mine, whole])
    for number in range(6):
        lines = [mine, whole] if number % 2 else [whole]
        name = str(number)
        clock.now = DAY + 100.0 + number * DAY_SECONDS / 4
        assert book.reserve(entry(name, period_at=clock.now), lines, 1, 60).refused is None
        usage = {"input_tokens": 3, "output_tokens": 2, "cached_tokens": 1, "reasoning_tokens": 0}
        book.settle(entry(name, "settled", 10, period_at=clock.now)._replace(**usage))
    before = book.read([mine, whole])
    assert ledger_.compact(DAY + 2 * DAY_SECONDS) == 6
    rows = ledger_.page(10, None, {}, (None, None)).rows
    assert sorted((row["created_at"] - DAY, row["cost"], row["usage"]["input_tokens"]) for row in rows) == [
        *((0, 2e-8, 6), (0, 2e-8, 6), (DAY_SECONDS, 1e-8, 3), (DAY_SECONDS, 1e-8, 3)),
    ]
    assert {(row["attempt_id"], row["tenant"], row["key"], row["state"]) for row in rows} == {
        (None, "red", "ann", "settled")
    }
    late = entry("late", "settled", 7, period_at=DAY + 50.0)
    book.settle(late)
    assert ledger_.compact(DAY + 2 * DAY_SECONDS) == 1
    assert ledger_.compact(DAY + 2 * DAY_SECONDS) == 0
    assert book.read([mine, whole]) == before == [Balance(30, 0), Balance(60, 0)]
    assert ledger_.check() == (2, 5, [])
