"""The schema of ``cache``: for the gateway, a name of ``[models]`` or a key of the file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final

from marshmallow import ValidationError, fields, validates_schema

from app.config import TTL_SENTENCE, CacheSettings, SemanticSettings, seconds_of
from app.config_loading import value_kinds
from app.config_loading.tables import Strict, Whole
from app.config_loading.value_kinds import Kind, KindField

_THRESHOLD: Final = Kind(
    "must be a number from 0 to 1",
    lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1,
)


class SemanticSchema(Strict):
    """The table ``cache.semantic``."""

    model = KindField(value_kinds.TEXT, required=True)
    threshold = KindField(_THRESHOLD)
    history = KindField(value_kinds.COUNT)

    @validates_schema
    def check_packages(self, data: Mapping[str, Any], **options: Any) -> None:
        """Refuse the table if the package that compares vectors is missing."""
        if find_spec("numpy") is None:
            raise ValidationError("needs another package: pip install 'sluice-gateway[numpy]'")


class CacheSchema(Strict):
    """The table ``cache``; its presence turns the cache on."""

    ttl = KindField(Kind(TTL_SENTENCE, lambda value: seconds_of(value) is not None))
    single_flight = KindField(value_kinds.FLAG)
    deterministic_only = KindField(value_kinds.FLAG)
    allow_per_call = KindField(value_kinds.FLAG)
    semantic = fields.Nested(SemanticSchema)


class Cache(Whole, fields.Nested):
    """A table of ``CacheSchema``, or ``false``."""

    def __init__(self) -> None:
        super().__init__(CacheSchema)

    def _deserialize(self, value: Any, attr: Any, data: Any, partial: Any = None, **options: Any) -> Any:
        if value is False:
            return False
        if not isinstance(value, Mapping):
            raise ValidationError("must be a table such as { ttl = '5m' }, or false")
        return super()._deserialize(value, attr, data, partial, **options)


def cache_of(value: Mapping[str, Any] | bool | None) -> CacheSettings | None:
    """Return the settings of a validated member, None if it is absent."""
    if value is None:
        return None
    if isinstance(value, bool):
        return CacheSettings(on=False)
    semantic = value.get("semantic")
    return CacheSettings(
        **{
            **value,
            "ttl": seconds_of(value.get("ttl", CacheSettings().ttl)),
            "semantic": None if semantic is None else SemanticSettings(**semantic),
        }
    )
