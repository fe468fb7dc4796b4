"""Decode Gemini's ``tools`` and ``toolConfig`` (server half)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.canonical.request import Tool, ToolChoice
from app.dialects.gemini.members import Members
from app.dialects.gemini.options import NAME
from app.dialects.gemini.schema_in import schema_member
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
    allowed: tuple[Mapping[str, Any], ...] = tuple({"type": "function", "name": name} for name in names)
    return ToolChoice("allowed", allowed=allowed, required=mode == "required")
