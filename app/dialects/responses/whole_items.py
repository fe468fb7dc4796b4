"""Output items completed with the members that OpenAI's types require.

Other hosts of Responses omit members (``content``, ``annotations``, ids) or send null for them, and OpenAI's
SDKs raise then. Only missing members are added. Source: the types of openai-python 2.45.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.dialects.shared.lenient_json import JSON, as_list, dicts, opt_str, without_nulls
from app.responses_form.items import item_prefix

_PARTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "output_text": {"text": "", "annotations": (), "logprobs": ()},
    "refusal": {"refusal": ""},
    "reasoning_text": {"text": ""},
    "summary_text": {"text": ""},
}
_ITEMS: Final[Mapping[str, Mapping[str, Any]]] = {
    "message": {"status": "completed", "role": "assistant", "content": ()},
    "function_call": {"status": "completed", "name": "", "arguments": ""},
    "custom_tool_call": {"status": "completed", "name": "", "input": ""},
    "reasoning": {"summary": ()},
}
_CALLS: Final = frozenset({"function_call", "custom_tool_call"})
LISTS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "message": (("content", "output_text"),),
    "reasoning": (("summary", "summary_text"), ("content", "reasoning_text")),
}
"""The lists of parts of each item type, with the type of a part that has none."""


def whole_part(part: Mapping[str, Any], kind: str) -> JSON:
    """Return a part with the members of its type, which is ``kind`` if it has none."""
    part_type = opt_str(part.get("type")) or kind
    return _fill(part, {"type": part_type, **_PARTS.get(part_type, {})})


def whole_item(item: Mapping[str, Any], item_id: Callable[[str], str]) -> JSON:
    """Return an item with the members of its type; ``item_id`` returns a new id for a prefix."""
    kind = opt_str(item.get("type")) or ("message" if "content" in item else "item")
    own = opt_str(item.get("id")) or item_id(item_prefix(kind))
    whole = _fill(item, {"type": kind, **_ITEMS.get(kind, {})}) | {"id": own}
    if kind in _CALLS and not opt_str(whole.get("call_id")):
        whole["call_id"] = own
    for name, part_kind in LISTS.get(kind, ()):
        if whole.get(name) is not None:
            whole[name] = _parts(whole[name], part_kind)
    return whole


def opening_item(item: Mapping[str, Any], kind: str, item_id: str) -> JSON:
    """Return an item as it is in ``output_item.added``: without its texts."""
    opening = whole_item({**item, "type": kind, "id": item_id}, lambda _: item_id)
    for name, _ in LISTS.get(kind, ()):
        if name in opening:
            opening[name] = []
    for name in ("arguments", "input"):
        if kind in _CALLS and name in opening:
            opening[name] = ""
    if "status" in _ITEMS.get(kind, {}):
        opening["status"] = "in_progress"
    return opening


def _parts(value: Any, kind: str) -> list[JSON]:
    if isinstance(value, str):
        return [whole_part({"text": value}, kind)] if value else []
    return [whole_part(part, kind) for part in dicts(as_list(value))]


def _fill(members: Mapping[str, Any], required: Mapping[str, Any]) -> JSON:
    others = {name: value for name, value in members.items() if name not in required}
    base = {name: [] if value == () else value for name, value in required.items()}
    return {**base, **others, **without_nulls({name: members.get(name) for name in required})}
