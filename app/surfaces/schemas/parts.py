"""Checks of what repeats inside bodies: messages, parts, tools, metadata.

Written as plain loops: nested schemas over a history of hundreds of messages would cost
more than the rest of the request (design: a sixth of the time this way). Each returns None
or faults by member.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.surfaces.schemas.base import Fault, wrong_type, wrong_value

ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
ITEM_ROLES: Final = ("user", "assistant", "system", "developer", "tool")
_TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,128}")
_MAX_CALL_ID: Final = 512

Faults = Mapping[Any, Any] | list[Fault] | None


def missing(member: str) -> dict[str, list[Fault]]:
    """Return the fault of an absent member."""
    return {member: [Fault("missing_required_parameter", "Missing required parameter: '{path}'.")]}


def one_of(value: dict[str, Any], member: str, choices: Sequence[str]) -> Faults:
    """Check a member that is absent, null or one of ``choices``."""
    held = value.get(member)
    if held is None or held in choices:
        return None
    return {member: [wrong_value(held, choices) if isinstance(held, str) else wrong_type("a string", held)]}


def chat_message(message: Any) -> Faults:
    """Check one chat message: role, content, tool calls."""
    if not isinstance(message, dict):
        return [wrong_type("an object", message)]
    role = message.get("role")
    if role is None:
        return missing("role")
    if not isinstance(role, str):
        return {"role": [wrong_type("a string", role)]}
    if role not in ROLES:
        return {"role": [wrong_value(role, ROLES)]}
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        return missing("tool_call_id")
    return _content(message.get("content")) or _tool_calls(message.get("tool_calls"))


def _content(content: Any) -> Faults:
    if content is None or isinstance(content, str):
        return None
    if not isinstance(content, list):
        return {"content": [wrong_type("a string or an array", content)]}
    faults = {i: found for i, part in enumerate(content) if (found := _part(part))}
    return {"content": faults} if faults else None


def _part(part: Any) -> Faults:
    if not isinstance(part, dict):
        return [wrong_type("an object", part)]
    kind = part.get("type")
    if kind is None:
        return missing("type")
    if not isinstance(kind, str):
        return {"type": [wrong_type("a string", kind)]}
    return _PART_CHECKS[kind](part) if kind in _PART_CHECKS else None


def _text_part(part: Mapping[str, Any]) -> Faults:
    text = part.get("text")
    return None if isinstance(text, str) else {"text": [wrong_type("a string", text)]}


def _image_url(part: Mapping[str, Any]) -> Faults:
    image = part.get("image_url")
    if isinstance(image, str):
        return None
    if not isinstance(image, dict):
        return {"image_url": [wrong_type("an object", image)]}
    url = image.get("url")
    return None if isinstance(url, str) else {"image_url": {"url": [wrong_type("a string", url)]}}


_PART_CHECKS: Final = {
    "text": _text_part,
    "input_text": _text_part,
    "output_text": _text_part,
    "image_url": _image_url,
}


def _tool_calls(calls: Any) -> Faults:
    if calls is None:
        return None
    if not isinstance(calls, list):
        return {"tool_calls": [wrong_type("an array", calls)]}
    faults = {
        i: [wrong_type("an object", call)] for i, call in enumerate(calls) if not isinstance(call, dict)
    }
    return {"tool_calls": faults} if faults else None


def input_item(item: Any) -> Faults:
    """Check one Responses input item."""
    if not isinstance(item, dict):
        return [wrong_type("an object", item)]
    kind = item.get("type")
    if kind is not None and not isinstance(kind, str):
        return {"type": [wrong_type("a string", kind)]}
    if kind in (None, "message") and ("role" in item or kind == "message"):
        role = item.get("role")
        if role not in ITEM_ROLES:
            shown = (
                [wrong_value(role, ITEM_ROLES)] if isinstance(role, str) else [wrong_type("a string", role)]
            )
            return {"role": shown} if role is not None else missing("role")
        return _content(item.get("content"))
    if kind is None and not isinstance(item.get("id"), str):
        return missing("type")
    return _item_members(kind, item)


_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "function_call": ("call_id", "name", "arguments"),
    "custom_tool_call": ("call_id", "name", "input"),
    "item_reference": ("id",),
}


def _item_members(kind: str | None, item: Mapping[str, Any]) -> Faults:
    for member in _REQUIRED.get(kind or "", ()):
        value = item.get(member)
        if value is None:
            return missing(member)
        if not isinstance(value, str):
            return {member: [wrong_type("a string", value)]}
    if kind in {"function_call_output", "custom_tool_call_output"}:
        if not isinstance(item.get("call_id"), str):
            return missing("call_id")
        output = item.get("output")
        if not isinstance(output, str | list):
            return (
                {"output": [wrong_type("a string or an array", output)]}
                if "output" in item
                else missing("output")
            )
    return None


def tool(value: Any) -> Faults:
    """Check one tool, in chat's nesting or flat."""
    if not isinstance(value, dict):
        return [wrong_type("an object", value)]
    kind = value.get("type")
    if kind is None and isinstance(value.get("function"), dict):
        kind = "function"  # the type that Mistral's clients leave out
    if kind is None:
        return missing("type")
    if not isinstance(kind, str):
        return {"type": [wrong_type("a string", kind)]}
    if kind not in {"function", "custom"}:
        return None
    nested = value.get(kind)
    holder = nested if isinstance(nested, dict) else value
    found = _tool_name(holder, custom=kind == "custom") or _parameters(holder)
    return {kind: found} if found and holder is nested else found


