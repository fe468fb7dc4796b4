"""Tool calls paired with their results: one result for each call, directly behind the turn that made it.

Agents put messages between a call and its result, repeat all earlier results in each turn, and use
one id for calls of several turns. Providers refuse that in various ways; the rules, with sources, are
in docs/contract/tools.md. One algorithm works on summaries of the messages (``Entry``), so that it
serves canonical messages and bodies that pass alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from app.canonical.record import record
from app.canonical.request import Message, Part, Request, ToolCallPart, ToolResultPart
from app.dialects.shared.lenient_json import JSON, as_str, dicts, opt_str, rest
from app.dialects.shared.losses import Losses

T = TypeVar("T")


@record
class Entry:
    """Summary of one message.

    ``by_model``: the model wrote it. ``calls`` are the id and content of each tool call in it.
    ``result_of`` is the id of the call whose result it is; ``content`` is that result.
    """

    by_model: bool = False
    calls: tuple[tuple[str, Any], ...] = ()
    result_of: str | None = None
    content: Any = None


@dataclass(slots=True)
class _Call:
    """One call: the index of its entry, its position there, its turn, and the index of its result."""

    entry: int
    position: int
    id: str
    content: Any
    turn: int
    result: int | None = None


@dataclass(slots=True)
class Arrangement:
    """The new order of entries, and the changes to them.

    Calls are named by (index of the entry, position in it); the position of a result is 0.
    ``duplicates`` are calls that repeat an earlier one exactly, which are removed. ``ids`` has new
    ids of calls and results whose id an earlier call has. ``conflicts`` are ids of calls with two
    different results, of which the later one is used.
    """

    order: list[int] = field(default_factory=list)
    duplicates: set[tuple[int, int]] = field(default_factory=set)
    ids: dict[tuple[int, int], str] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)

    def changes(self, size: int) -> bool:
        """Tell whether anything changes in a list of ``size`` entries."""
        return bool(self.duplicates or self.ids) or self.order != list(range(size))


class _Arranger:
    """Finds the call of each result. ``joins_turns``: adjacent entries of the model are one turn."""

    def __init__(self, entries: Sequence[Entry], *, joins_turns: bool) -> None:
        self._entries = entries
        self._turns = list(_turn_numbers(entries, joins_turns))
        self._calls: list[_Call] = []
        self._latest: dict[str, list[_Call]] = {}
        self._first: dict[str, list[_Call]] = {}
        self._matches: set[int] = set()
        self._result = Arrangement()

    def arrange(self) -> Arrangement:
        early = []
        for index, entry in enumerate(self._entries):
            if entry.by_model:
                self._add_calls(index)
            elif entry.result_of is not None and not self._match(index, self._latest):
                early.append(index)
        for index in early:  # results before their calls, or without one
            self._match(index, self._first)
        self._rename()
        self._result.order = list(self._order())
        return self._result

    def _add_calls(self, index: int) -> None:
        turn = self._turns[index]
        for position, (call_id, content) in enumerate(self._entries[index].calls):
            same_id = self._latest.get(call_id, [])
            if any(call.result is None and call.content == content for call in same_id):
                self._result.duplicates.add((index, position))
                continue
            call = _Call(index, position, call_id, content, turn)
            self._calls.append(call)
            if same_id and same_id[0].turn == turn:
                same_id.append(call)
            else:
                self._latest[call_id] = [call]
                self._first.setdefault(call_id, self._latest[call_id])

    def _match(self, index: int, calls: Mapping[str, list[_Call]]) -> bool:
        """Assign a result to its call; return False if there is none."""
        entry = self._entries[index]
        same_id = calls.get(entry.result_of or "")
        if same_id is None:
            return False
        self._matches.add(index)
        pending = next((call for call in same_id if call.result is None), None)
        if pending is not None:
            pending.result = index
        elif not any(
            call.result is not None and self._entries[call.result].content == entry.content
            for call in same_id
        ):
            self._result.conflicts.append(same_id[-1].id)
            same_id[-1].result = max(index, same_id[-1].result or 0)
        return True

    def _rename(self) -> None:
        """Give each call whose id an earlier call has a new id, and its result too."""
        ids = {call.id for call in self._calls}
        numbers: Counter[str] = Counter()
        for call in self._calls:
            numbers[call.id] += 1
            if numbers[call.id] == 1:
                continue
            while (new_id := f"{call.id}_{numbers[call.id]}") in ids:
                numbers[call.id] += 1
            ids.add(new_id)
            self._result.ids[call.entry, call.position] = new_id
            if call.result is not None:
                self._result.ids[call.result, 0] = new_id

    def _order(self) -> Iterator[int]:
        """Yield the indexes of the entries, the results of a turn behind its last entry."""
        results: dict[int, list[int]] = {}
        for call in self._calls:
            if call.result is not None:
                results.setdefault(call.turn, []).append(call.result)
        last = {turn: index for index, turn in enumerate(self._turns) if self._entries[index].by_model}
        for index, turn in enumerate(self._turns):
            if index not in self._matches:
                yield index
            if last.get(turn) == index:
                yield from sorted(results.get(turn, ()))


def _turn_numbers(entries: Sequence[Entry], joins_turns: bool) -> Iterator[int]:
    """Yield the number of the model's turn that each entry belongs to, or follows; -1 before the first."""
    turn = -1
    for index, entry in enumerate(entries):
        continues = joins_turns and index > 0 and entries[index - 1].by_model
        turn += entry.by_model and not continues
        yield turn


