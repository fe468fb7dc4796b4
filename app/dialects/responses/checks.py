"""Checks of the items in a client's Responses body, with OpenAI's error codes and messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.dialects.shared import strict_json
from app.dialects.shared.contents import content_faults, part_faults, string_fault
from app.dialects.shared.faults import Faults, missing, raise_first, unsupported, wrong_type, wrong_value
from app.dialects.shared.lenient_json import as_list
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
_PART_LISTS: Final = ("content", "summary", "output")
_ITEMS_WITH_PARTS: Final = frozenset({"message", "reasoning", "mcp_approval_response", *_REQUIRED, *_OUTPUTS})
_ROLES: Final = ("assistant", "system", "developer", "user")


def item_not_found(item_id: str) -> GatewayError:
    """Return the 404 of a reference to an item that is not stored."""
    return GatewayError("not_found", f"Item with id '{item_id}' not found.", param="input")


def check_input(value: Any, path: str) -> list[dict[str, Any]]:
    """Return the items of ``input`` after checking each; ``[]`` for null.

    Raises GatewayError for the first fault, and ``not_found`` for an item reference: the store
    resolves references before a body is decoded.
    """
    if value is not None and not isinstance(value, list):
        raise strict_json.wrong_type(path, "a string or an array of items", value)
    for index, item in enumerate(value or ()):
        if isinstance(item, dict) and item_type(item) == "item_reference":
            raise item_not_found(str(item.get("id")))
        raise_first(item_faults(item) or _decoding_faults(item), f"{path}[{index}]")
    return value or []


def item_faults(item: Any) -> Faults:
    """Check one input item as far as the surfaces do, even for a body that is never decoded."""
    if not isinstance(item, dict):
        return [wrong_type("an object", item)]
    kind = item.get("type")
    if kind is not None and not isinstance(kind, str):
        return {"type": [wrong_type("a string", kind)]}
    if not isinstance(item.get("call_id"), str | None):
        return {"call_id": [wrong_type("a string", item["call_id"])]}
    if kind in (None, "message") and ("role" in item or kind == "message"):
        role = item.get("role")
        if role in ITEM_ROLES:
            return content_faults(item.get("content"))
        is_word = isinstance(role, str)
        fault = wrong_value(role, ITEM_ROLES) if is_word else wrong_type("a string", role)
        return {"role": [fault]} if role is not None else missing("role")
    if kind is None and not isinstance(item.get("id"), str):
        return missing("type")
    return _item_members(kind, item)


def _item_members(kind: str | None, item: Mapping[str, Any]) -> Faults:
    for member in _REQUIRED.get(kind or "", ()):
        if item.get(member) is None:
            return missing(member)
        if fault := string_fault(item, member):
            return fault
    if kind not in _OUTPUTS:
        return None
    if not isinstance(item.get("call_id"), str):
        return missing("call_id")
    is_output = isinstance(item.get("output"), str | list)
    return None if is_output else string_fault(item, "output", "a string or an array")


def _decoding_faults(item: Mapping[str, Any]) -> Faults:
    """Check what decoding needs beyond ``item_faults``."""
    kind = item_type(item)
    fault = _MORE[kind](item) if kind in _MORE else None
    return fault or (_texts(item) if kind in _ITEMS_WITH_PARTS else None)


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
    """Check the parts of an item, and that parts of text have their text."""
    for name in _PART_LISTS:
        for index, part in enumerate(as_list(item.get(name))):
            if fault := part_faults(part) or _text_fault(part):
                return {name: {index: fault}}
    return None


def _text_fault(part: Mapping[str, Any]) -> Faults:
    slot = _TEXTS.get(part["type"])
    return None if slot is None else string_fault(part, slot)
