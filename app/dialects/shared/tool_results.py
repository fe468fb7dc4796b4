"""Calls of tools and their results: one result a call, directly behind the turn that made it.

Agents put messages between a call and its result, send all earlier results again with each
turn, and give one id to calls of several turns. Servers of chat completions and Cohere refuse
what stands between; Anthropic and Bedrock refuse an id that returns. One arrangement, over
descriptions of the messages (``Unit``), serves canonical messages and the bodies that pass.

What vendors demand, with sources: docs/contract/tools.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.canonical.record import record
from app.canonical.request import Message, Part, Request, ToolCallPart, ToolResultPart
from app.dialects.shared.lenient_json import as_str, dicts, opt_str
from app.dialects.shared.losses import Losses


@record
class Unit:
    """What one message is to the arrangement.

    ``spoken``: it is the model's. ``calls`` are the ids and contents of the calls in it,
    ``answers`` the id of the call whose result it is; ``content`` tells equal results.
    """

    spoken: bool = False
    calls: tuple[tuple[str, Any], ...] = ()
    answers: str | None = None
    content: Any = None


@dataclass(slots=True)
class _Call:
    """One call: where it stands, and the unit of its result."""

    unit: int
    position: int
    id: str
    content: Any
    turn: int
    result: int | None = None


@dataclass(slots=True)
class Arrangement:
    """The order in which units follow one another, and what changes in them.

    ``gone`` are calls (unit, position) that repeat an earlier one word for word. ``ids`` gives
    the calls and results whose id was used before one of their own, by (unit, position);
    a result's position is 0. ``overruled`` are the ids of which a later result differs.
    """

    order: list[int] = field(default_factory=list)
    gone: set[tuple[int, int]] = field(default_factory=set)
    ids: dict[tuple[int, int], str] = field(default_factory=dict)
    overruled: list[str] = field(default_factory=list)

    def changes(self, count: int) -> bool:
        """Tell whether ``count`` units do not simply stay as they are."""
        return bool(self.gone or self.ids) or self.order != list(range(count))


class _Arranging:
    """Finds the call of each result, from the first unit to the last.

    ``joined``: units of the model that follow one another are one turn.
    """

    def __init__(self, units: Sequence[Unit], *, joined: bool) -> None:
        self._units = units
        self._joined = joined
        self._calls: list[_Call] = []
        self._latest: dict[str, list[_Call]] = {}
        self._first: dict[str, list[_Call]] = {}
        self._early: list[int] = []
        self._turns: list[int] = []
        self._matched: set[int] = set()
        self._result = Arrangement()

    def arranged(self) -> Arrangement:
        """Return the arrangement of all units."""
        turn = -1
        for index, unit in enumerate(self._units):
            goes_on = self._joined and index > 0 and self._units[index - 1].spoken
            if unit.spoken and not goes_on:
                turn += 1
            self._turns.append(turn)
            if unit.spoken:
                self._note_calls(index, turn)
            elif unit.answers is not None and not self._match(index, self._latest):
                self._early.append(index)
        for index in self._early:  # their calls come later, or never
            self._match(index, self._first)
        self._rename()
        self._result.order = list(self._order())
        return self._result

    def _note_calls(self, index: int, turn: int) -> None:
        for position, (call_id, content) in enumerate(self._units[index].calls):
            known = self._latest.get(call_id, [])
            if any(call.result is None and call.content == content for call in known):
                self._result.gone.add((index, position))
                continue
            call = _Call(index, position, call_id, content, turn)
            self._calls.append(call)
            if known and known[0].turn == turn:
                known.append(call)
            else:
                self._latest[call_id] = [call]
                self._first.setdefault(call_id, self._latest[call_id])

    def _match(self, index: int, calls: Mapping[str, list[_Call]]) -> bool:
        """Give a result to its call; False when there is none."""
        unit = self._units[index]
        known = calls.get(unit.answers or "")
        if known is None:
            return False
        self._matched.add(index)
        waiting = next((call for call in known if call.result is None), None)
        if waiting is not None:
            waiting.result = index
        elif not any(self._content(call) == unit.content for call in known):
            self._result.overruled.append(known[-1].id)
            known[-1].result = max(index, known[-1].result or 0)
        return True

    def _content(self, call: _Call) -> Any:
        return None if call.result is None else self._units[call.result].content

    def _rename(self) -> None:
        """Give calls whose id an earlier call has an id of their own, and their results too."""
        taken = {call.id for call in self._calls}
        seen: Counter[str] = Counter()
        for call in self._calls:
            seen[call.id] += 1
            if seen[call.id] == 1:
                continue
            while (fresh := f"{call.id}_{seen[call.id]}") in taken:
                seen[call.id] += 1
            taken.add(fresh)
            self._result.ids[call.unit, call.position] = fresh
            if call.result is not None:
                self._result.ids[call.result, 0] = fresh

    def _order(self) -> Iterator[int]:
        results: dict[int, list[int]] = {}
        for call in self._calls:
            if call.result is not None:
                results.setdefault(call.turn, []).append(call.result)
        last = {turn: index for index, turn in enumerate(self._turns) if self._units[index].spoken}
        for index, unit in enumerate(self._units):
            if index not in self._matched:
                yield index
            if unit.spoken and last[self._turns[index]] == index:
                yield from sorted(results.get(self._turns[index], ()))


def arrange(units: Sequence[Unit], *, joined: bool) -> Arrangement:
    """Return the order of ``units`` in which each result stands directly behind its calls."""
    return _Arranging(units, joined=joined).arranged()


def report_conflicts(arrangement: Arrangement, losses: Losses) -> None:
    """Report the results that a later, different one replaced."""
    for call_id in arrangement.overruled:
        warning = f"Two different results of the call '{call_id}' were given; the later one was sent"
        losses.report("tool_result", warning)


# --- canonical messages -------------------------------------------------------------------


def pair_results(request: Request, losses: Losses) -> Request:
    """Return ``request`` with each result directly behind its calls, and each id used once.

    What stood between follows. A result given again goes; of two different ones the later
    stays, with a warning. A result without a call keeps its place.
    """
    if not any(isinstance(part, _OF_TOOLS) for message in request.messages for part in message.parts):
        return request
    messages = [one for message in request.messages for one in _single_results(message)]
    joined = request.origin is None or request.origin.dialect != "chat"  # items are pieces of a turn
    arrangement = arrange([_unit(message) for message in messages], joined=joined)
    if not arrangement.changes(len(messages)):
        return request
    report_conflicts(arrangement, losses)
    changed = (_apply(messages[index], index, arrangement) for index in arrangement.order)
    return replace(request, messages=tuple(message for message in changed if message is not None))


_OF_TOOLS: Final = (ToolCallPart, ToolResultPart)


def _single_results(message: Message) -> Iterator[Message]:
    """Yield a message of results as one message for each."""
    results = [part for part in message.parts if isinstance(part, ToolResultPart)]
    if not results or len(message.parts) == 1:
        yield message
        return
    for result in results:
        yield replace(message, role="tool", parts=(result,))
    others = tuple(part for part in message.parts if not isinstance(part, ToolResultPart))
    if others:
        yield replace(message, role="user", parts=others)


def _unit(message: Message) -> Unit:
    if message.role == "assistant":
        calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
        return Unit(True, tuple((call.id, (call.kind, call.name, call.arguments)) for call in calls))
    first = message.parts[0] if message.parts else None
    if isinstance(first, ToolResultPart):
        return Unit(answers=first.call_id, content=(first.content, first.is_error))
    return Unit()


def _apply(message: Message, index: int, arrangement: Arrangement) -> Message | None:
    """Return a message with its calls' own ids and without repeated calls, None when empty then."""
    parts: list[Part] = []
    position = 0
    for part in message.parts:
        if isinstance(part, ToolResultPart):
            part = replace(part, call_id=arrangement.ids.get((index, 0), part.call_id))
        elif isinstance(part, ToolCallPart):
            place, position = (index, position), position + 1
            if place in arrangement.gone:
                continue
            part = replace(part, id=arrangement.ids.get(place, part.id))
        parts.append(part)
    return replace(message, parts=tuple(parts)) if parts or not message.parts else None