def _rearrange(
    values: Sequence[T],
    entries: Sequence[Entry],
    change: Callable[[T, int, Arrangement], T | None],
    losses: Losses,
    *,
    joins_turns: bool,
) -> list[T] | None:
    """Return the values in their new order, each after ``change``; None if nothing changes. Reports conflicts."""
    arrangement = _Arranger(entries, joins_turns=joins_turns).arrange()
    for call_id in arrangement.conflicts:
        warning = f"Two different results of the call '{call_id}' were given; the later one was sent"
        losses.report("tool_result", warning)
    if not arrangement.changes(len(values)):
        return None
    results = (change(values[index], index, arrangement) for index in arrangement.order)
    return [value for value in results if value is not None]


# --- canonical messages -------------------------------------------------------------------


def pair_results(request: Request, losses: Losses) -> Request:
    """Return ``request`` with each result directly behind its calls, and each id used once.

    Messages in between follow the results. A repeated result is removed; of two different ones
    the later is kept, with a warning. A result without a call stays in place.
    """
    if not any(isinstance(part, _TOOL_PARTS) for message in request.messages for part in message.parts):
        return request
    messages = [one for message in request.messages for one in _split_results(message)]
    joins_turns = request.origin is None or request.origin.dialect != "chat"  # items are parts of a turn
    result = _rearrange(messages, list(map(_entry, messages)), _change, losses, joins_turns=joins_turns)
    return request if result is None else replace(request, messages=tuple(result))


_TOOL_PARTS: Final = (ToolCallPart, ToolResultPart)


def _split_results(message: Message) -> Iterator[Message]:
    """Yield a message of its own for each tool result of a message, then one for its other parts."""
    results = [part for part in message.parts if isinstance(part, ToolResultPart)]
    if not results or len(message.parts) == 1:
        yield message
        return
    for result in results:
        yield replace(message, role="tool", parts=(result,))
    others = tuple(part for part in message.parts if not isinstance(part, ToolResultPart))
    if others:
        yield replace(message, role="user", parts=others)


def _entry(message: Message) -> Entry:
    if message.role == "assistant":
        calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
        return Entry(True, tuple((call.id, (call.kind, call.name, call.arguments)) for call in calls))
    first = message.parts[0] if message.parts else None
    if isinstance(first, ToolResultPart):
        return Entry(result_of=first.call_id, content=(first.content, first.is_error))
    return Entry()


