"""Fits a JSON schema to what Claude's structured output enforces.

Objects must be closed and the bounds of numbers, strings and arrays are not enforced
(Anthropic's published limits of structured outputs); a bound is moved into the
description, where the model still reads it. Key order is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

_UNENFORCED: Final = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
    }
)
_SCHEMA_MAPS: Final = frozenset({"properties", "$defs", "definitions"})


def is_open(schema: Any) -> bool:
    """Tell whether a schema asks for objects with members of any name (a map)."""
    if isinstance(schema, list):
        return any(is_open(item) for item in schema)
    if not isinstance(schema, Mapping):
        return False
    if schema.get("additionalProperties") or schema.get("patternProperties"):
        return True
    return any(is_open(value) for name, value in schema.items() if name not in {"enum", "const", "default"})


def close_objects(schema: Any, lost: set[str]) -> Any:
    """Return the schema with every object closed and unenforced bounds told in words.

    The names of such bounds are added to ``lost``. The input is not changed.
    """
    if isinstance(schema, list):
        return [close_objects(item, lost) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    bounds = {name: value for name, value in schema.items() if _is_bound(name, value)}
    lost.update(bounds)
    fitted = {name: _member(name, value, lost) for name, value in schema.items() if name not in bounds}
    if bounds:
        note = ", ".join(f"{name}: {json.dumps(value)}" for name, value in bounds.items())
        fitted["description"] = f"{schema.get('description', '')} ({note})".strip()
    if schema.get("type") == "object" or "properties" in schema:
        fitted["additionalProperties"] = False
    return fitted


def _member(name: str, value: Any, lost: set[str]) -> Any:
    if name in {"enum", "const", "default", "required"}:
        return value
    if name in _SCHEMA_MAPS and isinstance(value, Mapping):
        return {key: close_objects(item, lost) for key, item in value.items()}
    return close_objects(value, lost)


def _is_bound(name: str, value: Any) -> bool:
    if isinstance(value, Mapping | list):
        return False
    return name in _UNENFORCED or (name == "minItems" and value not in (0, 1))
