"""What a client's Responses body must look like below its top level, in OpenAI's words.

Faults: contract/responses.md 1.2 (types, codes, messages and the path in ``param``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.dialects.responses.items_in import item_type
from app.dialects.shared.checking import missing, wrong_type, wrong_value
from app.errors import GatewayError

_WORDS: Final[Mapping[type, str]] = {str: "a string", bool: "a boolean", list: "an array"}

_REQUIRED: Final[Mapping[str, tuple[tuple[str, tuple[type, ...]], ...]]] = {
    "message": (("role", (str,)), ("content", (str, list))),
    "function_call": (("call_id", (str,)), ("name", (str,)), ("arguments", (str,))),
    "function_call_output": (("output", (str, list)),),
    "custom_tool_call": (("call_id", (str,)), ("name", (str,)), ("input", (str,))),
    "custom_tool_call_output": (("call_id", (str,)), ("output", (str, list))),
    "mcp_approval_response": (("approval_request_id", (str,)), ("approve", (bool,))),
}

_PART_REQUIRED: Final[Mapping[str, str]] = {
    "input_text": "text",
    "output_text": "text",
    "text": "text",
    "summary_text": "text",
    "reasoning_text": "text",
    "refusal": "refusal",
}

_PARTED: Final = ("content", "summary", "output")
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
    raise wrong_type(path or name, words, value)


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
        raise wrong_type(path, "a string or an array of items", value)
    for index, item in enumerate(value):
        _check_item(item, f"{path}[{index}]")
    return value


def _check_item(item: Any, path: str) -> None:
    if not isinstance(item, dict):
        raise wrong_type(path, "an object", item)
    kind = item_type(item)
    if kind == "item_reference":
        raise item_not_found(str(item.get("id")))
    for name, types in _REQUIRED.get(kind, ()):
        _check_member(item, name, types, f"{path}.{name}")
    if kind == "message" and item["role"] not in _ROLES:
        raise wrong_value(f"{path}.role", item["role"], "'assistant', 'system', 'developer', and 'user'")
    if kind in _REQUIRED or kind == "reasoning":
        _check_parts(item, path)


def _check_member(item: Mapping[str, Any], name: str, types: tuple[type, ...], path: str) -> None:
    if name not in item:
        raise missing(path)
    value = item[name]
    if not isinstance(value, types):
        raise wrong_type(path, " or ".join(_WORDS[wanted] for wanted in types), value)


def _check_parts(item: Mapping[str, Any], path: str) -> None:
    for name in _PARTED:
        parts = item.get(name)
        for index, part in enumerate(parts if isinstance(parts, list) else ()):
            _check_part(part, f"{path}.{name}[{index}]")


def _check_part(part: Any, path: str) -> None:
    if not isinstance(part, dict):
        raise wrong_type(path, "an object", part)
    kind = part.get("type")
    if kind is None:
        raise missing(f"{path}.type")
    if not isinstance(kind, str):
        raise wrong_type(f"{path}.type", "a string", kind)
    slot = _PART_REQUIRED.get(kind)
    if slot is not None:
        _check_member(part, slot, (str,), f"{path}.{slot}")
