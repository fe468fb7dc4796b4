"""Budgets as callers name them, and how they stand; what is done with their rows is in `app.state.budgets`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import NamedTuple

from app.canonical.record import record

Fits = Callable[[str, str], bool]
"""Tells whether a budget is about a target (``provider/model``) that a model string led to."""


@record
class Line:
    """A budget in one of its periods, from ``period`` to ``until`` (Unix seconds, None: for ever)."""

    level: str
    owner: str
    per: str
    models: str | None
    period: int
    until: int | None
    most: int
    fits: Fits = field(compare=False)

    @property
    def id(self) -> str:
        """Return what names it, whatever its amount is."""
        return id_of_budget(self.level, self.owner, self.per, self.period, self.models)


def id_of_budget(level: str, owner: str, per: str, period: int, models: str | None) -> str:
    """Return the id of a budget in the period that began at ``period``."""
    return f"{level}:{owner}:{per}:{period}:{models or ''}"


class Standing(NamedTuple):
    """What was spent and is reserved."""

    spent: int
    reserved: int


class Paid(NamedTuple):
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
    """How the budgets stood before; ``refused`` is the place of the first that has not enough left."""

    standings: tuple[Standing, ...]
    refused: int | None


def first_refused(lines: Sequence[Line], standings: Sequence[Standing], amount: int | None) -> int | None:
    """Return the place of the first budget that has not ``amount`` left."""
    if amount is None:
        return None
    for place, (line, standing) in enumerate(zip(lines, standings, strict=True)):
        if standing.spent + standing.reserved + amount > line.most:
            return place
    return None
