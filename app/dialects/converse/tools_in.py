"""Converse's ``toolConfig`` as a client writes it (server half)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from app.canonical.request import Tool, ToolChoice
from app.dialects.converse.blocks_in import cache_mark
from app.dialects.converse.options import NAME
from app.dialects.shared.strict_json import ClientObject, missing, wrong_value

_SYSTEM_TOOLS: Final[Mapping[str, str]] = {
    "nova_grounding": "web_search",
    "nova_code_interpreter": "code_interpreter",
}
"""Amazon's tools under the names that other dialects know; the rest keep their own."""


def decode_tools(members: ClientObject) -> tuple[Tool, ...]:
    """Return the tools on offer; a cache point marks the tool before it."""
    config = members.object("toolConfig")
    tools: list[Tool] = []
    for entry in config.objects("tools") if config is not None else ():
        point = entry.object("cachePoint")
        if point is None:
            tools.append(_tool(entry))
        elif tools:
            native = tools[-1].native
            tools[-1] = replace(
                tools[-1], native=(NAME, {**(native[1] if native else {}), **cache_mark(point)[1]})
            )
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
        raise wrong_value(
            entry.path, next(iter(entry.members), "{}"), "'toolSpec', 'systemTool' and 'cachePoint'"
        )
    name = system.required_text("name")
    return Tool("hosted", _SYSTEM_TOOLS.get(name, name), native=(NAME, dict(entry.members)))


def decode_choice(members: ClientObject) -> ToolChoice | None:
    """Return the choice among tools, None where nothing is said of it."""
    config = members.object("toolConfig")
    choice = config.object("toolChoice") if config is not None else None
    if choice is None:
        return None
    named = choice.object("tool")
    if named is not None:
        if named.text("name") is None:
            raise missing(named.at("name"))
        return ToolChoice("named", named.required_text("name"))
    if choice.object("any") is not None:
        return ToolChoice("required")
    if choice.object("auto") is not None:
        return ToolChoice("auto")
    raise wrong_value(choice.path, next(iter(choice.members), "{}"), "'auto', 'any' and 'tool'")
