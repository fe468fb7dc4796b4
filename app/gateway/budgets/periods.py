"""Periods of budgets: days, weeks and months of the calendar in UTC, and one that never ends.

Tests: tests/gateway/test_budgets.py.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def period_of(per: str, now: float) -> tuple[int, int | None]:
    """Return when the period that runs at ``now`` began, and when the next one does (Unix seconds, None: never).

    A week begins on Monday."""
    if per == "total":
        return 0, None
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if per == "day":
        begin, end = day, day + timedelta(days=1)
    elif per == "week":
        begin = day - timedelta(days=day.weekday())
        end = begin + timedelta(days=7)
    else:
        begin = day.replace(day=1)
        end = (begin + timedelta(days=31)).replace(day=1)
    return int(begin.timestamp()), int(end.timestamp())
