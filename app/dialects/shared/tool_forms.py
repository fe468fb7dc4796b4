"""Tools and tool calls for wires that have only function tools.

A free-text (``custom``) tool becomes a function with one string parameter. The JSON schema of an
answer may become a tool. A choice among allowed tools becomes a shorter list of tools. An id of a
call that does not match the wire's pattern is replaced.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from app.canonical.request import Request, Tool, ToolCallPart, ToolChoice
from app.dialects.shared.lenient_json import as_dict, as_str, json_text, parse
from app.dialects.shared.losses import Losses
from app.dialects.shared.tool_values import argument_object, is_json

ANSWER_TOOL: Final = "sluice_answer"
"""Name of the tool that takes the place of structured output on models without it."""

ANSWER_DESCRIPTION: Final = "Gives the final answer. Call it once, with the whole answer as its input."

CUSTOM_INPUT: Final = "input"
"""Name of the only parameter of a free-text tool that is sent as a function."""

EMPTY_SCHEMA: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}


def object_schema(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a tool's schema with the type ``object``, which wires require; keys stay in order."""
    schema = dict(parameters or EMPTY_SCHEMA)
    if isinstance(schema.get("type"), list) and "object" in schema["type"]:
        schema["type"] = "object"
    return schema if "type" in schema else {"type": "object", **schema}


def custom_schema(tool: Tool, losses: Losses) -> dict[str, Any]:
    """Return the schema of the function that is sent for a free-text tool; the change is reported."""
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
    """Return the names of a request's free-text tools."""
    return frozenset(tool.name for tool in (request.tools if request else ()) if tool.kind == "custom")


def free_text(arguments: str) -> str:
    """Return the input of a free-text tool's call from the arguments of the function sent for it.

    If the arguments were cut off, returns the text as far as it goes; arguments in another form
    are returned unchanged.
    """
    text = as_dict(parse(arguments or "{}")).get(CUSTOM_INPUT)
    if isinstance(text, str):
        return text
    if (beginning := _CUT_INPUT.match(arguments)) is not None:
        return _unescape(beginning.group(1))
    return "" if _OPENING.startswith("".join(arguments.split())) else arguments


_OPENING: Final = f'{{"{CUSTOM_INPUT}":"'
_CUT_INPUT: Final = re.compile(
    rf'\s*\{{\s*"{CUSTOM_INPUT}"\s*:\s*"((?:[^"\\]++|\\.)*+)["\\]?\s*\Z', re.DOTALL
)
_HALF_ESCAPE: Final = re.compile(r"(?:\\u[dD][89abAB][0-9a-fA-F]{2})?(?:\\u[0-9a-fA-F]{0,3})?\Z")


def _unescape(body: str) -> str:
    """Return the text of a JSON string that was cut off, without an incomplete escape at its end."""
    whole = _HALF_ESCAPE.sub("", body)
    try:
        return as_str(json.loads(f'"{whole}"', strict=False), body)
    except ValueError:
        return body


def call_input(part: ToolCallPart, losses: Losses) -> dict[str, Any]:
    """Return the arguments of an earlier call as a JSON object, for the request of a wire that has objects.

    Arguments that are not an object (a call that was cut off) become ``{}``. Any change of the
    arguments is reported.
    """
    if part.kind == "custom":
        return {CUSTOM_INPUT: part.arguments}
    arguments, exact = argument_object(part.arguments)
    if not exact:
        how = "as an empty object" if not arguments else "with some values changed"
        losses.report("tool_arguments", f"The arguments of the call '{part.id}' were sent {how}")
    return arguments


def call_text(part: ToolCallPart, losses: Losses) -> str:
    """Return the arguments of an earlier call as JSON text, for the request of a wire whose servers parse it."""
    if part.kind == "custom":
        return json_text({CUSTOM_INPUT: part.arguments})
    if not part.arguments.strip():
        return "{}"
    if is_json(part.arguments):
        return part.arguments
    losses.report("tool_arguments", f"The arguments of the call '{part.id}' were sent as an empty object")
    return "{}"


def call_object(part: ToolCallPart) -> dict[str, Any]:
    """Return the arguments of an answer's call as a JSON object, for a client of a wire that has objects.

    Blank text and null become ``{}``; a value that is not an object is wrapped under ``input``.
    """
    if part.kind == "custom":
        return {CUSTOM_INPUT: part.arguments}
    arguments = parse(part.arguments if part.arguments.strip() else "{}", part.arguments)
    if arguments is None:
        return {}
    return arguments if isinstance(arguments, dict) else {CUSTOM_INPUT: arguments}


def object_text(part: ToolCallPart) -> str:
    """Return the arguments of an answer's call as the text of a JSON object, unchanged if they begin as one."""
    if part.kind == "function" and part.arguments.lstrip().startswith("{"):
        return part.arguments
    return json_text(call_object(part))


def is_allowed(tool: Tool, choice: ToolChoice) -> bool:
    """Tell whether the model may call the tool under the tool choice."""
    return choice.mode != "allowed" or tool.name in {_name_of(entry) for entry in choice.allowed}


def forces_call(choice: ToolChoice, is_offered: bool, losses: Losses, *, can_force: bool = True) -> bool:
    """Tell whether the request shall force a call: the choice demands one, and the model can be made to.

    ``is_offered``: the named tool, or any tool, can be offered. What cannot be forced is reported.
    """
    if choice.mode == "named" and not is_offered:
        losses.report("forced_tool", f"The tool '{choice.name}' cannot be offered")
    if choice.mode not in {"named", "required"} and not choice.required:
        return False
    if not is_offered:
        losses.report("tool_choice", "No tool can be offered, so no call is required")
    elif not can_force:
        losses.report("tool_choice", "This model cannot be made to call a tool; the choice is left to it")
    return is_offered and can_force


def _name_of(entry: Mapping[str, Any]) -> str:
    """Return the name in an entry of ``allowed_tools``: flat, or nested under its type as in chat completions."""
    nested = as_dict(entry.get(as_str(entry.get("type"))))
    return as_str(entry.get("name") or nested.get("name") or entry.get("type"))


ANTHROPIC_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
"""Pattern of Anthropic's Messages (docs/contract/tools.md)."""

CONVERSE_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
"""Pattern of Bedrock's Converse (``ToolUseId`` in botocore's service model)."""


def fit_tool_id(call_id: str, pattern: re.Pattern[str]) -> str:
    """Return ``call_id`` if all of it matches ``pattern``, otherwise ``call_`` and 24 hex digits of its hash."""
    if pattern.fullmatch(call_id):
        return call_id
    return "call_" + hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:24]
