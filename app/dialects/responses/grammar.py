"""A provider's Responses stream, completed to the order of events that OpenAI's SDKs require.

Hosts omit events, indexes, ids and members, or send null for them. The SDKs append items and parts in the
order of their ``added`` events and add each delta at its index, so a missing event makes them raise. Here
every item opens, grows and closes once, with one id and the next index. Text that only a later event has
is sent as the missing delta. A stream in order passes unchanged.

Sources: the events in OpenAI's API description; docs/contract/streams.md for the deviations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.dialects.responses.growths import GROWTHS, Growth, part_event
from app.dialects.responses.whole_items import LISTS, opening_item, whole_item, whole_part
from app.dialects.shared.decoder_parts import nameless_call
from app.dialects.shared.lenient_json import JSON, as_dict, as_str, count, dicts, opt_str, rest, without_nulls
from app.responses_form.events import CREATED, IN_PROGRESS, OPENING, TERMINAL
from app.responses_form.items import item_prefix

Payload = tuple[str, JSON]


_BY_PART: Final = {growth.part: growth for growth in GROWTHS if growth.part}
_BY_CALL: Final = {growth.item: growth for growth in GROWTHS if growth.list is None}


@dataclass(slots=True)
class Text:
    """One text; ``growth`` is None for a part of an unknown type. ``at`` are the members that locate it."""

    growth: Growth | None
    at: JSON
    part_event: str = ""
    part: JSON = field(default_factory=dict)
    pieces: list[str] = field(default_factory=list)
    done: bool = False
    closed: bool = False
    annotations: list[JSON] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(slots=True)
class _Item:
    """One item. A call is not ``open`` before its name is known; its deltas until then are in ``backlog``."""

    index: int
    id: str
    type: str
    added: JSON
    open: bool = False
    done: bool = False
    backlog: list[str] = field(default_factory=list)
    texts: dict[str, list[Text]] = field(default_factory=dict)
    numbers: dict[tuple[str, int], Text] = field(default_factory=dict)

    @property
    def at(self) -> JSON:
        return {"item_id": self.id, "output_index": self.index}


class Grammar:
    """Converts a provider's events to complete ones. ``new_id`` returns a new id for a prefix."""

    def __init__(self, new_id: Callable[[str], str]) -> None:
        self._new_id = new_id
        self._items: list[_Item] = []
        self._by_number: dict[int, _Item] = {}
        self._by_id: dict[str, _Item] = {}
        self._opened: set[str] = set()
        self.latest: Text | None = None
        """The text that the last delta added to."""

    def feed(self, kind: str, event: JSON) -> Iterator[Payload]:
        """Yield the events, ``(type, members)``, for one event of the provider.

        Raises ``upstream_invalid`` for a call that has no name at its end.
        """
        kind, data = _ALIASES.get(kind, kind), rest(event, _REWRITTEN)
        if kind.startswith("response.") and kind not in OPENING and IN_PROGRESS not in self._opened:
            yield from self._open(IN_PROGRESS, {})
        rule = _RULES.get(kind)
        if rule is not None:
            yield from rule(self, kind, data)
        elif "output_index" in data or "item_id" in data:
            item = self._item(data, None)
            yield kind, data | item.at if item is not None else data
        else:
            yield kind, data

    # life cycle

    def _open(self, kind: str, data: JSON) -> Iterator[Payload]:
        if kind in self._opened:
            return
        if kind != CREATED and CREATED not in self._opened:
            yield from self._open(CREATED, data)
        self._opened.add(kind)
        status = "queued" if kind.endswith("queued") else "in_progress"
        yield kind, data | {"response": _with_status(data, status)}

    def _end(self, kind: str, data: JSON) -> Iterator[Payload]:
        response = _with_status(data, kind.rpartition(".")[2])
        for at, item in enumerate(dicts(response.get("output"))):
            yield from self._close_late(at, item)
        status = "completed" if response["status"] == "completed" else "incomplete"
        for state in self._items:
            yield from self._close_item(state, {"status": status})
        yield kind, data | {"response": response}

    def _close_late(self, at: int, item: JSON) -> Iterator[Payload]:
        """Close an item of the terminal object that was not done, or not even announced."""
        kind = _type_of(item)
        if at < len(self._items):
            if self._items[at].type == kind:
                yield from self._close_item(self._items[at], item)
        elif as_str(item.get("id")) not in self._by_id:
            yield from self._close_item(self._new(kind, item, None), item)

    # items

    def _item(self, data: JSON, kind: str | None) -> _Item | None:
        """Return the item of an event: by its index, by its id, or the last one if it is open and of ``kind``."""
        number, item_id = count(data.get("output_index")), opt_str(data.get("item_id"))
        if number is not None and number in self._by_number:
            return self._by_number[number]
        if item_id is not None and item_id in self._by_id:
            return self._by_id[item_id]
        if number is not None or not self._items:
            return None
        last = self._items[-1]
        return None if last.done or kind not in (None, last.type) else last

    def _new(self, kind: str, item: JSON, number: int | None) -> _Item:
        own = opt_str(item.get("id")) or self._new_id(item_prefix(kind))
        state = _Item(len(self._items), own, kind, item)
        self._items.append(state)
        self._by_id[own] = state
        if number is not None:
            self._by_number[number] = state
        return state

    def _growing_item(self, growth: Growth, data: JSON) -> _Item:
        """Return the item of a text, which begins here if no event announced it."""
        start = {"id": data.get("item_id"), "type": growth.item}
        number = count(data.get("output_index"))
        return self._item(data, growth.item) or self._new(growth.item, start, number)

    def _announce(self, item: _Item) -> Iterator[Payload]:
        """Yield the ``added`` event of an item; a call needs a name for that."""
        if item.open or (item.type in _BY_CALL and not opt_str(item.added.get("name"))):
            return
        item.open = True
        value = opening_item(item.added, item.type, item.id)
        yield "response.output_item.added", {"output_index": item.index, "item": value}

    def _item_added(self, kind: str, data: JSON) -> Iterator[Payload]:
        item = as_dict(data.get("item"))
        number = count(data.get("output_index"))
        twin = self._by_number.get(number) if number is not None else None
        twin = twin or self._by_id.get(as_str(item.get("id")))
        if twin is None or not _is_same(twin, item):
            yield from self._announce(self._new(_type_of(item), item, number))

    def _item_done(self, kind: str, data: JSON) -> Iterator[Payload]:
        item = as_dict(data.get("item"))
        wire_kind = _type_of(item)
        state = self._item({"item_id": item.get("id"), **data}, wire_kind)
        if state is None or state.type != wire_kind:
            state = self._new(wire_kind, item, count(data.get("output_index")))
        yield from self._close_item(state, item)

    def _close_item(self, state: _Item, item: JSON) -> Iterator[Payload]:
        """Bring an item to its final form and end it; do nothing if it has ended."""
        if state.done:
            return
        state.done = True
        last = {**state.added, **without_nulls(item)}
        if state.type in _BY_CALL and not opt_str(last.get("name")):
            raise nameless_call()
        if not state.open:
            state.added = last
            yield from self._announce(state)
        whole = whole_item({**last, "type": state.type, "id": state.id}, lambda _: state.id)
        yield from self._finish_texts(state, whole)
        yield "response.output_item.done", {"output_index": state.index, "item": whole}

    def _finish_texts(self, state: _Item, whole: JSON) -> Iterator[Payload]:
        """Yield the text that only the final item has, and add to the item what only the events had."""
        call = _BY_CALL.get(state.type)
        if call is not None:
            text = self._call_text(state, call)
            whole[call.member] = whole[call.member] or text.text or "".join(state.backlog)
            yield from _grow_to(text, whole[call.member])
        for name, part_kind in LISTS.get(state.type, ()):
            texts = state.texts.get(name, [])
            parts = _in_order(list(whole.get(name) or ()), [n for of, n in state.numbers if of == name])
            parts += [_last_part(text) for text in texts[len(parts) :]]
            if parts or name in whole:
                whole[name] = parts
            for at, part in enumerate(parts):
                if at >= len(texts):
                    yield from self._open_part(state, name, part, part_kind, None)
                yield from _close_part(state.texts[name][at], part)

    # parts and texts

    def _open_part(
        self, item: _Item, name: str, part: JSON, kind: str, number: int | None
    ) -> Iterator[Payload]:
        """Open the next part of an item's list, and close the one before it."""
        yield from self._announce(item)
        texts = item.texts.setdefault(name, [])
        if texts:
            yield from _close_part(texts[-1], {})
        whole = whole_part(part, kind)
        growth = _BY_PART.get(whole["type"])
        at = {**item.at, f"{name}_index": len(texts)}
        empty = whole if growth is None else whole_part({"type": whole["type"]}, kind)
        text = Text(growth, at, part_event(name), empty)
        texts.append(text)
        item.numbers[name, len(texts) - 1 if number is None else number] = text
        yield f"{text.part_event}.added", {**at, "part": empty}

    def _part_added(self, kind: str, data: JSON) -> Iterator[Payload]:
        name = "summary" if "summary" in kind else "content"
        item = self._part_item(name, data)
        number = count(data.get(f"{name}_index"))
        if item.done or (number is not None and (name, number) in item.numbers):
            return
        part, default = as_dict(data.get("part")), _part_kind(item, name)
        yield from self._open_part(item, name, part, default, number)
        text = item.texts[name][-1]
        if text.growth is not None:
            yield from _grow(text, as_str(part.get(text.growth.member)), {})

    def _part_item(self, name: str, data: JSON) -> _Item:
        part = _BY_PART.get(as_str(as_dict(data.get("part")).get("type")))
        growth = part or _BY_PART["summary_text" if name == "summary" else "output_text"]
        item = self._item(data, None)
        return item if item is not None and item.type in LISTS else self._growing_item(growth, data)

    def _part_done(self, kind: str, data: JSON) -> Iterator[Payload]:
        name = "summary" if "summary" in kind else "content"
        item, part = self._part_item(name, data), as_dict(data.get("part"))
        text = self._part(item, name, data)
        if text is None and not item.done:
            yield from self._open_part(item, name, part, _part_kind(item, name), None)
            text = item.texts[name][-1]
        if text is not None:
            yield from _close_part(text, part)

    @staticmethod
    def _part(item: _Item, name: str, data: JSON) -> Text | None:
        """Return the part of an event: by its index, or the last one."""
        number, texts = count(data.get(f"{name}_index")), item.texts.get(name)
        if number is not None:
            return item.numbers.get((name, number))
        return texts[-1] if texts else None

    def _call_text(self, item: _Item, growth: Growth) -> Text:
        texts = item.texts.setdefault(growth.member, [])
        if not texts:
            texts.append(Text(growth, item.at))
        return texts[0]

    def _text(self, growth: Growth, item: _Item, data: JSON) -> Iterator[Payload]:
        """Open the text of an event if it is not open."""
        if growth.list is None:
            yield from self._announce(item)
            return
        text, index = self._part(item, growth.list, data), count(data.get(growth.index))
        if text is None or (index is None and (text.closed or text.growth is not growth)):
            yield from self._open_part(item, growth.list, {"type": growth.part}, growth.part, index)

    def _text_event(self, kind: str, data: JSON) -> Iterator[Payload]:
        event, _, step = kind.rpartition(".")
        growth = _BY_EVENT[event]
        item = self._growing_item(growth, data)
        if item.done:
            return
        yield from self._text(growth, item, data)
        text, delta = self._current(growth, item, data), data.get("delta")
        if text.growth is not growth or (step == "delta" and (text.done or not isinstance(delta, str))):
            return
        if step == "done" and item.open:
            yield from _grow_to(text, data.get(growth.member), data)
        elif step == "delta" and item.open:
            self.latest = text
            yield from _grow(text, as_str(delta), data, always=True)
        elif step == "delta":
            item.backlog.append(as_str(delta))

    def _current(self, growth: Growth, item: _Item, data: JSON) -> Text:
        if growth.list is None:
            return self._call_text(item, growth)
        return self._part(item, growth.list, data) or item.texts[growth.list][-1]

    def _annotation(self, kind: str, data: JSON) -> Iterator[Payload]:
        growth = _BY_PART["output_text"]
        item = self._growing_item(growth, data)
        if item.done or not isinstance(data.get("annotation"), dict):
            return
        yield from self._text(growth, item, data)
        text = self._current(growth, item, data)
        place = count(data.get("annotation_index"))
        yield kind, data | text.at | {"annotation_index": len(text.annotations) if place is None else place}
        text.annotations.append(data["annotation"])


