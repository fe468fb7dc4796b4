"""What a cut-off response had produced, read back from its event log.

Folds Responses stream events (contract/responses.md 4.2) into output items. Items
that were never finished are "incomplete". Unknown events change nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from app.state.records import JSON

Output = dict[int, JSON]
Event = Mapping[str, Any]


def fold(events: Iterable[Event]) -> list[JSON]:
    """Return the output items that ``events`` amount to, in order."""
    output: Output = {}
    for event in events:
        apply = _RULES.get(event.get("type", ""))
        if apply is not None:
            apply(output, event)
    return [output[index] for index in sorted(output)]


def _open(output: Output, event: Event) -> None:
    opened = copy.deepcopy(dict(event["item"]))
    if opened.get("status") == "in_progress":
        opened["status"] = "incomplete"
    output[event["output_index"]] = opened


def _close(output: Output, event: Event) -> None:
    output[event["output_index"]] = copy.deepcopy(dict(event["item"]))


def _part(member: str, index: str) -> Callable[[Output, Event], None]:
    def put(output: Output, event: Event) -> None:
        parts = _parts(output, event, member, event[index])
        if parts is not None:
            parts[event[index]] = copy.deepcopy(dict(event["part"]))

    return put


def _grow_part(member: str, index: str, text: str) -> Callable[[Output, Event], None]:
    def grow(output: Output, event: Event) -> None:
        parts = _parts(output, event, member, event[index])
        if parts is not None:
            part = parts[event[index]]
            part[text] = part.get(text, "") + event["delta"]

    return grow


def _grow_item(member: str) -> Callable[[Output, Event], None]:
    def grow(output: Output, event: Event) -> None:
        item = output.get(event["output_index"])
        if item is not None:
            item[member] = item.get(member, "") + event["delta"]

    return grow


def _parts(output: Output, event: Event, member: str, index: int) -> list[JSON] | None:
    """Return the item's list of parts, long enough for ``index``; none for an unknown item."""
    item = output.get(event["output_index"])
    if item is None:
        return None
    parts: list[JSON] = item.setdefault(member, [])
    while len(parts) <= index:
        parts.append({})
    return parts


_RULES: Final[Mapping[str, Callable[[Output, Event], None]]] = {
    "response.output_item.added": _open,
    "response.output_item.done": _close,
    "response.content_part.added": _part("content", "content_index"),
    "response.content_part.done": _part("content", "content_index"),
    "response.output_text.delta": _grow_part("content", "content_index", "text"),
    "response.refusal.delta": _grow_part("content", "content_index", "refusal"),
    "response.reasoning_text.delta": _grow_part("content", "content_index", "text"),
    "response.reasoning_summary_part.added": _part("summary", "summary_index"),
    "response.reasoning_summary_part.done": _part("summary", "summary_index"),
    "response.reasoning_summary_text.delta": _grow_part("summary", "summary_index", "text"),
    "response.function_call_arguments.delta": _grow_item("arguments"),
    "response.custom_tool_call_input.delta": _grow_item("input"),
    "response.mcp_call_arguments.delta": _grow_item("arguments"),
    "response.code_interpreter_call_code.delta": _grow_item("code"),
}
