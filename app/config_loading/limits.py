"""The form of ``limits``, wherever they stand: in the file, in the admin API, of providers and their keys."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, validates_schema

from app.config import LIMIT_KINDS
from app.config_loading import kinds
from app.config_loading.kinds import Checked
from app.config_loading.tables import Strict


class LimitSchema(Strict):
    """One of ``limits``: requests or tokens in a span of time, or calls at once."""

    requests = Checked(kinds.COUNT)
    tokens = Checked(kinds.COUNT)
    concurrent = Checked(kinds.COUNT)
    per = Checked(kinds.one_of("second", "minute", "hour", "day"))
    models = Checked(kinds.PATTERN)

    @validates_schema
    def check_one_kind(self, data: dict[str, Any], **options: Any) -> None:
        """Ask for one kind, and for ``per`` where it needs one."""
        given = [name for name in LIMIT_KINDS if name in data]
        if len(given) != 1:
            raise ValidationError("needs one of 'requests', 'tokens' and 'concurrent'")
        if "per" in data and given == ["concurrent"]:
            raise ValidationError({"per": ["has no meaning beside 'concurrent'"]})
        if "per" not in data and given != ["concurrent"]:
            raise ValidationError({"per": ["is required: 'second', 'minute', 'hour' or 'day'"]})