# --- bodies that pass, and input items ----------------------------------------------------

Json = dict[str, Any]


def pair_chat(messages: Sequence[Any], losses: Losses) -> list[Any]:
    """Return a chat body's messages in the same order, each id used once."""
    return _pair_raw(messages, _chat_unit, losses, joined=False)


def pair_items(items: Sequence[Any], losses: Losses) -> list[Any]:
    """Return a Responses body's items in the same order, each ``call_id`` used once."""
    return _pair_raw(items, _item_unit, losses, joined=True)


def _pair_raw(
    values: Sequence[Any], unit_of: Callable[[Any], Unit], losses: Losses, *, joined: bool
) -> list[Any]:
    units = [unit_of(value) for value in values]
    if not any(unit.answers is not None for unit in units):
        return list(values)
    arrangement = arrange(units, joined=joined)
    report_conflicts(arrangement, losses)
    if not arrangement.changes(len(units)):
        return list(values)
    applied = (_apply_raw(values[index], units[index], index, arrangement) for index in arrangement.order)
    return [value for value in applied if value is not None]


def _apply_raw(value: Any, unit: Unit, index: int, arrangement: Arrangement) -> Any:
    """Return a message or item with its calls' own ids and without those that repeat others;
    None when it is nothing then."""
    if unit.answers is not None:
        slot = "tool_call_id" if value.get("role") == "tool" else "call_id"
        return {**value, slot: arrangement.ids.get((index, 0), unit.answers)}
    if not unit.calls:
        return value
    if "tool_calls" not in value:
        gone = (index, 0) in arrangement.gone
        return None if gone else {**value, "call_id": arrangement.ids.get((index, 0), unit.calls[0][0])}
    return _apply_calls(value, index, arrangement)


def _apply_calls(message: Json, index: int, arrangement: Arrangement) -> Json | None:
    calls = [
        {**call, "id": arrangement.ids[index, position]} if (index, position) in arrangement.ids else call
        for position, call in enumerate(dicts(message["tool_calls"]))
        if (index, position) not in arrangement.gone
    ]
    if calls:
        return {**message, "tool_calls": calls}
    rest = {name: member for name, member in message.items() if name != "tool_calls"}
    return rest if rest.get("content") else None


def _chat_unit(message: Any) -> Unit:
    role = message.get("role") if isinstance(message, dict) else None
    if role == "assistant":
        return Unit(True, tuple(_chat_calls(dicts(message.get("tool_calls")))))
    if role == "tool":
        return Unit(answers=opt_str(message.get("tool_call_id")), content=message.get("content"))
    return Unit()


def _chat_calls(calls: Iterable[Json]) -> Iterator[tuple[str, Any]]:
    for call in calls:
        yield as_str(call.get("id")), call.get(as_str(call.get("type"), "function"))


def _item_unit(item: Any) -> Unit:
    kind = as_str(item.get("type")) if isinstance(item, dict) else ""
    call_id = opt_str(item.get("call_id")) if kind else None
    if kind.endswith("_output"):
        return Unit(answers=call_id, content=item.get("output", item))
    if call_id is not None:
        return Unit(True, ((call_id, (kind, item.get("name"), item.get("arguments", item.get("input")))),))
    spoken = kind not in ("", "message") or (isinstance(item, dict) and item.get("role") == "assistant")
    return Unit(spoken)
