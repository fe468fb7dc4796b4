"""What a client's Responses body must look like below its top level, in OpenAI's words.

Faults: contract/responses.md 1.2 (types, codes, messages and the path in ``param``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.dialects.shared import strict_json
from app.dialects.shared.contents import content_faults, part_faults
from app.dialects.shared.faults import Faults, missing, raise_first, unsupported, wrong_type, wrong_value
from app.errors import GatewayError
from app.responses_form.items import item_type

ITEM_ROLES: Final = ("user", "assistant", "system", "developer", "tool")

_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "function_call": ("call_id", "name", "arguments"),
    "custom_tool_call": ("call_id", "name", "input"),
    "item_reference": ("id",),
}
_OUTPUTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})

_TEXTS: Final[Mapping[str, str]] = {
    "input_text": "text",
    "output_text": "text",
    "text": "text",
    "summary_text": "text",
    "reasoning_text": "text",
    "refusal": "refusal",
}
_PARTED: Final = ("content", "summary", "output")
_PARTED_ITEMS: Final = frozenset({"message", "reasoning", "mcp_approval_response", *_REQUIRED, *_OUTPUTS})
_ROLES: Final = ("assistant", "system", "developer", "user")


def expect(
    members: Mapping[str, Any], name: str, wanted: type, words: str, *, path: str | None = None
) -> Any:
    """Return ``members[name]``, None when absent or null.

    Raises GatewayError ``invalid_type`` when it is not a ``wanted``; ``words`` say what one is.
    """
    value = members.get(name)
    if value is None or isinstance(value, wanted):
        return value
    raise strict_json.wrong_type(path or name, words, value)


def item_not_found(item_id: str) -> GatewayError:
    """Return the 404 for an item reference that nothing stored answers to."""
    return GatewayError("not_found", f"Item with id '{item_id}' not found.", param="input")


def check_input(value: Any, path: str = "input") -> list[dict[str, Any]]:
    """Return the items of ``input`` after checking each; None gives [].

    Raises GatewayError for the first fault, and ``not_found`` for an item reference: the
    store resolves those before a body is decoded.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise strict_json.wrong_type(path, "a string or an array of items", value)
    for index, item in enumerate(value):
        _check_item(item, f"{path}[{index}]")
    return value


def _check_item(item: Any, path: str) -> None:
    if isinstance(item, dict) and item_type(item) == "item_reference":
        raise item_not_found(str(item.get("id")))
    raise_first(item_faults(item) or _readable(item), path)


def item_faults(item: Any) -> Faults:
    """Check one input item: what the doors refuse, whether or not the body is ever decoded."""
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
        return content_faults(item.get("content"))
    if kind is None and not isinstance(item.get("id"), str):
        return missing("type")
    return _item_members(kind, item)


def _item_members(kind: str | None, item: Mapping[str, Any]) -> Faults:
    for member in _REQUIRED.get(kind or "", ()):
        value = item.get(member)
        if value is None:
            return missing(member)
        if not isinstance(value, str):
            return {member: [wrong_type("a string", value)]}
    if kind in _OUTPUTS:
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


def _readable(item: Mapping[str, Any]) -> Faults:
    """Check what else decoding needs of an item that the doors let in."""
    kind = item_type(item)
    found = _MORE[kind](item) if kind in _MORE else None
    return found or (_texts(item) if kind in _PARTED_ITEMS else None)


def _message(item: Mapping[str, Any]) -> Faults:
    if "content" not in item:
        return missing("content")
    if item["content"] is None:
        return {"content": [wrong_type("a string or an array", None)]}
    if item["role"] not in _ROLES:
        return {"role": [unsupported(item["role"], "'assistant', 'system', 'developer', and 'user'")]}
    return None


def _approval(item: Mapping[str, Any]) -> Faults:
    for member, kind, words in (("approval_request_id", str, "a string"), ("approve", bool, "a boolean")):
        if member not in item:
            return missing(member)
        if not isinstance(item[member], kind):
            return {member: [wrong_type(words, item[member])]}
    return None


_MORE: Final[Mapping[str, Callable[[Mapping[str, Any]], Faults]]] = {
    "message": _message,
    "mcp_approval_response": _approval,
}


def _texts(item: Mapping[str, Any]) -> Faults:
    """Check the parts of an item, and that those of text have one."""
    for name in _PARTED:
        parts = item.get(name)
        for index, part in enumerate(parts if isinstance(parts, list) else ()):
            if found := part_faults(part) or _text(part):
                return {name: {index: found}}
    return None


def _text(part: Mapping[str, Any]) -> Faults:
    slot = _TEXTS.get(part["type"])
    if slot is None or isinstance(part.get(slot), str):
        return None
    return {slot: [wrong_type("a string", part[slot])]} if slot in part else missing(slot)
