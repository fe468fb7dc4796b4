"""Decode Google's reduced schema form as JSON Schema (server half).

Its types are upper-case words, counts may be strings (protobuf's int64), ``nullable`` means a
type of null. The recursion has no limit of its own: the surface limits the depth of a body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.dialects.gemini.members import Members, camel

_COUNTS: Final = frozenset(
    {"minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength"}
)
_DROPPED: Final = frozenset({"propertyOrdering", "nullable", "example"})
_LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_MAPS: Final = frozenset({"properties", "$defs", "defs"})
_SCHEMAS: Final = frozenset({"items", "additionalProperties", "not"})


def schema_member(holder: Members, full: str, reduced: str) -> dict[str, Any] | None:
    """Return the JSON Schema in the member ``full``, else that of the reduced schema in ``reduced``."""
    schema, google_schema = holder.mapping(full), holder.mapping(reduced)
    return json_schema(google_schema) if schema is None and google_schema is not None else schema


def json_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of Google's ``Schema``; key order is kept."""
    named = {name if name.startswith("$") else camel(name): value for name, value in schema.items()}
    converted = {
        name: _value(name, value)
        for name, value in named.items()
        if name not in _DROPPED and (name, value) != ("type", "TYPE_UNSPECIFIED")
    }
    if schema.get("nullable") is True:
        _allow_null(converted)
    return converted


def _value(name: str, value: Any) -> Any:
    if name == "type" and isinstance(value, str):
        return value.lower()
    if name in _COUNTS and isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    if name in _LISTS and isinstance(value, list):
        return [_inner(item) for item in value]
    if name in _MAPS and isinstance(value, dict):
        return {key: _inner(item) for key, item in value.items()}
    return _inner(value) if name in _SCHEMAS else value


def _inner(value: Any) -> Any:
    return json_schema(value) if isinstance(value, dict) else value


def _allow_null(schema: dict[str, Any]) -> None:
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    elif isinstance(schema.get("anyOf"), list):
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
