"""Sums that fit in 64 bits, however large the numbers are that a provider reports. Tests: tests/state/test_budgets.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, func, literal_column

MOST: Final = 4 * 10**18
"""The largest sum: two of them still fit in 64 bits."""
_UNIT: Final = 1_000_000_000


def at_most(dialect: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return ``value``, or ``MOST`` if that is less."""
    least: Any = func.min if dialect == "sqlite" else func.least
    smaller: ColumnElement[Any] = least(value, literal_column(str(MOST)))
    return smaller


def sum_columns(column: ColumnElement[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Return two columns that say the sum of ``column`` without an overflow, for ``sum_of``."""
    return (
        func.coalesce(func.sum(column // _UNIT), 0).label("units"),
        func.coalesce(func.sum(column % _UNIT), 0).label("rest"),
    )


def sum_of(columns: Sequence[Any]) -> int:
    """Return the sum that ``sum_columns`` selected, at most ``MOST``."""
    units, rest = columns
    return min(int(units or 0) * _UNIT + int(rest or 0), MOST)
