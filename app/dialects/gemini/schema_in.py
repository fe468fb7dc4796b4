"""Google's reduced schema form to JSON Schema (server half).

Types are upper case words there, counts may be texts (protobuf's int64), ``nullable``
stands for a type of null. Walks a client's schema once, without recursion limits of its own:
the door bounds how deep a body may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.dialects.gemini.members import camel

_COUNTS: Final = frozenset(
    {"minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength"}
)
_DROPPED: Final = frozenset({"propertyOrdering", "nullable", "example"})
_LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_MAPS: Final = frozenset({"properties", "$defs", "defs"})


def json_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema that a ``Schema`` of Google's stands for; key order is kept."""
    made: dict[str, Any] = {}
    for spelled, value in schema.items():
        name = spelled if spelled.startswith("$") else camel(spelled)
        if name in _DROPPED or (name, value) == ("type", "TYPE_UNSPECIFIED"):
            continue
        made[name] = _value(name, value)
    if schema.get("nullable") is True:
        _allow_null(made)
    return made


def _value(name: str, value: Any) -> Any:
    if name == "type" and isinstance(value, str):
        return value.lower()
    if name in _COUNTS and isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    if name in _LISTS and isinstance(value, list):
        return [json_schema(item) if isinstance(item, dict) else item for item in value]
    if name in _MAPS and isinstance(value, dict):
        return {key: json_schema(item) if isinstance(item, dict) else item for key, item in value.items()}
    if name in {"items", "additionalProperties", "not"} and isinstance(value, dict):
        return json_schema(value)
    return value


def _allow_null(made: dict[str, Any]) -> None:
    if isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    elif isinstance(made.get("anyOf"), list):
        made["anyOf"] = [*made["anyOf"], {"type": "null"}]
    if isinstance(made.get("enum"), list) and None not in made["enum"]:
        made["enum"] = [*made["enum"], None]
