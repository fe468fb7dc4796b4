"""Tools and tool choice of Anthropic Messages, both ways."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from app.canonical.request import Request, Tool, ToolChoice
from app.dialects.base import ClientContext
from app.dialects.messages.options import NAME, MessagesOptions
from app.dialects.messages.parts_in import block_native
from app.dialects.messages.parts_out import native_members
from app.dialects.messages.schema import is_open
from app.dialects.shared.claude import Family
from app.dialects.shared.flat_schema import flatten
from app.dialects.shared.lenient_json import as_dict, as_str, dicts, opt_str
from app.dialects.shared.schema_expansion import Expansion
from app.dialects.shared.tool_forms import (
    ANSWER_DESCRIPTION,
    ANSWER_TOOL,
    custom_schema,
    is_allowed,
    object_schema,
)

Members = dict[str, Any]

_DATED: Final = re.compile(r"[a-z_]+_20\d{6}")
"""The form of the types of Anthropic's own tools (``bash_20250124``)."""

_WEB_SEARCH: Final = "web_search_20250305"
_SEARCH_SETTINGS: Final = frozenset(
    """
    allowed_domains blocked_domains cache_control filters max_uses name search_context_size type
    user_location
    """.split()
)
"""The version that every searching family takes (recorded up to Opus 4.8)."""


class ToolWriter:
    """Writes the tools and the choice of one request (client half).

    ``answer`` is the schema for which a tool must stand, or None. ``forced`` tells
    afterwards whether the model has to call something.
    """

    def __init__(
        self,
        context: ClientContext,
        options: MessagesOptions,
        family: Family,
        answer: Mapping[str, Any] | None = None,
    ) -> None:
        self._context = context
        self._options = options
        self._family = family
        self._answer = answer
        self.forced = False
        self._expansion = Expansion()

    def members(self, request: Request) -> Members:
        """Return ``tools`` and ``tool_choice``, as far as there are any."""
        choice = request.tool_choice or ToolChoice("auto")
        offered = [tool for tool in request.tools if is_allowed(tool, choice)]
        tools = [written for tool in offered if (written := self._tool(tool)) is not None]
        tools += self._with_search(request, tools)
        mode = self._mode(choice, tools)
        if self._answer is not None and mode["type"] not in {"tool"} and choice.mode != "required":
            mode = {"type": "any"} if tools and mode["type"] == "auto" else _choose(ANSWER_TOOL)
            tools.append(_answer_tool(flatten(self._answer, self._expansion)[0]))
        self.forced = mode["type"] in {"any", "tool"}
        if not tools:
            return {}
        sent = self._parallel(request, mode)
        if request.tool_choice is None and sent == {"type": "auto"}:
            return {"tools": tools}
        return {"tools": tools, "tool_choice": sent}

    def _tool(self, tool: Tool) -> Members | None:
        if tool.kind == "hosted" and tool.native is not None and self._is_own(tool):
            return dict(tool.native[1])
        return _KINDS[tool.kind](self, tool)

    def _is_own(self, tool: Tool) -> bool:
        """Tell whether a hosted tool is of this API: read from its wire, or by its dated type."""
        own = tool.native is not None and tool.native[0] == NAME
        searches = tool.name.startswith("web_search") and not self._can_search()
        return own or (_DATED.fullmatch(tool.name) is not None and not searches)

    def _function(self, tool: Tool) -> Members:
        written: Members = {**native_members(tool.native, Tool), "name": tool.name}
        if tool.description is not None:
            written["description"] = tool.description
        written["input_schema"] = self._schema(tool)
        if tool.strict:
            written.update(self._strict(written["input_schema"]))
        return written

    def _schema(self, tool: Tool) -> Members:
        schema, combined = flatten(tool.parameters or {}, self._expansion)
        if combined:
            warning = f"'{combined[0]}' at the top of the schema of tool '{tool.name}' is only described"
            self._context.losses.report("tool_schema", warning)
        return object_schema(schema)

    def _strict(self, schema: Mapping[str, Any]) -> Members:
        if self._family.schemas and self._options.native_schema and not is_open(schema):
            return {"strict": True}
        self._context.losses.report("tool_strict", "Strict tool schemas are not enforced by this model")
        return {}

    def _custom(self, tool: Tool) -> Members:
        schema = custom_schema(tool, self._context.losses)
        written: Members = {**native_members(tool.native, Tool), "name": tool.name, "input_schema": schema}
        return {**written, "description": tool.description} if tool.description else written

    def _write_hosted(self, tool: Tool) -> Members | None:
        settings = tool.native[1] if tool.native is not None else {}
        if tool.name.startswith("web_search") and self._can_search():
            return self._web_search(settings)
        self._context.losses.report("hosted_tool", f"The hosted tool '{tool.name}' is not run by this model")
        return None

    def _can_search(self) -> bool:
        return self._family.has_web_search and "web_search" in self._options.hosted_tools

    def _with_search(self, request: Request, tools: list[Members]) -> list[Members]:
        """Chat asks for a search by a member of its own; any value of it, ``{}`` too, does."""
        wish = request.hints.get("web_search_options")
        if wish is None or any(tool.get("name") == "web_search" for tool in tools):
            return []
        if not self._can_search():
            self._context.losses.report("web_search_options")
            return []
        place = as_dict(wish).get("user_location")
        return [
            self._web_search({**as_dict(wish), "user_location": as_dict(place).get("approximate", place)})
        ]

    def _web_search(self, settings: Mapping[str, Any]) -> Members:
        written: Members = {"type": _WEB_SEARCH, "name": "web_search"}
        filters = as_dict(settings.get("filters"))
        for name in ("allowed_domains", "blocked_domains", "max_uses", "cache_control"):
            if value := settings.get(name) or filters.get(name):
                written[name] = value
        if "allowed_domains" in written and written.pop("blocked_domains", None):
            warning = (
                "A web search has allowed or blocked domains; with allowed ones the blocked are left out"
            )
            self._context.losses.report("blocked_domains", warning)
        place = {name: value for name, value in as_dict(settings.get("user_location")).items() if value}
        if place:
            written["user_location"] = {"type": "approximate", **place}
        if settings.get("search_context_size") not in (None, "medium"):
            self._context.losses.report("search_context_size")
        for name, value in [*settings.items(), *filters.items()]:
            if name not in _SEARCH_SETTINGS and value not in (None, [], {}, ""):
                warning = f"'{name}' of the web search is not known to this API and was left out"
                self._context.losses.report("search_setting", warning, param=name)
        return written

    def _mode(self, choice: ToolChoice, tools: list[Members]) -> Members:
        wanted = as_str(choice.name)
        if choice.mode == "named" and choice.kind == "hosted" and wanted.startswith("web_search"):
            wanted = "web_search"
        required = choice.mode == "required" or (choice.mode == "allowed" and choice.required)
        if choice.mode == "named" and not any(tool.get("name") == wanted for tool in tools):
            self._context.losses.report("forced_tool", f"The tool '{choice.name}' cannot be offered")
        if required and not tools:
            self._context.losses.report("tool_choice", "No tool can be offered, so no call is required")
            required = False
        if (choice.mode == "named" or required) and not self._family.can_force_tools:
            warning = "This model cannot be made to call a tool; the choice is left to it"
            self._context.losses.report("tool_choice", warning)
            return {"type": "auto"}
        if choice.mode == "named":
            return {**native_members(choice.native), **_choose(wanted)}
        word = "any" if required else "none" if choice.mode == "none" else "auto"
        return {**native_members(choice.native), "type": word}

    def _parallel(self, request: Request, mode: Members) -> Members:
        if request.parallel_tool_calls is False and mode["type"] != "none":
            return {**mode, "disable_parallel_tool_use": True}
        return mode


