"""Checks of what several bodies contain: chat messages, tools, metadata. Each returns None, or faults by member.

They are plain functions: nested marshmallow schemas take six times as long, which for a history of hundreds of
messages is more than the rest of the request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from app.dialects.shared.contents import content_faults
from app.dialects.shared.faults import Fault, Faults, missing, wrong_type, wrong_value

ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
_TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,128}")


def one_of(value: dict[str, Any], member: str, choices: Sequence[str]) -> Faults:
    """Check a member that is absent, null or one of ``choices``."""
    kind = value.get(member)
    if kind is None or kind in choices:
        return None
    return {member: [wrong_value(kind, choices) if isinstance(kind, str) else wrong_type("a string", kind)]}


def chat_message(message: Any) -> Faults:
    """Check one chat message: role, content, tool calls."""
    if not isinstance(message, dict):
        return [wrong_type("an object", message)]
    role = message.get("role")
    if not isinstance(role, str):
        return _text_faults(message, "role")
    if role not in ROLES:
        return {"role": [wrong_value(role, ROLES)]}
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        return missing("tool_call_id")
    content = message.get("content")
    if not isinstance(content, str) and (faults := content_faults(content)):
        return faults
    return _array_faults(message, "tool_calls", _object) if "tool_calls" in message else None


def require_string(member: str) -> Callable[[dict[str, Any]], Faults]:
    """Return a check that an object has a string at ``member``."""
    return lambda value: _text_faults(value, member)


def tool(value: Any) -> Faults:
    """Check one tool, with its function nested as in chat or flat as in Responses."""
    if not isinstance(value, dict):
        return [wrong_type("an object", value)]
    kind = value.get("type")
    if kind is None and isinstance(value.get("function"), dict):
        kind = "function"  # the type that Mistral's clients leave out
    if not isinstance(kind, str):
        return _text_faults(value, "type")
    if kind not in {"function", "custom"}:
        return None
    return _nested_faults(
        value, kind, lambda holder: _tool_name(holder, custom=kind == "custom") or _parameters(holder)
    )


def _tool_name(holder: Mapping[str, Any], *, custom: bool) -> Faults:
    name = holder.get("name")
    if not isinstance(name, str):
        return None if name is None and custom and "format" in holder else _text_faults(holder, "name")
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
    """Check a tool choice that is an object, and the tools that it allows, nested or flat."""
    if not isinstance(value.get("type"), str):
        return _text_faults(value, "type")
    return _nested_faults(
        value, "allowed_tools", lambda holder: _array_faults(holder, "tools", _tool_reference)
    )


def _tool_reference(value: Any) -> Faults:
    """Check a tool that a choice names."""
    if not isinstance(value, dict):
        return [wrong_type("an object", value)]
    kind = value.get("type")
    if not isinstance(kind, str):
        return _text_faults(value, "type")
    return _nested_faults(
        value, kind, lambda holder: None if holder.get("name") is None else _text_faults(holder, "name")
    )


def _text_faults(holder: Mapping[str, Any], member: str) -> Faults:
    """Check that a required member is a string."""
    value = holder.get(member)
    if value is None:
        return missing(member)
    return None if isinstance(value, str) else {member: [wrong_type("a string", value)]}


def _array_faults(holder: Mapping[str, Any], member: str, check: Callable[[Any], Faults]) -> Faults:
    """Check a member that is absent or an array, and each of its values."""
    values = holder.get(member)
    if values is None:
        return None
    if not isinstance(values, list):
        return {member: [wrong_type("an array", values)]}
    faults = {i: inner for i, value in enumerate(values) if (inner := check(value))}
    return {member: faults} if faults else None


def _nested_faults(
    value: Mapping[str, Any], member: str, check: Callable[[Mapping[str, Any]], Faults]
) -> Faults:
    """Check the object at ``member``, or ``value`` itself if there is none."""
    nested = value.get(member)
    if not isinstance(nested, dict):
        return check(value)
    faults = check(nested)
    return {member: faults} if faults else None


def _object(value: Any) -> Faults:
    return None if isinstance(value, dict) else [wrong_type("an object", value)]


def string(value: Any) -> Faults:
    """Check that a value is a string."""
    return None if isinstance(value, str) else [wrong_type("a string", value)]


def metadata(value: Mapping[str, Any]) -> Faults:
    """Check OpenAI's metadata: at most 16 pairs, keys of 64, texts of 512 characters."""
    if len(value) > 16:
        sentence = f"too many properties. Expected at most 16, but got {len(value)} instead."
        return [Fault("object_above_max_properties", f"Invalid '{{path}}': {sentence}")]
    for key, text in value.items():
        if len(key) > 64:
            sentence = "Invalid '{path}': a key is longer than 64 characters."
            return [Fault("string_above_max_length", sentence)]
        if not isinstance(text, str):
            return {key: [wrong_type("a string", text)]}
        if len(text) > 512:
            sentence = "Invalid '{path}': string too long. Expected a string with maximum length 512."
            return {key: [Fault("string_above_max_length", sentence)]}
    return None
