"""Periods of budgets: days, weeks and months of the calendar in UTC, and one that never ends.

Tests: tests/gateway/test_budgets.py.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

PERS: Final = ("day", "week", "month", "total")
_DAY: Final = 86_400


def period_of(per: str, now: float) -> tuple[int, int | None]:
    """Return when the period that runs at ``now`` began, and when the next one does (Unix seconds, None: never).

    A week begins on Monday."""
    return (0, None) if per == "total" else _period_of(per, int(now // _DAY))


@lru_cache(16)
def _period_of(per: str, number: int) -> tuple[int, int]:
    """Return begin and end of the period around a day, which is counted from 1970."""
    day = datetime.fromtimestamp(number * _DAY, UTC)
    if per == "day":
        begin, end = day, day + timedelta(days=1)
    elif per == "week":
        begin = day - timedelta(days=day.weekday())
        end = begin + timedelta(days=7)
    else:
        begin = day.replace(day=1)
        end = (begin + timedelta(days=31)).replace(day=1)
    return int(begin.timestamp()), int(end.timestamp())
