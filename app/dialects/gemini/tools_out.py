"""Gemini's ``tools`` and ``toolConfig``: function declarations and Google's own tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.canonical.request import Request, Tool, ToolChoice
from app.dialects.base import ClientContext
from app.dialects.gemini.contents_out import NAME
from app.dialects.gemini.options import Family, GeminiOptions
from app.dialects.gemini.schema_out import Reducer
from app.dialects.shared.members import CACHE_MARKS, flat_members
from app.dialects.shared.schema_expansion import Expansion
from app.dialects.shared.tool_forms import custom_schema, is_allowed

_HOSTED: Final[Mapping[str, str]] = {
    "web_search": "googleSearch",
    "web_search_preview": "googleSearch",
    "code_interpreter": "codeExecution",
}

_NAMES: Final = frozenset({"type", "name"}) | CACHE_MARKS
_NO_WISH: Final[tuple[Any, ...]] = (None, "", [], {}, False)
"""Values of a tool's members that ask for nothing."""

_MODES: Final[Mapping[str, str]] = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}


class ToolsEncoder:
    """Encode the tools of one request and the choice among them."""

    def __init__(self, context: ClientContext, options: GeminiOptions, family: Family) -> None:
        self._losses = context.losses
        self._expansion = Expansion()
        self._full_schema = options.json_schema and family.json_schema
        self._mixes = options.server_side_tools and family.signs_calls

    def encode(self, request: Request) -> dict[str, Any]:
        """Return the members ``tools`` and ``toolConfig``, as far as there is anything to say."""
        choice = request.tool_choice
        offered = [tool for tool in request.tools if _is_offered(tool, choice)]
        functions = [self._function(tool) for tool in offered if tool.kind != "hosted"]
        hosted = self._write_hosted(offered, request.hints)
        config = self._config(choice, request.tools) if functions else self._no_config(choice)
        if functions and hosted and self._mixes:
            config["includeServerSideToolInvocations"] = True
        elif functions and hosted:
            self._losses.report(
                "hosted_tool", "This model cannot mix Google's tools with functions; they were left out"
            )
            hosted = []
        tools = [*([{"functionDeclarations": functions}] if functions else []), *hosted]
        return {name: value for name, value in (("tools", tools), ("toolConfig", config)) if value}

    def output(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the member of ``generationConfig`` that holds the answer's schema."""
        if self._full_schema:
            return {"responseJsonSchema": dict(schema)}
        return {"responseSchema": self._reduce(schema, "output_json")}

    def _parameters(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """The reduced form refuses an object without properties: it is no parameters at all."""
        if self._full_schema:
            return {"parametersJsonSchema": dict(schema)}
        reduced = self._reduce(schema, "tool_schema")
        return {"parameters": reduced} if reduced.get("properties") else {}

    def _reduce(self, schema: Mapping[str, Any], feature: str) -> dict[str, Any]:
        reducer = Reducer(schema, self._expansion)
        reduced = reducer.reduce()
        if reducer.dropped:
            names = ", ".join(sorted(reducer.dropped))
            self._losses.report(feature, f"Schema keywords unknown to this model were left out: {names}")
        return reduced

    def _function(self, tool: Tool) -> dict[str, Any]:
        declaration: dict[str, Any] = {"name": tool.name}
        if tool.description:
            declaration["description"] = tool.description
        parameters = custom_schema(tool, self._losses) if tool.kind == "custom" else tool.parameters
        if tool.strict:
            self._losses.report("tool_strict")
        if parameters:
            declaration.update(self._parameters(parameters))
        return declaration

    def _write_hosted(self, tools: list[Tool], hints: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Google's tools, each once; ``web_search_options`` asks for search as well."""
        found: dict[str, Any] = {}
        for tool in tools:
            if tool.kind != "hosted":
                continue
            own = _own_members(tool)
            if own is not None:
                found.update(own)
            elif tool.name in _HOSTED:
                found[_HOSTED[tool.name]] = {}
                self._report_wishes(tool)
            else:
                self._losses.report(
                    "hosted_tool", f"The tool '{tool.name}' is not known to Gemini and was left out"
                )
        wish = hints.get("web_search_options")
        if wish is not None:
            found.setdefault("googleSearch", {})
        if wish:
            warning = "Google searches as it sees fit; what the search was to be like was left out"
            self._losses.report("web_search_options", warning)
        return [{name: value} for name, value in found.items()]

    def _report_wishes(self, tool: Tool) -> None:
        """Report what another API's tool is to be like; Google's own tools take no wishes."""
        wishes = [name for name, value in flat_members(tool.native).items() if value not in _NO_WISH]
        if named := ", ".join(sorted(set(wishes) - _NAMES)):
            warning = f"Google runs '{tool.name}' as it sees fit; left out were: {named}"
            self._losses.report("hosted_tool", warning)

    def _config(self, choice: ToolChoice | None, tools: Sequence[Tool]) -> dict[str, Any]:
        if choice is None:
            return {}
        if choice.mode == "allowed":
            return self._allow(choice, tools)
        self._refuse_hosted(choice)
        calling: dict[str, Any] = {"mode": _MODES[choice.mode]}
        if choice.mode == "named" and choice.name:
            calling["allowedFunctionNames"] = [choice.name]
        return {"functionCallingConfig": calling}

    def _refuse_hosted(self, choice: ToolChoice) -> None:
        if choice.mode == "named" and choice.kind == "hosted":
            self._losses.report("forced_tool", "Gemini cannot be made to use one of Google's tools")

    def _no_config(self, choice: ToolChoice | None) -> dict[str, Any]:
        """Without functions there is nothing to configure: Google refuses the member then."""
        if choice is not None and choice.mode == "named":
            self._refuse_hosted(choice)
            self._losses.report("forced_tool", f"The tool '{choice.name}' cannot be offered")
        if choice is not None and (choice.mode == "required" or choice.required):
            warning = "No function can be offered, so no call is required"
            self._losses.report("tool_choice", warning)
        return {}

    def _allow(self, choice: ToolChoice, tools: Sequence[Tool]) -> dict[str, Any]:
        """Names may be listed in mode ANY only; in mode AUTO the others are not offered."""
        calling: dict[str, Any] = {"mode": "ANY" if choice.required else "AUTO"}
        names = [tool.name for tool in tools if tool.kind != "hosted" and is_allowed(tool, choice)]
        if choice.required and names:
            calling["allowedFunctionNames"] = names
        return {"functionCallingConfig": calling}


def _is_offered(tool: Tool, choice: ToolChoice | None) -> bool:
    return choice is None or choice.required or is_allowed(tool, choice)


def _own_members(tool: Tool) -> dict[str, Any] | None:
    return dict(tool.native[1]) if tool.native is not None and tool.native[0] == NAME else None
