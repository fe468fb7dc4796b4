"""Which budgets an attempt touches: those of its key, its tenant and the gateway that are about its target.

Tests: tests/gateway/test_budgets.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from app.config import Budget
from app.gateway import allowances
from app.gateway.budgets.periods import period_of
from app.gateway.call import Principal
from app.state.budget_lines import NO_HISTORY, History, Line, id_of_budget
from app.state.ledger_rows import Entry


class Touch(NamedTuple):
    """A budget that is touched. ``level`` and ``owner`` say whose it is, ``words`` and ``name`` for people."""

    level: str
    owner: str
    words: str
    budget: Budget
    name: str
    history: History = NO_HISTORY

    def line(self, now: float) -> Line:
        """Return the budget in the period that runs at ``now``."""
        budget = self.budget
        begin, end = period_of(budget.per, now)

        def fits(label: str, model: str) -> bool:
            return concerns(budget, label, (model,))

        whose = self.name, self.history
        return Line(self.level, self.owner, budget.per, budget.models, begin, end, budget.most, fits, *whose)


def touches_of_caller(principal: Principal, gateway: Sequence[Budget]) -> list[Touch]:
    """Return all budgets of key, tenant and gateway that a caller is subject to, whatever the request; of those of one level,
    span and pattern, the tightest."""
    if not (principal.budgets or principal.tenant_budgets or gateway):
        return []
    tenant = principal.tenant
    levels = (
        ("key", principal.owner, "this key", principal.budgets, (principal.name, principal.history)),
        ("tenant", tenant, f"the tenant '{tenant}'", principal.tenant_budgets, (tenant,)),
        ("gateway", "", "the whole gateway", gateway, ("",)),
    )
    return lowest_of_each(
        Touch(level, owner, words, one, *whose)
        for level, owner, words, budgets, whose in levels
        for one in budgets
    )


def touches_of_target(
    principal: Principal, gateway: Sequence[Budget], label: str, names: Iterable[str]
) -> list[Touch]:
    """Return the budgets that an attempt at ``label`` (``provider/model``) is charged to; ``names`` are the model
    strings that the client asked for."""
    every = touches_of_caller(principal, gateway)
    return [touch for touch in every if concerns(touch.budget, label, names)]


def lowest_of_each(touches: Iterable[Touch]) -> list[Touch]:
    """Return, of those of one owner, span and pattern, the tightest."""
    lowest: dict[tuple[str, str, str, str | None], Touch] = {}
    for touch in touches:
        place = (touch.level, touch.owner, touch.budget.per, touch.budget.models)
        if place not in lowest or touch.budget.most < lowest[place].budget.most:
            lowest[place] = touch
    return list(lowest.values())


def concerns(budget: Budget, label: str, names: Iterable[str]) -> bool:
    """Tell whether a budget is about a target, or about a name that the client asked for where its pattern
    has no ``/``."""
    return fits(budget.models, label, names)


def fits(pattern: str | None, label: str, names: Iterable[str]) -> bool:
    """Tell whether a budget's pattern is about a target; None and ``*`` are about all."""
    if pattern is None or pattern == "*":
        return True
    return any(allowances.fits(pattern, text) for text in ((label,) if "/" in pattern else names))


def concerns_entry(row: Any, entry: Entry) -> bool:
    """Tell whether a row of the table ``budget`` is about an attempt that the ledger's ``entry`` records."""
    owner = {"key": entry.owner, "tenant": entry.tenant}.get(row.level, "")
    begin = period_of(row.per, entry.period_at)[0]
    if row.id != id_of_budget(row.level, owner, row.per, begin, row.models):
        return False
    return fits(row.models, f"{entry.provider}/{entry.model}", (entry.asked or "",))
