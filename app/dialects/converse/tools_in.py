"""Decode Converse's ``toolConfig`` (server half)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from app.canonical.request import Tool, ToolChoice
from app.dialects.converse.blocks_in import with_cache_mark
from app.dialects.converse.options import NAME
from app.dialects.shared.strict_json import ClientObject, wrong_value

_SYSTEM_TOOLS: Final[Mapping[str, str]] = {
    "nova_grounding": "web_search",
    "nova_code_interpreter": "code_interpreter",
}
"""The names that other dialects use for Amazon's tools; other tools keep their own name."""


def decode_tools(members: ClientObject) -> tuple[Tool, ...]:
    """Return the tools; a cache point marks the tool before it."""
    config = members.object("toolConfig")
    tools: list[Tool] = []
    for entry in config.objects("tools") if config is not None else ():
        point = entry.object("cachePoint")
        if point is None:
            tools.append(_tool(entry))
        elif tools:
            tools[-1] = replace(tools[-1], native=with_cache_mark(tools[-1].native, point))
    return tuple(tools)


def _tool(entry: ClientObject) -> Tool:
    spec = entry.object("toolSpec")
    if spec is not None:
        schema = spec.object("inputSchema")
        return Tool(
            "function",
            spec.required_text("name"),
            spec.text("description"),
            schema.mapping("json") if schema is not None else None,
            spec.flag("strict"),
        )
    system = entry.object("systemTool")
    if system is None:
        kind = next(iter(entry.members), "{}")
        raise wrong_value(entry.path, kind, "'toolSpec', 'systemTool' and 'cachePoint'")
    name = system.required_text("name")
    return Tool("hosted", _SYSTEM_TOOLS.get(name, name), native=(NAME, dict(entry.members)))


def decode_choice(members: ClientObject) -> ToolChoice | None:
    """Return the tool choice, None without one."""
    config = members.object("toolConfig")
    choice = config.object("toolChoice") if config is not None else None
    if choice is None:
        return None
    tool = choice.object("tool")
    if tool is not None:
        return ToolChoice("named", tool.required_text("name"))
    if choice.object("any") is not None:
        return ToolChoice("required")
    if choice.object("auto") is not None:
        return ToolChoice("auto")
    raise wrong_value(choice.path, next(iter(choice.members), "{}"), "'auto', 'any' and 'tool'")
