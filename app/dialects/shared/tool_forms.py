"""How tools are offered to a wire that knows only functions.

A free-text tool becomes a function with one text member, a JSON schema for the answer may
become a tool, and a choice among allowed tools becomes a shorter list of tools.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from app.canonical.request import Request, Tool, ToolCallPart, ToolChoice
from app.dialects.shared.lenient_json import as_dict, as_str, json_text, parse
from app.dialects.shared.losses import Losses
from app.dialects.shared.tool_values import argument_object, is_json

ANSWER_TOOL: Final = "sluice_answer"
"""The tool that stands for a JSON schema where the model has no structured output."""

ANSWER_DESCRIPTION: Final = "Gives the final answer. Call it once, with the whole answer as its input."

CUSTOM_INPUT: Final = "input"
"""The one member of the schema under which a free-text tool is offered."""

EMPTY_SCHEMA: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}


def object_schema(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a tool's schema as an object's, which wires demand; key order is kept."""
    schema = dict(parameters or EMPTY_SCHEMA)
    if isinstance(schema.get("type"), list) and "object" in schema["type"]:
        schema["type"] = "object"
    return schema if "type" in schema else {"type": "object", **schema}


def custom_schema(tool: Tool, losses: Losses) -> dict[str, Any]:
    """Return the schema under which a free-text tool is offered, and report the change."""
    rule = as_dict(tool.format)
    grammar = as_str(rule.get("definition") or as_dict(rule.get("grammar")).get("definition"))
    losses.report(
        "tool_schema",
        f"The free-text tool '{tool.name}' is offered as a function with one text member"
        + ("; its grammar is only described" if grammar else ""),
    )
    text = {"type": "string", "description": "The whole input of the tool, as free text."}
    if grammar:
        text["description"] += f" It must follow this grammar:\n{grammar}"
    return {"type": "object", "properties": {CUSTOM_INPUT: text}, "required": [CUSTOM_INPUT]}


def custom_tool_names(request: Request | None) -> frozenset[str]:
    """Return the names of the free-text tools of a request."""
    return frozenset(tool.name for tool in (request.tools if request else ()) if tool.kind == "custom")


def free_text(arguments: str) -> str:
    """Return the free text of a custom tool's call; what does not have its form stays whole.

    Of a call that was cut off, the text as far as it came.
    """
    text = as_dict(parse(arguments or "{}")).get(CUSTOM_INPUT)
    if isinstance(text, str):
        return text
    cut = _CUT_INPUT.match(arguments)
    if cut is not None:
        return _unescape(cut.group(1))
    return "" if _OPENING.startswith("".join(arguments.split())) else arguments


_OPENING: Final = f'{{"{CUSTOM_INPUT}":"'
_CUT_INPUT: Final = re.compile(
    rf'\s*\{{\s*"{CUSTOM_INPUT}"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)["\\]?\s*\Z', re.DOTALL
)
_HALF_ESCAPE: Final = re.compile(r"(?:\\u[dD][89abAB][0-9a-fA-F]{2})?(?:\\u[0-9a-fA-F]{0,3})?\Z")


def _unescape(body: str) -> str:
    """Return what stands in a JSON string that was cut off, without half an escape at its end."""
    whole = _HALF_ESCAPE.sub("", body)
    try:
        return as_str(json.loads(f'"{whole}"', strict=False), body)
    except ValueError:
        return body


def call_input(part: ToolCallPart, losses: Losses) -> dict[str, Any]:
    """Return a call's input as the JSON object that wires of functions want.

    Arguments that are none (a call that was cut off) go out as ``{}``, and whatever an object
    cannot say as it was written is reported.
    """
    if part.kind == "custom":
        return {CUSTOM_INPUT: part.arguments}
    arguments, exact = argument_object(part.arguments)
    if not exact:
        how = "as an empty object" if not arguments else "with some values changed"
        losses.report("tool_arguments", f"The arguments of the call '{part.id}' were sent {how}")
    return arguments


def call_text(part: ToolCallPart, losses: Losses) -> str:
    """Return a call's arguments as JSON text, for wires of functions whose servers read it."""
    if part.kind == "custom":
        return json_text({CUSTOM_INPUT: part.arguments})
    if not part.arguments.strip():
        return "{}"
    if is_json(part.arguments):
        return part.arguments
    losses.report("tool_arguments", f"The arguments of the call '{part.id}' were sent as an empty object")
    return "{}"


def call_object(part: ToolCallPart) -> dict[str, Any]:
    """Return an answer's call as the JSON object that its client wants: nothing and null are
    no arguments, any other text goes under one member."""
    if part.kind == "custom":
        return {CUSTOM_INPUT: part.arguments}
    arguments = parse(part.arguments or "{}", part.arguments)
    if arguments is None:
        return {}
    return arguments if isinstance(arguments, dict) else {CUSTOM_INPUT: arguments}


def object_text(part: ToolCallPart) -> str:
    """Return an answer's call as the text of a JSON object: as it was written, where it begins as one."""
    if part.kind == "function" and part.arguments.lstrip().startswith("{"):
        return part.arguments
    return json_text(call_object(part))


def is_allowed(tool: Tool, choice: ToolChoice) -> bool:
    """Tell whether a choice lets the model see the tool."""
    if choice.mode != "allowed":
        return True
    return tool.name in {_name_of(entry) for entry in choice.allowed}


def _name_of(entry: Mapping[str, Any]) -> str:
    """An entry of ``allowed_tools``: flat, or nested below its type as chat has it."""
    nested = as_dict(entry.get(as_str(entry.get("type"))))
    return as_str(entry.get("name") or nested.get("name") or entry.get("type"))
