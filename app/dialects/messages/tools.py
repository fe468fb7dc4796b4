"""Encode and decode tools and tool choice of Anthropic's Messages."""

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
from app.dialects.shared.flat_schema import Expansion, flatten
from app.dialects.shared.lenient_json import JSON, as_dict, as_str, dicts, opt_str
from app.dialects.shared.members import own_members
from app.dialects.shared.tool_forms import (
    ANSWER_DESCRIPTION,
    ANSWER_TOOL,
    custom_schema,
    forces_call,
    is_allowed,
    object_schema,
)

_OWN_TYPE: Final = re.compile(r"[a-z_]+_20\d{6}")
"""The types of Anthropic's own tools, which end with a date (``bash_20250124``)."""

_WEB_SEARCH: Final = "web_search_20250305"
"""The version that all families with web search take (recorded up to Opus 4.8)."""

_SEARCH_MEMBERS: Final = ("allowed_domains", "blocked_domains", "max_uses", "cache_control")
_SEARCH_SETTINGS: Final = frozenset(
    {*_SEARCH_MEMBERS, "filters", "name", "search_context_size", "type", "user_location"}
)


class ToolWriter:
    """Write the tools and the tool choice of one request (client half).

    ``answer`` is the JSON schema of the output if a tool stands for it. After ``members``, ``forced``
    is True if the model has to call a tool.
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

    def members(self, request: Request) -> JSON:
        """Return ``tools`` and ``tool_choice``, without those that are empty."""
        choice = request.tool_choice or ToolChoice("auto")
        offered = [tool for tool in request.tools if is_allowed(tool, choice)]
        tools = [entry for tool in offered if (entry := _KINDS[tool.kind](self, tool)) is not None]
        tools += self._search_of_chat(request, tools)
        mode = self._mode(choice, tools)
        if self._answer is not None and mode["type"] != "tool" and choice.mode != "required":
            is_choice = bool(tools) and mode["type"] == "auto"
            mode = {"type": "any"} if is_choice else {"type": "tool", "name": ANSWER_TOOL}
            schema = object_schema(flatten(self._answer, self._expansion)[0])
            tools.append({"name": ANSWER_TOOL, "description": ANSWER_DESCRIPTION, "input_schema": schema})
        self.forced = mode["type"] in {"any", "tool"}
        if not tools:
            return {}
        if request.parallel_tool_calls is False and mode["type"] != "none":
            mode = {**mode, "disable_parallel_tool_use": True}
        is_default = request.tool_choice is None and mode == {"type": "auto"}
        return {"tools": tools, **({} if is_default else {"tool_choice": mode})}

    def _function(self, tool: Tool) -> JSON:
        schema = self._schema(tool)
        about = {} if tool.description is None else {"description": tool.description}
        strict = self._strict(schema) if tool.strict else {}
        own = native_members(tool.native, Tool)
        return {**own, "name": tool.name, **about, "input_schema": schema, **strict}

    def _schema(self, tool: Tool) -> JSON:
        schema, keywords = flatten(tool.parameters or {}, self._expansion)
        if keywords:
            warning = f"'{keywords[0]}' at the top of the schema of tool '{tool.name}' is only described"
            self._context.losses.report("tool_schema", warning)
        return object_schema(schema)

    def _strict(self, schema: Mapping[str, Any]) -> JSON:
        if self._family.schemas and self._options.native_schema and not is_open(schema):
            return {"strict": True}
        self._context.losses.report("tool_strict", "Strict tool schemas are not enforced by this model")
        return {}

    def _custom(self, tool: Tool) -> JSON:
        schema = custom_schema(tool, self._context.losses)
        about = {"description": tool.description} if tool.description else {}
        return {**native_members(tool.native, Tool), "name": tool.name, "input_schema": schema, **about}

    def _hosted(self, tool: Tool) -> JSON | None:
        """Return a tool of Anthropic's own unchanged, and another API's web search as Anthropic's."""
        if own := own_members(tool.native, NAME):
            return dict(own)
        settings = tool.native[1] if tool.native is not None else {}
        is_search = tool.name.startswith("web_search")
        if settings and _OWN_TYPE.fullmatch(tool.name) and (not is_search or self._family.has_web_search):
            return dict(settings)
        if is_search and self._family.has_web_search:
            return self._web_search(settings)
        self._context.losses.report("hosted_tool", f"The hosted tool '{tool.name}' is not run by this model")
        return None

    def _search_of_chat(self, request: Request, tools: list[JSON]) -> list[JSON]:
        """Return the web search of a chat request, which has ``web_search_options`` (also ``{}``)."""
        options = request.hints.get("web_search_options")
        if options is None or any(tool.get("name") == "web_search" for tool in tools):
            return []
        if not self._family.has_web_search:
            self._context.losses.report("web_search_options")
            return []
        settings = as_dict(options)
        place = settings.get("user_location")
        return [self._web_search({**settings, "user_location": as_dict(place).get("approximate", place)})]

    def _web_search(self, settings: Mapping[str, Any]) -> JSON:
        filters, losses = as_dict(settings.get("filters")), self._context.losses
        values = {name: settings.get(name) or filters.get(name) for name in _SEARCH_MEMBERS}
        tool = {"type": _WEB_SEARCH, "name": "web_search", **{k: v for k, v in values.items() if v}}
        if "allowed_domains" in tool and tool.pop("blocked_domains", None):
            warning = (
                "A web search has allowed or blocked domains; with allowed ones the blocked are left out"
            )
            losses.report("blocked_domains", warning)
        place = {name: value for name, value in as_dict(settings.get("user_location")).items() if value}
        if place:
            tool["user_location"] = {"type": "approximate", **place}
        if settings.get("search_context_size") not in (None, "medium"):
            losses.report("search_context_size")
        for name, value in [*settings.items(), *filters.items()]:
            if name not in _SEARCH_SETTINGS and value not in (None, [], {}, ""):
                warning = f"'{name}' of the web search is not known to this API and was left out"
                losses.report("search_setting", warning, param=name)
        return tool

    def _mode(self, choice: ToolChoice, tools: list[JSON]) -> JSON:
        is_named, name = choice.mode == "named", as_str(choice.name)
        if is_named and choice.kind == "hosted" and name.startswith("web_search"):
            name = "web_search"
        is_offered = any(not is_named or tool.get("name") == name for tool in tools)
        can_force = self._family.can_force_tools
        forces = forces_call(choice, is_offered, self._context.losses, can_force=can_force)
        word = "any" if forces else "none" if choice.mode == "none" else "auto"
        mode = {"type": "tool", "name": name} if is_named and forces else {"type": word}
        return {**native_members(choice.native), **mode}


_KINDS: Final[Mapping[str, Callable[[ToolWriter, Tool], JSON | None]]] = {
    "function": ToolWriter._function,
    "custom": ToolWriter._custom,
    "hosted": ToolWriter._hosted,
}


_HOSTED: Final = {"web_search_": "web_search", "code_execution_": "code_interpreter"}
"""The names that other dialects use for Anthropic's tools, by the beginning of their type."""


def decode_tools(value: Any) -> tuple[Tool, ...]:
    """Return the tools of a request (server half); those of a type other than ``custom`` are hosted."""
    return tuple(_decode_tool(tool) for tool in dicts(value))


def _decode_tool(tool: Mapping[str, Any]) -> Tool:
    kind = opt_str(tool.get("type"))
    if kind not in (None, "custom"):
        name = next((name for start, name in _HOSTED.items() if kind.startswith(start)), kind)
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
    """Return the tool choice of a request, and whether parallel calls are allowed (server half).

    Each is None if the request does not say.
    """
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
