"""Encode tools and tool choice for Converse (client half)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from app.canonical.request import Message, Request, Tool, ToolCallPart, ToolChoice, ToolResultPart
from app.dialects.converse.blocks_out import BlockWriter
from app.dialects.converse.options import NAME
from app.dialects.shared.flat_schema import Expansion, flatten, plain_schema
from app.dialects.shared.lenient_json import JSON, as_dict
from app.dialects.shared.tool_forms import (
    ANSWER_DESCRIPTION,
    ANSWER_TOOL,
    EMPTY_SCHEMA,
    custom_schema,
    forces_call,
    is_allowed,
    object_schema,
)


class ToolWriter:
    """Write ``toolConfig`` of one request.

    ``answer`` is the JSON schema of the output if a tool stands for it. After ``config``, ``forced``
    is True if the model has to call a tool.
    """

    def __init__(self, writer: BlockWriter, answer: Mapping[str, Any] | None = None) -> None:
        self._writer = writer
        self._losses = writer.context.losses
        self._answer = answer
        self.forced = False
        self._expansion = Expansion()
        self._native = False  # a Converse client's schemas are sent unchanged

    def config(self, request: Request, turns: Iterable[Message]) -> JSON | None:
        """Return ``toolConfig``, None without tools.

        Converse requires tools if the history has calls: missing ones are added, without a
        schema. It has no choice "none": the tools are left out instead, unless the history has calls.
        """
        self._native = request.origin is not None and request.origin.dialect == NAME
        choice = request.tool_choice or ToolChoice("auto")
        names = _called_names(turns)
        if choice.mode == "none" and not names:
            return self._with_answer([], ToolChoice("auto"))
        tools = [entry for tool in request.tools if is_allowed(tool, choice) for entry in self._tool(tool)]
        if not tools or choice.mode == "allowed":
            tools += [_spec(name, None, EMPTY_SCHEMA) for name in names if name not in _names(tools)]
        if choice.mode == "none":
            self._losses.report("tool_choice", "This API cannot forbid tools that the history calls")
            choice = ToolChoice("auto")
        return self._with_answer(tools, choice)

    def _with_answer(self, tools: list[JSON], choice: ToolChoice) -> JSON | None:
        mode = self._mode(choice, tools)
        if self._answer is not None and choice.mode not in {"required", "named"}:
            mode = {"any": {}} if tools else {"tool": {"name": ANSWER_TOOL}}
            tools = [*tools, _spec(ANSWER_TOOL, ANSWER_DESCRIPTION, self._fit(self._answer)[0])]
        if not tools:
            return None
        self.forced = mode is not None and "auto" not in mode
        return {"tools": tools} if mode is None else {"tools": tools, "toolChoice": mode}

    def _tool(self, tool: Tool) -> list[JSON]:
        entry = _KINDS[tool.kind](self, tool)
        return [] if entry is None else [entry, *self._writer.cache_points(tool.native)]

    def _function(self, tool: Tool) -> JSON:
        schema = self._schema(tool)
        entry = _spec(tool.name, tool.description, schema)
        if tool.strict and self._writer.options.strict_tools and schema.get("additionalProperties") is False:
            entry["toolSpec"]["strict"] = True
        elif tool.strict:
            self._losses.report("tool_strict", "Strict tool schemas are not enforced by this model")
        return entry

    def _schema(self, tool: Tool) -> JSON:
        schema, keywords = self._fit(tool.parameters or {})
        if keywords:
            names = ", ".join(f"'{name}'" for name in keywords)
            warning = f"Of the schema of tool '{tool.name}' {names} is only described, or left out"
            self._losses.report("tool_schema", warning)
        return schema

    def _fit(self, parameters: Mapping[str, Any]) -> tuple[JSON, list[str]]:
        if self._native:
            return object_schema(parameters), []
        schema, combinations = flatten(parameters, self._expansion)
        if not self._writer.options.plain_schemas:
            return object_schema(schema), combinations
        plain, keywords = plain_schema(object_schema(schema), self._expansion)
        return plain, [*combinations, *keywords]

    def _custom(self, tool: Tool) -> JSON:
        return _spec(tool.name, tool.description, custom_schema(tool, self._losses))

    def _hosted(self, tool: Tool) -> JSON | None:
        names = self._writer.options.system_tools.items()
        name = next((name for kind, name in names if tool.name.startswith(kind)), None)
        if name is not None:
            return {"systemTool": {"name": name}}
        self._losses.report("hosted_tool", f"The hosted tool '{tool.name}' is not run by this model")
        return None

    def _mode(self, choice: ToolChoice, tools: list[JSON]) -> JSON | None:
        is_named = choice.mode == "named"
        is_offered = choice.name in _names(tools) if is_named else bool(tools)
        can_force = self._writer.options.can_force_tools
        if not forces_call(choice, is_offered, self._losses, can_force=can_force):
            return None
        return {"tool": {"name": choice.name}} if is_named else {"any": {}}


_KINDS: Final[Mapping[str, Callable[[ToolWriter, Tool], JSON | None]]] = {
    "function": ToolWriter._function,
    "custom": ToolWriter._custom,
    "hosted": ToolWriter._hosted,
}


def _spec(name: str, description: str | None, schema: Mapping[str, Any]) -> JSON:
    about = {"description": description} if description else {}
    return {"toolSpec": {"name": name, **about, "inputSchema": {"json": dict(schema)}}}


def _names(tools: Iterable[JSON]) -> set[Any]:
    return {as_dict(entry.get("toolSpec")).get("name") for entry in tools}


def _called_names(turns: Iterable[Message]) -> list[str]:
    """Return the names of the tools that the history calls, else of those whose results it has, each once."""
    parts = [part for message in turns for part in message.parts]
    names = [part.name for part in parts if isinstance(part, ToolCallPart)]
    if not names:
        names = [part.name or "tool" for part in parts if isinstance(part, ToolResultPart)]
    return list(dict.fromkeys(names))