def _with_status(data: JSON, status: str) -> JSON:
    response = as_dict(data.get("response"))
    return {**response, "status": opt_str(response.get("status")) or status}


def _type_of(item: Mapping[str, Any]) -> str:
    return opt_str(item.get("type")) or "message"


def _is_same(before: _Item, item: JSON) -> bool:
    item_id = opt_str(item.get("id"))
    return before.type == _type_of(item) and (item_id in (None, before.id) or "id" not in before.added)


def _part_kind(item: _Item, name: str) -> str:
    return dict(LISTS.get(item.type, ())).get(name, "output_text")


def _grow(text: Text, delta: str, data: JSON, *, always: bool = False) -> Iterator[Payload]:
    """Yield the delta of a piece of text; of an empty one only if ``always``."""
    if text.growth is None or not (delta or always):
        return
    text.pieces.append(delta)
    members = {**data, **text.at, "delta": delta}
    if text.growth.part == "output_text":
        members["logprobs"] = dicts(data.get("logprobs"))
    yield f"{text.growth.event}.delta", members


def _grow_to(text: Text, final: Any, data: JSON | None = None) -> Iterator[Payload]:
    """Yield the ``done`` event of a text, and before it the delta that is missing; nothing if it is done."""
    if text.done or text.growth is None:
        return
    so_far = text.text
    whole = opt_str(final) or so_far
    if len(whole) > len(so_far) and whole.startswith(so_far):
        yield from _grow(text, whole[len(so_far) :], {})
    text.done = True
    members = {**(data or {}), **text.at, text.growth.member: whole}
    if text.growth.part == "output_text":
        members["logprobs"] = dicts((data or {}).get("logprobs"))
    yield f"{text.growth.event}.done", members


