"""Encode tools and tool choice as Gemini's ``tools`` and ``toolConfig`` (client half)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.canonical.request import Request, Tool, ToolChoice
from app.dialects.base import ClientContext
from app.dialects.gemini.options import NAME, Family, GeminiOptions
from app.dialects.gemini.schema_out import Reducer
from app.dialects.shared.flat_schema import Expansion
from app.dialects.shared.members import CACHE_MARKS, flat_members, own_members
from app.dialects.shared.tool_forms import custom_schema, forces_call, is_allowed

_HOSTED: Final[Mapping[str, str]] = {
    "web_search": "googleSearch",
    "web_search_preview": "googleSearch",
    "code_interpreter": "codeExecution",
}

_NO_SETTINGS: Final = frozenset({"type", "name"}) | CACHE_MARKS
_EMPTY_VALUES: Final[tuple[Any, ...]] = (None, "", [], {}, False)

_MODES: Final[Mapping[str, str]] = {
    "auto": "AUTO",
    "none": "NONE",
    "required": "ANY",
    "named": "ANY",
    "allowed": "AUTO",
}


class ToolsEncoder:
    """Encode the tools of one request and the choice among them."""

    def __init__(self, context: ClientContext, options: GeminiOptions, family: Family) -> None:
        self._losses = context.losses
        self._expansion = Expansion()
        self._full_schema = family.json_schema
        self._mixes = options.server_side_tools and family.signs_calls

    def encode(self, request: Request) -> dict[str, Any]:
        """Return the members ``tools`` and ``toolConfig``, without those that are empty."""
        choice = request.tool_choice
        offered = [
            tool for tool in request.tools if choice is None or choice.required or is_allowed(tool, choice)
        ]
        functions = [self._function(tool) for tool in offered if tool.kind != "hosted"]
        hosted = self._hosted_tools(offered, request.hints)
        config = self._config(choice, request.tools) if functions else self._no_config(choice)
        if functions and hosted and self._mixes:
            config["includeServerSideToolInvocations"] = True
        elif functions and hosted:
            warning = "This model cannot mix Google's tools with functions; they were left out"
            self._losses.report("hosted_tool", warning)
            hosted = []
        tools = [*([{"functionDeclarations": functions}] if functions else []), *hosted]
        return {name: value for name, value in (("tools", tools), ("toolConfig", config)) if value}

    def output(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the member of ``generationConfig`` with the schema of the output."""
        if self._full_schema:
            return {"responseJsonSchema": dict(schema)}
        return {"responseSchema": self._reduce(schema, "output_json")}

    def _parameters(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a function; without full JSON Schema an object needs properties."""
        if self._full_schema:
            return {"parametersJsonSchema": dict(schema)}
        google_schema = self._reduce(schema, "tool_schema")
        return {"parameters": google_schema} if google_schema.get("properties") else {}

    def _reduce(self, schema: Mapping[str, Any], feature: str) -> dict[str, Any]:
        reducer = Reducer(schema, self._expansion)
        google_schema = reducer.reduce(schema)
        if reducer.dropped:
            names = ", ".join(sorted(reducer.dropped))
            self._losses.report(feature, f"Schema keywords unknown to this model were left out: {names}")
        return google_schema

    def _function(self, tool: Tool) -> dict[str, Any]:
        about = {"description": tool.description} if tool.description else {}
        schema = custom_schema(tool, self._losses) if tool.kind == "custom" else tool.parameters
        if tool.strict:
            self._losses.report("tool_strict")
        return {"name": tool.name, **about, **(self._parameters(schema) if schema else {})}

    def _hosted_tools(self, tools: list[Tool], hints: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return Google's tools, each once; ``web_search_options`` also requests a search."""
        hosted: dict[str, Any] = {}
        for tool in tools:
            if tool.kind == "hosted":
                hosted.update(own_members(tool.native, NAME) or self._replacement(tool))
        options = hints.get("web_search_options")
        if options is not None:
            hosted.setdefault("googleSearch", {})
        if options:
            warning = "Google searches as it sees fit; what the search was to be like was left out"
            self._losses.report("web_search_options", warning)
        return [{name: value} for name, value in hosted.items()]

    def _replacement(self, tool: Tool) -> dict[str, Any]:
        """Return Google's tool for another API's hosted tool, whose settings are reported."""
        if tool.name not in _HOSTED:
            warning = f"The tool '{tool.name}' is not known to Gemini and was left out"
            self._losses.report("hosted_tool", warning)
            return {}
        settings = {name for name, value in flat_members(tool.native).items() if value not in _EMPTY_VALUES}
        if names := ", ".join(sorted(settings - _NO_SETTINGS)):
            warning = f"Google runs '{tool.name}' as it sees fit; left out were: {names}"
            self._losses.report("hosted_tool", warning)
        return {_HOSTED[tool.name]: {}}

    def _config(self, choice: ToolChoice | None, tools: Sequence[Tool]) -> dict[str, Any]:
        """Return ``toolConfig``.

        Only the mode ANY takes names of functions; in the mode AUTO functions that are not allowed are
        not offered.
        """
        if choice is None:
            return {}
        self._refuse_hosted(choice)
        names = [choice.name] if choice.mode == "named" and choice.name else []
        if choice.mode == "allowed" and choice.required:
            names = [tool.name for tool in tools if tool.kind != "hosted" and is_allowed(tool, choice)]
        mode = "ANY" if choice.required else _MODES[choice.mode]
        restriction = {"allowedFunctionNames": names} if names else {}
        return {"functionCallingConfig": {"mode": mode, **restriction}}

    def _refuse_hosted(self, choice: ToolChoice) -> None:
        if choice.mode == "named" and choice.kind == "hosted":
            self._losses.report("forced_tool", "Gemini cannot be made to use one of Google's tools")

    def _no_config(self, choice: ToolChoice | None) -> dict[str, Any]:
        """Return no ``toolConfig``, since Google refuses it without functions; reports a forced tool."""
        if choice is not None:
            self._refuse_hosted(choice)
            forces_call(choice, False, self._losses)
        return {}
