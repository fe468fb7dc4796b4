"""The schema of ``budgets``, in the file, in the admin API and on the command line."""

from __future__ import annotations

from typing import Final

from app.config_loading import value_kinds
from app.config_loading.tables import Strict
from app.config_loading.value_kinds import Checked, Kind

_MOST: Final = 1_000_000_000

DOLLARS: Final = Kind(
    f"must be a number of dollars from 0 to {_MOST:,}", lambda v: value_kinds.FROM_0.fits(v) and v <= _MOST
)


class BudgetSchema(Strict):
    """One of ``budgets``: dollars per calendar period (UTC), or in total."""

    usd = Checked(DOLLARS, required=True)
    per = Checked(value_kinds.one_of("day", "week", "month", "total"), required=True)
    models = Checked(value_kinds.PATTERN)
    unpriced = Checked(value_kinds.one_of("allow", "deny"))