def _in_order(parts: list[JSON], numbers: list[int]) -> list[JSON]:
    """Return the parts of a final item with those first that have begun, whose ``numbers`` these are."""
    if len(parts) <= len(numbers) or not set(numbers) <= set(range(len(parts))):
        return parts
    return [parts[n] for n in numbers] + [part for n, part in enumerate(parts) if n not in numbers]


def _last_part(text: Text) -> JSON:
    if text.growth is None:
        return text.part
    annotations = {"annotations": list(text.annotations)} if text.annotations else {}
    return {**text.part, **annotations, text.growth.member: text.text}


def _close_part(text: Text, final: Mapping[str, Any]) -> Iterator[Payload]:
    """End a part: its text, then the part; nothing if it is closed. Members that ``final`` does not have are
    those of the events."""
    if text.closed:
        return
    text.closed = True
    if text.growth is not None:
        yield from _grow_to(text, final.get(text.growth.member))
    last = _last_part(text)
    values = {name: value for name, value in final.items() if value is not None and value != ""}
    text.part = whole_part({**last, **values}, last["type"])
    yield f"{text.part_event}.done", {**text.at, "part": text.part}


DELTAS: Final = frozenset(f"{growth.event}.delta" for growth in GROWTHS)
"""Events that add to a text."""
_REWRITTEN: Final = frozenset({"type", "obfuscation", "sequence_number"})
_ALIASES: Final = {
    f"response.reasoning.{step}": f"response.reasoning_text.{step}" for step in ("delta", "done")
}
_BY_EVENT: Final = {growth.event: growth for growth in GROWTHS}
_Rule = Callable[[Grammar, str, JSON], Iterator[Payload]]
_RULES: Final[Mapping[str, _Rule]] = {
    **dict.fromkeys(OPENING, Grammar._open),
    **dict.fromkeys(TERMINAL, Grammar._end),
    "response.output_item.added": Grammar._item_added,
    "response.output_item.done": Grammar._item_done,
    "response.content_part.added": Grammar._part_added,
    "response.content_part.done": Grammar._part_done,
    "response.reasoning_summary_part.added": Grammar._part_added,
    "response.reasoning_summary_part.done": Grammar._part_done,
    "response.output_text.annotation.added": Grammar._annotation,
    **{f"{growth.event}.{step}": Grammar._text_event for growth in GROWTHS for step in ("delta", "done")},
}