def _tool_name(holder: Mapping[str, Any], *, custom: bool) -> Faults:
    name = holder.get("name")
    if name is None:
        return None if custom and "format" in holder else missing("name")
    if not isinstance(name, str):
        return {"name": [wrong_type("a string", name)]}
    if not _TOOL_NAME.fullmatch(name):
        sentence = "Invalid '{path}': a tool name has 1 to 128 letters, digits, '_', '-', '.' or ':'."
        return {"name": [Fault("invalid_value", sentence)]}
    return None


def _parameters(holder: Mapping[str, Any]) -> Faults:
    parameters = holder.get("parameters")
    if parameters is None or isinstance(parameters, dict):
        return None
    return {"parameters": [wrong_type("an object", parameters)]}


def tool_choice(value: Mapping[str, Any]) -> Faults:
    """Check a tool choice that is an object, and the tools that it allows, in either nesting."""
    kind = value.get("type")
    if not isinstance(kind, str):
        return missing("type") if kind is None else {"type": [wrong_type("a string", kind)]}
    nested = value.get("allowed_tools")
    holder = nested if isinstance(nested, dict) else value
    tools = holder.get("tools")
    if tools is None:
        return None
    if not isinstance(tools, list):
        found: Faults = {"tools": [wrong_type("an array", tools)]}
    else:
        faults = {i: fault for i, one in enumerate(tools) if (fault := _reference(one))}
        found = {"tools": faults} if faults else None
    return {"allowed_tools": found} if found and holder is nested else found


def _reference(value: Any) -> Faults:
    """Check a tool that is only named."""
    if not isinstance(value, dict):
        return [wrong_type("an object", value)]
    kind = value.get("type")
    if not isinstance(kind, str):
        return missing("type") if kind is None else {"type": [wrong_type("a string", kind)]}
    nested = value.get(kind)
    holder = nested if isinstance(nested, dict) else value
    name = holder.get("name")
    if name is None or isinstance(name, str):
        return None
    fault = {"name": [wrong_type("a string", name)]}
    return {kind: fault} if holder is nested else fault


def string(value: Any) -> Faults:
    """Check that a value is a string."""
    return None if isinstance(value, str) else [wrong_type("a string", value)]


def metadata(value: Mapping[str, Any]) -> Faults:
    """Check OpenAI's metadata: at most 16 pairs, keys of 64, texts of 512 characters."""
    if len(value) > 16:
        sentence = (
            f"Invalid '{{path}}': too many properties. Expected at most 16, but got {len(value)} instead."
        )
        return [Fault("object_above_max_properties", sentence)]
    for key, held in value.items():
        if len(key) > 64:
            sentence = "Invalid '{path}': a key is longer than 64 characters."
            return [Fault("string_above_max_length", sentence)]
        if not isinstance(held, str):
            return {key: [wrong_type("a string", held)]}
        if len(held) > 512:
            sentence = "Invalid '{path}': string too long. Expected a string with maximum length 512."
            return {key: [Fault("string_above_max_length", sentence)]}
    return None
