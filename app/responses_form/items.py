"""Items of a response: their types, the ids that begin with each, their normal form, what they refer to.

Normal form: ``type`` always present, string content as one part, ``status`` "completed"
where the type has one.
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
    """Return the id prefix of an item type, no separator; ``item`` for types not known here."""
    return _PREFIXES.get(item_type, "item")


_STATELESS: Final = frozenset(
    {
        "reasoning",
        "compaction",
        "compaction_trigger",
        "additional_tools",
        "item_reference",
        "mcp_list_tools",
        "mcp_approval_request",
        "mcp_approval_response",
    }
)
"""Types without a ``status``."""

_OUTPUTS: Final[Mapping[str, tuple[str, str]]] = {
    # type of a call: type of its output, name in the message
    "function_call": ("function_call_output", "function call"),
    "custom_tool_call": ("custom_tool_call_output", "custom tool call"),
    "computer_call": ("computer_call_output", "computer call"),
}
_ANSWERS: Final[Mapping[str, str]] = {
    # type of an output: name in the message
    "function_call_output": "function call output",
    "custom_tool_call_output": "custom tool call output",
}
_SIGNED_CALLS: Final = frozenset({"function_call", "custom_tool_call"})


def as_items(value: str | Sequence[Mapping[str, Any]] | None) -> list[JSON]:
    """Return a request's ``input`` (string, list or absent) as a list of items."""
    if value is None:
        return []
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    return [dict(item) for item in value]


def item_type(item: Mapping[str, Any]) -> str:
    """Return an item's type; without one it is a message by its role or a reference by its id."""
    kind = item.get("type")
    if isinstance(kind, str) and kind:
        return kind
    return "message" if "role" in item or "id" not in item else "item_reference"


def is_reference(item: Any) -> bool:
    """Tell whether an item stands for a stored one."""
    return isinstance(item, Mapping) and item_type(item) == "item_reference"


def normalise(item: Mapping[str, Any]) -> JSON:
    """Return ``item`` in normal form, its id as it is."""
    kind = item_type(item)
    normal: JSON = {"id": item["id"]} if "id" in item else {}
    normal["type"] = kind
    if item.get("status") or kind not in _STATELESS:
        normal["status"] = item.get("status") or "completed"
    normal.update((key, value) for key, value in item.items() if key not in ("id", "type", "status"))
    if isinstance(normal.get("content"), str):
        normal["content"] = [_text_part(normal.get("role"), normal["content"])]
    return normal


def _text_part(role: Any, text: str) -> JSON:
    if role == "assistant":
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "input_text", "text": text}


def call_ids(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the calls that a request's input holds and whose signatures are kept."""
    items = body.get("input")
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and item.get("type") in _SIGNED_CALLS:
            if isinstance(item.get("call_id"), str):
                yield item["call_id"]


def check_tool_outputs(items: Sequence[Mapping[str, Any]]) -> None:
    """Raise OpenAI's 400 when a tool call in ``items`` has no output after it."""
    answered = {(one.get("type"), one.get("call_id")) for one in items}
    for one in items:
        output, words = _OUTPUTS.get(one.get("type", ""), ("", ""))
        if output and (output, one.get("call_id")) not in answered:
            raise GatewayError(
                "bad_request",
                f"No tool output found for {words} {one.get('call_id')}.",
                param="input",
            )


def lone_thoughts(items: Sequence[Mapping[str, Any]]) -> set[int]:
    """Return the places of the reasoning items beside which, between what the user said, there is
    nothing else of the model's. (Some models tell a thought behind their words.)"""
    found: set[int] = set()
    thoughts: set[int] = set()
    spoke = False
    for place, item in enumerate(items):
        kind, role = item_type(item), item.get("role")
        if kind == "reasoning":
            thoughts.add(place)
        elif kind != "message" or role == "assistant":
            spoke = True
        elif role == "user":
            found |= set() if spoke else thoughts
            thoughts, spoke = set(), False
    return found if spoke else found | thoughts


def check_thoughts(items: Sequence[Mapping[str, Any]]) -> None:
    """Raise OpenAI's 400 for a reasoning item, named by its id, that stands alone in ``items``."""
    for place in sorted(lone_thoughts(items)):
        if isinstance(name := items[place].get("id"), str):
            raise GatewayError(
                "bad_request",
                f"Item '{name}' of type 'reasoning' was provided without its required following item.",
                param="input",
            )


def check_tool_calls(items: Sequence[Mapping[str, Any]]) -> None:
    """Raise OpenAI's 400 when a tool's output in ``items`` answers no call in them.

    A compaction may hold the call, so that beside one nothing is looked for.
    """
    kinds = {str(one.get("type", "")) for one in items}
    if kinds.isdisjoint(_ANSWERS) or "compaction" in kinds:
        return
    called = {one.get("call_id") for one in items if not str(one.get("type", "")).endswith("_output")}
    for one in items:
        words = _ANSWERS.get(one.get("type", ""))
        if words and isinstance(one.get("call_id"), str) and one["call_id"] not in called:
            raise GatewayError(
                "bad_request",
                f"No tool call found for {words} with call_id {one['call_id']}.",
                param="input",
            )


def conversation_id_of(value: Any) -> str:
    """Return the id from a request's ``conversation`` (string or object); raises ``bad_request``."""
    named = value.get("id") if isinstance(value, Mapping) else value
    if isinstance(named, str):
        return named
    raise GatewayError(
        "bad_request",
        "Invalid type for 'conversation': expected a conversation ID or an object with an 'id'.",
        param="conversation",
        code="invalid_type",
    )
