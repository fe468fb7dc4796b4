"""Adapt a JSON schema to what Claude's structured output enforces.

Objects must be closed, and bounds of numbers, strings and arrays are not enforced
(Anthropic's published limits of structured outputs): they are moved into the description,
where the model still reads them. Key order is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from app.dialects.shared.lenient_json import json_text
from app.dialects.shared.losses import Losses

_BOUNDS: Final = frozenset(
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
    """Tell whether a schema allows objects with members of any name."""
    if isinstance(schema, list):
        return any(is_open(item) for item in schema)
    if not isinstance(schema, Mapping):
        return False
    if schema.get("additionalProperties") or schema.get("patternProperties"):
        return True
    return any(is_open(value) for name, value in schema.items() if name not in {"enum", "const", "default"})


def enforceable_schema(schema: Any, losses: Losses) -> Any:
    """Return a copy of the schema with closed objects and its bounds in the descriptions; reports the bounds."""
    bounds: set[str] = set()
    copy = _close(schema, bounds)
    if bounds:
        names = ", ".join(sorted(bounds))
        losses.report("output_constraint", f"Bounds in the schema are only described: {names}")
    return copy


def schema_in_words(schema: Mapping[str, Any] | None) -> str:
    """Return an instruction to answer with JSON, for models without structured output."""
    instruction = "Answer with one valid JSON object and nothing else: no words around it, no code fence."
    return f"{instruction} It must fit this JSON schema: {json_text(schema)}" if schema else instruction


def _close(schema: Any, names: set[str]) -> Any:
    """Return a schema with closed objects; the names of its bounds are added to ``names``."""
    if isinstance(schema, list):
        return [_close(item, names) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    bounds = {name: value for name, value in schema.items() if _is_bound(name, value)}
    names.update(bounds)
    copy = {name: _member(name, value, names) for name, value in schema.items() if name not in bounds}
    if bounds:
        note = ", ".join(f"{name}: {json.dumps(value)}" for name, value in bounds.items())
        copy["description"] = f"{schema.get('description', '')} ({note})".strip()
    if schema.get("type") == "object" or "properties" in schema:
        copy["additionalProperties"] = False
    return copy


def _member(name: str, value: Any, names: set[str]) -> Any:
    if name in {"enum", "const", "default", "required"}:
        return value
    if name in _SCHEMA_MAPS and isinstance(value, Mapping):
        return {key: _close(item, names) for key, item in value.items()}
    return _close(value, names)


def _is_bound(name: str, value: Any) -> bool:
    if isinstance(value, Mapping | list):
        return False
    return name in _BOUNDS or (name == "minItems" and value not in (0, 1))
