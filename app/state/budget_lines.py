"""Values of budgets: a budget in a period, its balance, and what reserving and charging return.

All money is in nano-dollars. The rows are in `app.state.budgets`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Final, NamedTuple

from app.canonical.record import record

Fits = Callable[[str, str], bool]
"""Tells whether a budget concerns a target (``provider/model``) that was chosen for a model string."""


@record
class History:
    """What the ledger knows a key of the database by besides its name: ``former`` names, each until a moment. Rows from
    before ``since``, when it was made, are another's. All in Unix seconds."""

    former: tuple[tuple[str, float], ...] = ()
    since: float = 0.0


NO_HISTORY: Final = History()


@record
class Line:
    """A budget of ``most`` in one of its periods, from ``period`` to ``until`` (Unix seconds; None: for ever).

    Its ``id`` does not depend on the amount, nor on ``name``, by which people and the ledger know its owner."""

    level: str
    owner: str
    per: str
    models: str | None
    period: int
    until: int | None
    most: int
    fits: Fits = field(compare=False)
    name: str = field(compare=False)
    history: History = field(default=NO_HISTORY, compare=False)
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        self.id = id_of_budget(  # type: ignore[misc]
            self.level, self.owner, self.per, self.period, self.models
        )


def id_of_budget(level: str, owner: str, per: str, period: int, models: str | None) -> str:
    """Return the id of a budget in the period that began at ``period``."""
    return f"{level}:{owner}:{per}:{period}:{models or ''}"


class Balance(NamedTuple):
    """What is spent and reserved of a budget, in nano-dollars."""

    spent: int
    reserved: int


class ChargedBudget(NamedTuple):
    """A budget after a row was charged to it; ``most`` is its amount as the attempt knew it."""

    id: str
    level: str
    owner: str
    per: str
    models: str | None
    period: int
    spent: int
    alerted: int
    most: int


class Reserved(NamedTuple):
    """The balances before a reservation; ``refused`` is the index of the first budget with too little left, if any."""

    balances: tuple[Balance, ...]
    refused: int | None


def first_refused(lines: Sequence[Line], balances: Sequence[Balance], amount: int | None) -> int | None:
    """Return the index of the first budget with less than ``amount`` left; None when each has enough."""
    if amount is None:
        return None
    for place, (line, balance) in enumerate(zip(lines, balances, strict=True)):
        if balance.spent + balance.reserved + amount > line.most:
            return place
    return None
