"""Decode Gemini's ``tools``, ``toolConfig`` and schemas (server half).

In Google's reduced form of a schema, types are upper-case words, counts may be strings (protobuf's int64),
``nullable`` means a type of null. The recursion has no limit of its own: the surface limits the depth of a body.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.canonical.request import Tool, ToolChoice
from app.dialects.gemini.members import Members, camel
from app.dialects.gemini.options import NAME
from app.dialects.shared.lenient_json import without_nulls
from app.dialects.shared.strict_json import missing

_HOSTED: Final[Mapping[str, str]] = {
    "googleSearch": "web_search",
    "googleSearchRetrieval": "web_search",
    "codeExecution": "code_interpreter",
}
"""The names that other dialects use for Google's tools; other tools keep their own name."""

_MODES: Final = {
    "MODE_UNSPECIFIED": "auto",
    "AUTO": "auto",
    "VALIDATED": "auto",
    "ANY": "required",
    "NONE": "none",
}


def decode_tools(members: Members) -> tuple[Tool, ...]:
    """Return the functions and Google's own tools; raises ``bad_request`` with the path of a wrong member."""
    return tuple(tool for entry in members.objects("tools") for tool in _tools(entry))


def _tools(entry: Members) -> Iterator[Tool]:
    for name, value in entry.members.items():
        if name == "functionDeclarations":
            yield from map(_function, entry.objects(name))
        elif value is not None:
            yield Tool("hosted", _HOSTED.get(name, name), native=(NAME, {name: value}))


def _function(entry: Members) -> Tool:
    schema = schema_member(entry, "parametersJsonSchema", "parameters")
    name = entry.text("name")
    if not name:
        raise missing(entry.at("name"))
    members = without_nulls({member: entry.members.get(member) for member in ("behavior", "response")})
    native = (NAME, members) if members else None
    return Tool("function", name, entry.text("description") or None, schema, native=native)


def decode_choice(members: Members) -> ToolChoice | None:
    """Return the choice among functions, None without one."""
    config = members.object("toolConfig")
    calling = config.object("functionCallingConfig") if config is not None else None
    if calling is None:
        return None
    mode, names = calling.choice("mode", _MODES, "auto"), calling.texts("allowedFunctionNames")
    if mode == "none" or not names:
        return ToolChoice(mode)
    if mode == "required" and len(names) == 1:
        return ToolChoice("named", names[0])
    functions: tuple[Mapping[str, Any], ...] = tuple({"type": "function", "name": name} for name in names)
    return ToolChoice("allowed", allowed=functions, required=mode == "required")


# schemas

_COUNTS: Final = frozenset(
    {"minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength"}
)
_DROPPED: Final = frozenset({"propertyOrdering", "nullable", "example"})
_LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_MAPS: Final = frozenset({"properties", "$defs", "defs"})
_SCHEMAS: Final = frozenset({"items", "additionalProperties", "not"})


def schema_member(holder: Members, full: str, google: str) -> dict[str, Any] | None:
    """Return the JSON Schema in the member ``full``, else that of the reduced schema in ``google``."""
    schema, google_schema = holder.mapping(full), holder.mapping(google)
    return json_schema(google_schema) if schema is None and google_schema is not None else schema


def json_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of Google's ``Schema``; key order is kept."""
    members = {name if name.startswith("$") else camel(name): value for name, value in schema.items()}
    result = {
        name: _value(name, value)
        for name, value in members.items()
        if name not in _DROPPED and (name, value) != ("type", "TYPE_UNSPECIFIED")
    }
    if schema.get("nullable") is True:
        _allow_null(result)
    return result


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
