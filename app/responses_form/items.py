"""Items of a response: their types, the prefixes of their ids, their normal form, and the rules of tool calls.

Normal form: ``type`` is always present, a string as content becomes one part, and ``status`` is "completed" if the
type has a status.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from app.errors import GatewayError

JSON = dict[str, Any]

_PREFIXES: Final[Mapping[str, str]] = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "computer_call": "cu",
    "computer_call_output": "cuo",
    "local_shell_call": "lsh",
    "local_shell_call_output": "lsho",
    "shell_call": "sh",
    "shell_call_output": "sho",
    "apply_patch_call": "apc",
    "apply_patch_call_output": "apco",
    "tool_search_call": "tsc",
    "tool_search_output": "tso",
    "tool_search_call_output": "tso",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "mcp_approval_request": "mcpr",
    "mcp_approval_response": "mcpa",
    "compaction": "cmp",
}


def item_prefix(item_type: str) -> str:
    """Return the prefix of ids of an item type, without separator; ``item`` for unknown types."""
    return _PREFIXES.get(item_type, "item")


_STATELESS: Final = frozenset(
    {
        "reasoning",
        "compaction",
        "mcp_list_tools",
        "mcp_approval_request",
        "mcp_approval_response",
    }
)
"""Types with a prefix, but without a ``status``. Whether other types have one is not known."""

_OUTPUTS: Final[Mapping[str, tuple[str, str]]] = {
    # type of a call: type of its output, and OpenAI's word for the call
    "function_call": ("function_call_output", "function call"),
    "custom_tool_call": ("custom_tool_call_output", "custom tool call"),
    "computer_call": ("computer_call_output", "computer call"),
}
_ANSWERS: Final[Mapping[str, str]] = {
    # type of an output: OpenAI's word for it
    "function_call_output": "function call output",
    "custom_tool_call_output": "custom tool call output",
}
REPLACEMENT: Final = "slc2."
"""What the ``encrypted_content`` of such an item begins with."""
_SIGNED_CALLS: Final = frozenset({"function_call", "custom_tool_call"})


def as_items(value: str | Sequence[Mapping[str, Any]] | None) -> list[JSON]:
    """Return a request's ``input`` (a string, a list or None) as a list of items."""
    if value is None:
        return []
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    return [dict(item) for item in value]


def item_type(item: Mapping[str, Any]) -> str:
    """Return an item's type; without the member it is a message if it has a role, a reference if it has only an id."""
    kind = item.get("type")
    if isinstance(kind, str) and kind:
        return kind
    return "message" if "role" in item or "id" not in item else "item_reference"


def is_reference(item: Any) -> bool:
    """Tell whether an item refers to a stored one."""
    return isinstance(item, Mapping) and item_type(item) == "item_reference"


def is_replacement(item: Mapping[str, Any]) -> bool:
    """Tell whether an item is a compaction by the gateway that replaces everything before it."""
    content = item.get("encrypted_content")
    return item.get("type") == "compaction" and isinstance(content, str) and content.startswith(REPLACEMENT)


def normalise(item: Mapping[str, Any]) -> JSON:
    """Return ``item`` in normal form, with its id unchanged."""
    kind = item_type(item)
    normal: JSON = {"id": item["id"]} if "id" in item else {}
    normal["type"] = kind
    has_status = kind in _PREFIXES and kind not in _STATELESS
    if has_status or "status" in item:
        normal["status"] = item.get("status") or ("completed" if has_status else None)
    normal.update((key, value) for key, value in item.items() if key not in ("id", "type", "status"))
    if isinstance(normal.get("content"), str):
        normal["content"] = [_text_part(normal.get("role"), normal["content"])]
    return normal


def _text_part(role: Any, text: str) -> JSON:
    if role == "assistant":
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "input_text", "text": text}


def call_ids(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the function and custom tool calls in a request's input."""
    items = body.get("input")
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and item.get("type") in _SIGNED_CALLS:
            if isinstance(item.get("call_id"), str):
                yield item["call_id"]


def call_id_of(item: Mapping[str, Any]) -> str | None:
    """Return the id of the call that an item is, or answers; None without one."""
    return call_id if isinstance(call_id := item.get("call_id"), str) else None


def check_tool_outputs(items: Sequence[Mapping[str, Any]]) -> None:
    """Raise OpenAI's 400 if a tool call in ``items`` has no output there."""
    calls = {(item_type(one), call_id_of(one)) for one in items if "call_id" in one}
    for one in items:
        output, words = _OUTPUTS.get(item_type(one), ("", ""))
        if output and (output, call_id_of(one)) not in calls:
            raise GatewayError(
                "bad_request",
                f"No tool output found for {words} {one.get('call_id')}.",
                param="input",
            )


def lone_thoughts(items: Sequence[Mapping[str, Any]]) -> set[int]:
    """Return the indexes of reasoning items without any other output of the model between the same two user messages.

    The output may come before the reasoning, as with some models."""
    lone: set[int] = set()
    turn: set[int] = set()  # reasoning items since the last user message
    has_output = False
    for index, item in enumerate([*items, {"type": "message", "role": "user"}]):
        kind, role = item_type(item), item.get("role")
        if kind == "reasoning":
            turn.add(index)
        elif kind != "message" or role == "assistant":
            has_output = True
        elif role == "user":
            lone |= set() if has_output else turn
            turn, has_output = set(), False
    return lone


def check_thoughts(items: Sequence[Mapping[str, Any]]) -> None:
    """Raise OpenAI's 400 for a reasoning item with an id that ``lone_thoughts`` finds in ``items``."""
    for place in sorted(lone_thoughts(items)):
        if isinstance(name := items[place].get("id"), str):
            raise GatewayError(
                "bad_request",
                f"Item '{name}' of type 'reasoning' was provided without its required following item.",
                param="input",
            )


def check_tool_calls(items: Sequence[Mapping[str, Any]]) -> None:
    """Raise OpenAI's 400 if a tool's output in ``items`` has no call there.

    With a compaction nothing is checked, since that may contain the call.
    """
    kinds = {str(one.get("type", "")) for one in items}
    if kinds.isdisjoint(_ANSWERS) or "compaction" in kinds:
        return
    call_ids = {call_id_of(one) for one in items if not str(one.get("type", "")).endswith("_output")}
    for one in items:
        words = _ANSWERS.get(item_type(one))
        if words and isinstance(one.get("call_id"), str) and one["call_id"] not in call_ids:
            raise GatewayError(
                "bad_request",
                f"No tool call found for {words} with call_id {one['call_id']}.",
                param="input",
            )


def conversation_id_of(value: Any) -> str:
    """Return the id from a request's ``conversation`` (string or object); raises ``bad_request``."""
    conversation_id = value.get("id") if isinstance(value, Mapping) else value
    if isinstance(conversation_id, str):
        return conversation_id
    raise GatewayError(
        "bad_request",
        "Invalid type for 'conversation': expected a conversation ID or an object with an 'id'.",
        param="conversation",
        code="invalid_type",
    )
