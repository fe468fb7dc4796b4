"""Folds stream events to the output items of a response that was cut off.

Items that never finished are "incomplete". Unknown events are ignored.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

JSON = dict[str, Any]
Event = Mapping[str, Any]
Place = tuple[str | None, int, str]
"""The place of a growing text in its item: list of parts (None: the item itself), index, member."""


class _Fold:
    """Items by output index; growing texts are lists of deltas, joined once."""

    def __init__(self) -> None:
        self.items: dict[int, JSON] = {}
        self.deltas: dict[int, dict[Place, list[str]]] = {}

    def open(self, event: Event) -> None:
        """Start an item."""
        item = self.put(event)
        if item.get("status") == "in_progress":
            item["status"] = "incomplete"

    def put_part(self, event: Event, member: str, index: int) -> None:
        """Replace one part of an item."""
        item = self.items.get(event["output_index"])
        if item is None:
            return
        _parts(item, member, index)[index] = copy.deepcopy(dict(event["part"]))
        growing = self.deltas[event["output_index"]]
        for place in [place for place in growing if place[:2] == (member, index)]:
            del growing[place]

    def grow(self, event: Event, place: Place) -> None:
        """Add a delta."""
        growing = self.deltas.get(event["output_index"])
        if growing is not None:
            growing.setdefault(place, []).append(event["delta"])

    def output(self) -> list[JSON]:
        """Return the items in order, their texts joined."""
        for index, growing in self.deltas.items():
            for (member, part, name), deltas in growing.items():
                item = self.items[index]
                holder = item if member is None else _parts(item, member, part)[part]
                holder[name] = holder.get(name, "") + "".join(deltas)
            growing.clear()
        return [self.items[index] for index in sorted(self.items)]

    def put(self, event: Event) -> JSON:
        """Set an item, or replace it by its final form."""
        item = copy.deepcopy(dict(event["item"]))
        self.items[event["output_index"]] = item
        self.deltas[event["output_index"]] = {}
        return item


def fold(events: Iterable[Event]) -> list[JSON]:
    """Return the output items of ``events``, in order."""
    state = _Fold()
    for event in events:
        rule = _RULES.get(event.get("type", ""))
        if rule is not None:
            rule(state, event)
    return state.output()


def _parts(item: JSON, member: str, index: int) -> list[JSON]:
    """Return the item's list of parts, long enough for ``index``."""
    parts: list[JSON] = item.setdefault(member, [])
    parts.extend({} for _ in range(index + 1 - len(parts)))
    return parts


def _part(member: str, index: str) -> Callable[[_Fold, Event], None]:
    return lambda state, event: state.put_part(event, member, event[index])


def _text(member: str, index: str, name: str) -> Callable[[_Fold, Event], None]:
    return lambda state, event: state.grow(event, (member, event[index], name))


def _own(name: str) -> Callable[[_Fold, Event], None]:
    return lambda state, event: state.grow(event, (None, 0, name))


_RULES: Final[Mapping[str, Callable[[_Fold, Event], object]]] = {
    "response.output_item.added": _Fold.open,
    "response.output_item.done": _Fold.put,
    "response.content_part.added": _part("content", "content_index"),
    "response.content_part.done": _part("content", "content_index"),
    "response.output_text.delta": _text("content", "content_index", "text"),
    "response.refusal.delta": _text("content", "content_index", "refusal"),
    "response.reasoning_text.delta": _text("content", "content_index", "text"),
    "response.reasoning_summary_part.added": _part("summary", "summary_index"),
    "response.reasoning_summary_part.done": _part("summary", "summary_index"),
    "response.reasoning_summary_text.delta": _text("summary", "summary_index", "text"),
    "response.function_call_arguments.delta": _own("arguments"),
    "response.custom_tool_call_input.delta": _own("input"),
    "response.mcp_call_arguments.delta": _own("arguments"),
    "response.code_interpreter_call_code.delta": _own("code"),
}
