"""The schema of ``limits``: of the file, the admin API, providers and their keys."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, validates_schema

from app.config import LIMIT_KINDS
from app.config_loading import value_kinds
from app.config_loading.tables import Strict
from app.config_loading.value_kinds import Checked


class LimitSchema(Strict):
    """One of ``limits``: requests or tokens per period, or concurrent calls."""

    requests = Checked(value_kinds.COUNT)
    tokens = Checked(value_kinds.COUNT)
    concurrent = Checked(value_kinds.COUNT)
    per = Checked(value_kinds.one_of("second", "minute", "hour", "day"))
    models = Checked(value_kinds.PATTERN)

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