_KINDS: Final[Mapping[str, Callable[[ToolWriter, Tool], Members | None]]] = {
    "function": ToolWriter._function,
    "custom": ToolWriter._custom,
    "hosted": ToolWriter._write_hosted,
}


def _choose(name: str) -> Members:
    return {"type": "tool", "name": name}


def _answer_tool(schema: Mapping[str, Any]) -> Members:
    return {
        "name": ANSWER_TOOL,
        "description": ANSWER_DESCRIPTION,
        "input_schema": object_schema(schema),
    }


_HOSTED: Final = {"web_search_": "web_search", "code_execution_": "code_interpreter"}
"""Anthropic's tools, whose types end with a date, under the names that other dialects know."""


def decode_tools(value: Any) -> tuple[Tool, ...]:
    """Return the tools of a request (server half); typed ones other than custom are hosted."""
    return tuple(_decode_tool(tool) for tool in dicts(value))


def _decode_tool(tool: Mapping[str, Any]) -> Tool:
    kind = opt_str(tool.get("type"))
    if kind not in (None, "custom"):
        name = next((ours for start, ours in _HOSTED.items() if kind.startswith(start)), kind)
        return Tool("hosted", name, native=(NAME, dict(tool)))
    strict = tool.get("strict")
    return Tool(
        "function",
        as_str(tool.get("name")),
        description if isinstance(description := tool.get("description"), str) else None,
        as_dict(tool.get("input_schema")) or None,
        strict if isinstance(strict, bool) else None,
        native=block_native(tool, "name", "description", "input_schema", *(["strict"] if strict else [])),
    )


def decode_choice(value: Any, tools: tuple[Tool, ...]) -> tuple[ToolChoice | None, bool | None]:
    """Return the tool choice of a request and whether parallel calls are allowed (server half)."""
    choice = as_dict(value)
    kind = _CHOICES.get(as_str(choice.get("type")))
    if kind is None:
        return None, None
    native = block_native(choice, "type", "name")
    single = choice.get("disable_parallel_tool_use")
    parallel = not single if isinstance(single, bool) else None
    if kind != "named":
        return ToolChoice(kind, native=native), parallel  # type: ignore[arg-type]
    name = as_str(choice.get("name"))
    hosted = any(t.kind == "hosted" and t.native and t.native[1].get("name") == name for t in tools)
    return ToolChoice("named", name, "hosted" if hosted else "function", native=native), parallel


_CHOICES: Final[Mapping[str, str]] = {"auto": "auto", "any": "required", "none": "none", "tool": "named"}