def _change(message: Message, index: int, arrangement: Arrangement) -> Message | None:
    """Return a message with new ids and without duplicate calls; None if it is empty then."""
    parts: list[Part] = []
    position = 0
    for part in message.parts:
        if isinstance(part, ToolResultPart):
            part = replace(part, call_id=arrangement.ids.get((index, 0), part.call_id))
        elif isinstance(part, ToolCallPart):
            place, position = (index, position), position + 1
            if place in arrangement.duplicates:
                continue
            part = replace(part, id=arrangement.ids.get(place, part.id))
        parts.append(part)
    return replace(message, parts=tuple(parts)) if parts or not message.parts else None


# --- bodies that pass ---------------------------------------------------------------------


def pair_chat(messages: Sequence[Any], losses: Losses) -> list[Any]:
    """Return the ``messages`` of a chat body, paired as by ``pair_results``."""
    if not any(isinstance(message, dict) and message.get("role") == "tool" for message in messages):
        return list(messages)
    return _pair_body(messages, _chat_entry, losses, joins_turns=False)


def pair_items(items: Sequence[Any], losses: Losses) -> list[Any]:
    """Return the ``input`` items of a Responses body, paired as by ``pair_results``."""
    return _pair_body(items, _item_entry, losses, joins_turns=True)


def _pair_body(
    values: Sequence[Any], summarize: Callable[[Any], Entry], losses: Losses, *, joins_turns: bool
) -> list[Any]:
    entries = list(map(summarize, values))

    def change(value: Any, index: int, arrangement: Arrangement) -> Any:
        return _change_json(value, entries[index], index, arrangement)

    has_results = any(entry.result_of is not None for entry in entries)
    result = _rearrange(values, entries, change, losses, joins_turns=joins_turns) if has_results else None
    return list(values) if result is None else result


def _change_json(value: Any, entry: Entry, index: int, arrangement: Arrangement) -> Any:
    """Return a chat message or an item with new ids and without duplicate calls; None if it is empty then."""
    new_id = arrangement.ids.get((index, 0))
    if entry.result_of is not None:
        slot = "tool_call_id" if value.get("role") == "tool" else "call_id"
        return {**value, slot: new_id or entry.result_of}
    if not entry.calls:
        return value
    if "tool_calls" in value:
        return _change_calls(value, index, arrangement)
    return None if (index, 0) in arrangement.duplicates else {**value, "call_id": new_id or entry.calls[0][0]}


def _change_calls(message: JSON, index: int, arrangement: Arrangement) -> JSON | None:
    calls = [
        {**call, "id": arrangement.ids[index, position]} if (index, position) in arrangement.ids else call
        for position, call in enumerate(dicts(message["tool_calls"]))
        if (index, position) not in arrangement.duplicates
    ]
    if calls:
        return {**message, "tool_calls": calls}
    return rest(message, frozenset({"tool_calls"})) if message.get("content") else None


def _chat_entry(message: Any) -> Entry:
    role = message.get("role") if isinstance(message, dict) else None
    if role == "assistant":
        return Entry(True, tuple(map(_chat_call, dicts(message.get("tool_calls")))))
    if role == "tool":
        return Entry(result_of=opt_str(message.get("tool_call_id")), content=message.get("content"))
    return Entry()


def _chat_call(call: JSON) -> tuple[str, Any]:
    return as_str(call.get("id")), call.get(as_str(call.get("type"), "function"))


def _item_entry(item: Any) -> Entry:
    kind = as_str(item.get("type")) if isinstance(item, dict) else ""
    call_id = opt_str(item.get("call_id")) if kind else None
    if kind.endswith("_output"):
        return Entry(result_of=call_id, content=item.get("output", item))
    if call_id is not None:
        return Entry(True, ((call_id, (kind, item.get("name"), item.get("arguments", item.get("input")))),))
    is_assistant = isinstance(item, dict) and item.get("role") == "assistant"
    return Entry(kind not in ("", "message") or is_assistant)
