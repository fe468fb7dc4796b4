"""Checks of what repeats inside bodies: chat messages, tools, metadata.

Written as plain loops: nested schemas over a history of hundreds of messages would cost
more than the rest of the request (design: a sixth of the time this way). Each returns None
or faults by member.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.dialects.shared.contents import content_faults
from app.dialects.shared.faults import Fault, Faults, missing, wrong_type, wrong_value

ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
_TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,128}")
_MAX_CALL_ID: Final = 512


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
    return content_faults(message.get("content")) or _tool_calls(message.get("tool_calls"))


def _tool_calls(calls: Any) -> Faults:
    if calls is None:
        return None
    if not isinstance(calls, list):
        return {"tool_calls": [wrong_type("an array", calls)]}
    faults = {
        i: [wrong_type("an object", call)] for i, call in enumerate(calls) if not isinstance(call, dict)
    }
    return {"tool_calls": faults} if faults else None


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
