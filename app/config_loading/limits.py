"""The schemas of ``limits`` and ``budgets``: in the file, in the admin API and on the command line."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import ValidationError, validates_schema

from app.config import LIMIT_KINDS
from app.config_loading import value_kinds
from app.config_loading.tables import Strict
from app.config_loading.value_kinds import Kind, KindField


class LimitSchema(Strict):
    """One of ``limits``: requests or tokens per period, or concurrent calls."""

    requests = KindField(value_kinds.COUNT)
    tokens = KindField(value_kinds.COUNT)
    concurrent = KindField(value_kinds.COUNT)
    per = KindField(value_kinds.one_of("second", "minute", "hour", "day"))
    models = KindField(value_kinds.PATTERN)

    @validates_schema
    def check_one_kind(self, data: dict[str, Any], **options: Any) -> None:
        """Require one kind, and ``per`` for requests and tokens."""
        kinds = [name for name in LIMIT_KINDS if name in data]
        if len(kinds) != 1:
            raise ValidationError("needs one of 'requests', 'tokens' and 'concurrent'")
        if "per" in data and kinds == ["concurrent"]:
            raise ValidationError({"per": ["cannot be combined with 'concurrent'"]})
        if "per" not in data and kinds != ["concurrent"]:
            raise ValidationError({"per": ["is required: 'second', 'minute', 'hour' or 'day'"]})


_MOST: Final = 1_000_000_000

DOLLARS: Final = Kind(
    f"must be a number of dollars from 0 to {_MOST:,}", lambda v: value_kinds.FROM_0.fits(v) and v <= _MOST
)


class BudgetSchema(Strict):
    """One of ``budgets``: dollars per calendar period (UTC), or in total."""

    usd = KindField(DOLLARS, required=True)
    per = KindField(value_kinds.one_of("day", "week", "month", "total"), required=True)
    models = KindField(value_kinds.PATTERN)
    unpriced = KindField(value_kinds.one_of("allow", "deny"))
