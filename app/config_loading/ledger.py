"""The schema of a ledger correction, in the admin API and on the command line."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import ValidationError, fields, validates_schema

from app.config_loading import value_kinds
from app.config_loading.limits import DOLLARS
from app.config_loading.tables import Strict
from app.config_loading.value_kinds import Kind, KindField

_LONGEST: Final = 512

TOKENS: Final = Kind(
    "must be a whole number of tokens, at least 0 and below 10^12",
    lambda v: value_kinds.WHOLE.fits(v) and v < 10**12,
)
REASON: Final = Kind(
    f"must be a text of at most {_LONGEST} characters that gives the reason",
    lambda v: value_kinds.is_text(v) and len(v) <= _LONGEST,
)


class UsageSchema(Strict):
    """Tokens by kind, as in a ledger row."""

    input_tokens = KindField(TOKENS, required=True)
    output_tokens = KindField(TOKENS)
    cached_tokens = KindField(TOKENS)
    reasoning_tokens = KindField(TOKENS)


class CorrectionSchema(Strict):
    """The total cost of an attempt, in dollars or in tokens."""

    usd = KindField(DOLLARS)
    usage = fields.Nested(UsageSchema)
    reason = KindField(REASON, required=True)

    @validates_schema
    def check_one_way(self, data: dict[str, Any], **options: Any) -> None:
        """Require one of ``usd`` and ``usage``."""
        if ("usd" in data) == ("usage" in data):
            raise ValidationError("must be given unless 'usage' is, and not with it", "usd")
