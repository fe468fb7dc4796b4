"""Schemas of tenants and keys, shared by the file, the admin API and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from marshmallow import ValidationError

from app.config_loading import value_kinds
from app.config_loading.cache import Cache
from app.config_loading.faults import Faults
from app.config_loading.limits import BudgetSchema, LimitSchema
from app.config_loading.tables import Strict, rows
from app.config_loading.value_kinds import Kind, KindField
from app.operations import OPERATIONS, request_type

_LONGEST_PATTERN: Final = 256
_MOST_PATTERNS: Final = 256
_MOST_METADATA: Final = 16
_LATEST: Final = 253_402_300_799  # the end of the year 9999

OPERATION_NAMES: Final = tuple(dict.fromkeys(request_type(name, False) for name in OPERATIONS))
"""Types of requests, as ``extra_fields.request_type`` calls them without ``_stream``."""


def _is_pattern(value: Any) -> bool:
    return value_kinds.is_text(value) and len(value) <= _LONGEST_PATTERN and value.isprintable()


def _are_patterns(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= _MOST_PATTERNS and all(map(_is_pattern, value))


def _are_operations(value: Any) -> bool:
    return isinstance(value, list) and all(name in OPERATION_NAMES for name in value)


def _is_metadata(value: Any) -> bool:
    if not isinstance(value, dict) or len(value) > _MOST_METADATA:
        return False
    return all(
        isinstance(n, str) and len(n) <= 64 and isinstance(v, str) and len(v) <= 512 for n, v in value.items()
    )


PATTERNS: Final = Kind(
    f"must be a list of at most {_MOST_PATTERNS} patterns such as 'provider/model', with '*' for any characters, "
    f"of at most {_LONGEST_PATTERN} characters each",
    _are_patterns,
)
OPERATIONS_ALLOWED: Final = Kind(f"must be a list of some of: {', '.join(OPERATION_NAMES)}", _are_operations)
METADATA: Final = Kind(
    f"must be a table of at most {_MOST_METADATA} texts, names of at most 64 and texts of at most 512 characters",
    _is_metadata,
)
MOMENT: Final = Kind(
    "must be whole Unix seconds",
    lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 < v <= _LATEST,
)
ROLE: Final = value_kinds.one_of("admin", "viewer")
GRACE: Final = value_kinds.between(0, 30 * 86_400, "whole seconds")


class TenantSchema(Strict):
    """``[tenants.NAME]``: the members that an administrator may set and change."""

    models = KindField(PATTERNS)
    operations = KindField(OPERATIONS_ALLOWED)
    limits = rows(LimitSchema)
    budgets = rows(BudgetSchema)
    metadata = KindField(METADATA)


class KeyMembersSchema(TenantSchema):
    """The members of a key beyond those of a tenant."""

    expires_at = KindField(MOMENT)


class ConfiguredKeySchema(KeyMembersSchema):
    """``[keys.NAME]``."""

    key = KindField(value_kinds.KEY, required=True)
    tenant = KindField(value_kinds.NAME)
    cache = Cache()


class NewTenantSchema(TenantSchema):
    """A new tenant."""

    name = KindField(value_kinds.NAME, required=True)


class KeyChangeSchema(KeyMembersSchema):
    """Changes to a key."""

    name = KindField(value_kinds.NAME)
    enabled = KindField(value_kinds.FLAG)


class NewKeySchema(KeyMembersSchema):
    """A new key."""

    name = KindField(value_kinds.NAME, required=True)
    tenant = KindField(value_kinds.NAME, required=True)
    enabled = KindField(value_kinds.FLAG)


class RotationSchema(Strict):
    """The rotation of a key's secret."""

    grace = KindField(GRACE)


class NewAdminSchema(Strict):
    """A new administrator key."""

    name = KindField(value_kinds.NAME, required=True)
    role = KindField(ROLE, required=True)


def validate(schema: Strict, members: Mapping[str, Any]) -> dict[str, Any]:
    """Return validated members; None stays, and means that a member is removed.

    Raises ``ConfigError`` with every fault.
    """
    nothing = {name: None for name, value in members.items() if value is None and name in schema.fields}
    try:
        valid: Any = schema.load({name: members[name] for name in members if name not in nothing})
    except ValidationError as error:
        faults = Faults()
        faults.add_tree(error.messages)
        faults.check()
        raise
    return {**nothing, **valid}
