"""A provider's Responses stream decoded as canonical events (client half).

Items are found by ``output_index``, because they may overlap and some servers change the id of an item
within a stream. Text that the deltas lack is taken from ``done`` events, and what those lack from the
final item, so nothing is lost if a server skips events. A block ends when the next block of its item
begins or the item is done: only then are its signature, status and native members known.

Source: the event types in OpenAI's API description, and the deviations in docs/contract/streams.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.canonical.events import (
    BlockDelta,
    BlockEnded,
    BlockStarted,
    Ended,
    Event,
    Failed,
    Finished,
    Started,
)
from app.canonical.request import (
    Native,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Signature,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Finish
from app.dialects.base import ClientContext
from app.dialects.responses.items_in import (
    MODELLED,
    NAME,
    call_part,
    decode_item,
    decode_part,
    identity,
)
from app.dialects.responses.response import (
    failed_response,
    failure_of,
    finish_of,
    signer,
    top_level_native,
    usage_of,
)
from app.dialects.shared.decoder_parts import TerminalDecoder, name_of_call
from app.dialects.shared.lenient_json import as_dict, as_str, count, dicts, opt_str
from app.responses_form.items import item_type

Key = tuple[str, int]
"""A block within its item: ``content``, ``summary``, ``call``, ``hidden`` or ``opaque``, and its index."""


@dataclass(slots=True)
class _Block:
    number: int
    texts: list[str] = field(default_factory=list)
    size: int = 0  # characters of ``texts``
    annotations: int = 0
    native: Native | None = None
    signature: Signature | None = None

    def grow(self, data: Mapping[str, Any]) -> list[Event]:
        """Add the text and log probabilities of a delta event."""
        text, logprobs = as_str(data.get("delta")), tuple(dicts(data.get("logprobs"))) or None
        if not (text or logprobs):
            return []
        self.texts.append(text)
        self.size += len(text)
        return [BlockDelta(self.number, text, logprobs)]


@dataclass(slots=True)
class _Item:
    number: int
    id: str | None
    type: str
    added: Mapping[str, Any]
    open: dict[Key, _Block] = field(default_factory=dict)
    whole: set[Key] = field(default_factory=set)
    ended: set[Key] = field(default_factory=set)
    done: bool = False


class ResponsesDecoder(TerminalDecoder):
    """Decodes the frames of a Responses stream; unknown event types are ignored."""

    def __init__(self, context: ClientContext) -> None:
        super().__init__()
        self._sign = signer(context)
        self._items: dict[int, _Item] = {}
        self._numbers: dict[str, int] = {}
        self._last: _Item | None = None
        self._blocks = 0
        self._calls = False

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Return the events of one frame."""
        if self._over or not isinstance(data, dict):
            return []
        kind = as_str(data.get("type")) or event or ("error" if data.get("error") else "")
        reader = _READERS.get(kind)
        events = reader(self, data) if reader is not None else []
        if events and not isinstance(events[0], Failed) and self._begins():
            events.insert(0, Started())
        return events

    # life cycle

    def _snapshot(self, data: Mapping[str, Any]) -> list[Event]:
        if not self._begins():
            return []
        response = as_dict(data.get("response"))
        created = count(response.get("created_at"))
        return [Started(opt_str(response.get("id")), opt_str(response.get("model")), created)]

    def _terminal(self, data: Mapping[str, Any]) -> list[Event]:
        response = as_dict(data.get("response"))
        events = self._snapshot(data) + self._late_items(response)
        self._over = True
        status = as_str(data.get("type")).rpartition(".")[2]
        finish = finish_of({**response, "status": response.get("status") or status}, self._calls)
        return [
            *events,
            Finished(finish or Finish("stop", status)),
            Ended(
                usage_of(response),
                native=(NAME, top_level_native(response)),
                service_tier=opt_str(response.get("service_tier")),
            ),
        ]

    def _late_items(self, response: Mapping[str, Any]) -> list[Event]:
        """Decode items that only the terminal object has, and end those that no event ended."""
        events: list[Event] = []
        output = dicts(response.get("output"))
        known = {item.id for item in self._items.values()}
        for index, item in enumerate(output):
            if index not in self._items and item.get("id") not in known:
                events += self._done_item(index, item)
        for index, state in list(self._items.items()):
            same = output[index] if index < len(output) else {}
            if not state.done:
                last = same if item_type(same) == state.type else {**state.added, "status": None}
                events += self._done_item(index, last)
        return events

    def _failed(self, data: Mapping[str, Any]) -> list[Event]:
        response = as_dict(data.get("response"))
        return self._fail(failed_response(response), usage_of(response))

    def _error(self, data: Mapping[str, Any]) -> list[Event]:
        nested = data.get("error")
        return self._fail(failure_of(nested if nested else {**data, "type": None}, raw=data))

    # items

    def _item(self, data: Mapping[str, Any], kind: str) -> _Item:
        """Return the item of an event, which begins here if no event announced it."""
        item_id = opt_str(data.get("item_id"))
        index = self._index(data, item_id, kind)
        return self._items.get(index) or self._begin_item(index, item_id, kind, {"type": kind})

    def _index(self, data: Mapping[str, Any], item_id: str | None, kind: str | None) -> int:
        """Return the index of an event's item.

        Without ``output_index`` it is the index of its id, otherwise that of the last item if it is
        open and of this ``kind``, otherwise the next one.
        """
        index = count(data.get("output_index"))
        if index is not None:
            return index
        if item_id is not None and item_id in self._numbers:
            return self._numbers[item_id]
        last = self._last
        if last is None or last.done or (item_id and last.id) or kind != last.type:
            return len(self._items)
        return last.number

    def _begin_item(self, index: int, item_id: str | None, kind: str, added: Mapping[str, Any]) -> _Item:
        state = self._last = self._items[index] = _Item(index, item_id, kind, added)
        if item_id is not None:
            self._numbers[item_id] = index
        return state

    def _item_added(self, data: Mapping[str, Any]) -> list[Event]:
        item = as_dict(data.get("item"))
        kind, item_id = item_type(item), opt_str(item.get("id"))
        index = self._index(data, item_id, None)
        if index in self._items:
            return []
        state = self._begin_item(index, item_id, kind, item)
        if kind not in MODELLED:
            return self._open(state, ("opaque", 0), OpaquePart(kind, (NAME, item)))
        return self._open_call(state, item)

    def _open_call(self, state: _Item, item: Mapping[str, Any]) -> list[Event]:
        """Open the block of a call if its name is known; otherwise the final item has all of it."""
        if not state.type.endswith("_call") or not opt_str(item.get("name")):
            return []
        part = call_part(item)
        return self._open(state, ("call", 0), replace(part, arguments="", native=None))

    def _item_done(self, data: Mapping[str, Any]) -> list[Event]:
        item = as_dict(data.get("item"))
        return self._done_item(self._index(data, opt_str(item.get("id")), item_type(item)), item)

    def _done_item(self, index: int, item: Mapping[str, Any]) -> list[Event]:
        state = self._items.get(index)
        if state is None:
            state = self._begin_item(index, opt_str(item.get("id")), item_type(item), item)
        if state.done:
            return []
        state.done = True
        events = self._final_events(state, item)
        return [*events, *self._end_all(state, opt_str(item.get("status")))]

    def _final_events(self, state: _Item, item: Mapping[str, Any]) -> list[Event]:
        """Return the events that bring the blocks of an item to their final form."""
        if state.type not in MODELLED:
            return self._final_opaque(state, item)
        events: list[Event] = []
        parts = self._final_parts(state, item)
        for key, part in parts:
            events += self._complete(state, key, part)
        return [*events, *self._place_signature(state, parts[-1][1])] if parts else events

    def _final_opaque(self, state: _Item, item: Mapping[str, Any]) -> list[Event]:
        part = OpaquePart(state.type, (NAME, item))
        if not state.open:
            return self._open(state, ("opaque", 0), part)
        block = state.open.pop(("opaque", 0))
        return [BlockEnded(block.number, part=part, status=opt_str(item.get("status")))]

    def _final_parts(self, state: _Item, item: Mapping[str, Any]) -> list[tuple[Key, Part]]:
        """Return the parts of a final item with their keys."""
        parts = decode_item({**item, "type": state.type}, self._sign).parts
        if state.type == "message":
            return [(("content", at), part) for at, part in enumerate(parts or [TextPart("")])]
        if state.type != "reasoning":
            return [(("call", 0), part) for part in parts]
        lists = [_LISTS[part.form if isinstance(part, ReasoningPart) else "hidden"] for part in parts]
        if lists[-1:] == ["hidden"] and state.open:
            return [(next(reversed(state.open)), parts[-1])]
        indexes = {name: itertools.count() for name in lists}
        return [((name, next(indexes[name])), part) for name, part in zip(lists, parts, strict=True)]

    def _complete(self, state: _Item, key: Key, part: Part) -> list[Event]:
        """Return the events that bring a block to its final part: opened if it is not, with the missing text."""
        if key in state.ended:
            return []
        events: list[Event] = []
        if key not in state.open:
            events += self._open(state, key, _empty(part))
        block = state.open[key]
        events += self._remainder(block, _text_of(part))
        if isinstance(part, TextPart):
            events += [BlockDelta(block.number, annotation=a) for a in part.annotations[block.annotations :]]
        if isinstance(part, ToolCallPart):
            name_of_call(part.name)
            self._calls = True
        block.native = part.native
        return events

    def _place_signature(self, state: _Item, part: Part) -> list[Event]:
        """Record the signature of a final item on its last open block, which is opened here if there is none."""
        if not isinstance(part, ReasoningPart) or part.signature is None:
            return []
        events = [] if state.open else self._open(state, ("hidden", 0), ReasoningPart("", "hidden"))
        state.open[next(reversed(state.open))].signature = part.signature
        return events

    # blocks

    def _open(self, state: _Item, key: Key, part: Part) -> list[Event]:
        events = self._end_whole(state)
        block = state.open[key] = _Block(self._blocks)
        self._blocks += 1
        info = identity({**state.added, "id": state.id, "status": None})
        return [*events, BlockStarted(block.number, state.number, part, info=info)]

    def _end_whole(self, state: _Item) -> list[Event]:
        """End the blocks whose part is done, because the next block of the item begins."""
        blocks = sorted((state.open.pop(key) for key in state.whole), key=lambda block: block.number)
        state.ended |= state.whole
        state.whole.clear()
        return [BlockEnded(block.number, native=block.native) for block in blocks]

    def _end_all(self, state: _Item, status: str | None) -> list[Event]:
        blocks = list(state.open.values())
        state.ended |= state.open.keys()
        state.open.clear()
        state.whole.clear()
        return [BlockEnded(block.number, block.signature, block.native, status=status) for block in blocks]

    def _part_added(self, data: Mapping[str, Any]) -> list[Event]:
        part = decode_part(as_dict(data.get("part")))
        state = self._item(data, _part_owner(data))
        if state.type == "reasoning":
            part = ReasoningPart(_text_of(part), "text")
        return self._begin(state, _key("content", data), part)

    def _summary_added(self, data: Mapping[str, Any]) -> list[Event]:
        part = ReasoningPart(as_str(as_dict(data.get("part")).get("text")), "summary")
        return self._begin(self._item(data, "reasoning"), _key("summary", data), part)

    def _begin(self, state: _Item, key: Key, part: Part) -> list[Event]:
        if state.done or key in state.open or key in state.ended:
            return []
        events = self._open(state, key, _empty(part))
        return [*events, *self._remainder(state.open[key], _text_of(part))]

    def _part_done(self, data: Mapping[str, Any], name: str) -> list[Event]:
        key = _key(name, data)
        state = self._item(data, _part_owner(data))
        block = state.open.get(key)
        if block is None:
            return []
        part = decode_part(as_dict(data.get("part")))
        state.whole.add(key)
        block.native = None if isinstance(part, OpaquePart) else part.native
        return self._remainder(block, _text_of(part))

    def _grow(self, data: Mapping[str, Any], key: Key, kind: str, empty: Part) -> list[Event]:
        state = self._item(data, kind)
        events = [] if key in state.open else self._begin(state, key, empty)
        return [*events, *state.open[key].grow(data)] if key in state.open else events

    def _call_delta(self, data: Mapping[str, Any]) -> list[Event]:
        custom = self._last is not None and self._last.type == "custom_tool_call"
        block = self._item(data, "custom_tool_call" if custom else "function_call").open.get(("call", 0))
        return [] if block is None else block.grow(data)

    def _annotation(self, data: Mapping[str, Any]) -> list[Event]:
        block = self._item(data, "message").open.get(_key("content", data))
        annotation = data.get("annotation")
        if block is None or not isinstance(annotation, dict):
            return []
        block.annotations += 1
        return [BlockDelta(block.number, annotation=annotation)]

    @staticmethod
    def _remainder(block: _Block, text: str) -> list[Event]:
        """Return the rest of ``text`` after the deltas so far, nothing if they are not its beginning."""
        if len(text) <= block.size or not text.startswith("".join(block.texts)):
            return []
        rest = text[block.size :]
        block.texts, block.size = [text], len(text)
        return [BlockDelta(block.number, rest)]


_LISTS: Final = {"text": "content", "summary": "summary", "hidden": "hidden"}


def _key(name: str, data: Mapping[str, Any]) -> Key:
    """Return the key of the ``name`` part (content or summary) that an event is about."""
    return name, count(data.get(f"{name}_index")) or 0


def _grower(name: str, kind: str, empty: Part) -> _Reader:
    """Return the reader of deltas for the ``name`` parts of items of ``kind``, which begin as ``empty``."""
    index = f"{name}_index"
    return lambda decoder, data: decoder._grow(data, (name, count(data.get(index)) or 0), kind, empty)


def _part_owner(data: Mapping[str, Any]) -> str:
    """Return the type of the item that the part of an event belongs to."""
    kind = as_str(as_dict(data.get("part")).get("type"))
    return "reasoning" if kind in ("reasoning_text", "summary_text") else "message"


def _text_of(part: Part) -> str:
    if isinstance(part, ToolCallPart):
        return part.arguments
    return part.text if isinstance(part, TextPart | RefusalPart | ReasoningPart) else ""


def _empty(part: Part) -> Part:
    """Return ``part`` as its block begins: without text, signature and native members."""
    if isinstance(part, TextPart):
        return replace(part, text="", annotations=(), logprobs=part.logprobs, native=None)
    if isinstance(part, ReasoningPart):
        return replace(part, text="", signature=None, native=None)
    if isinstance(part, ToolCallPart):
        return replace(part, arguments="", native=None)
    return replace(part, text="", native=None) if isinstance(part, RefusalPart) else part


_Reader = Callable[[ResponsesDecoder, Mapping[str, Any]], list[Event]]

_READERS: Final[Mapping[str, _Reader]] = {
    "response.created": ResponsesDecoder._snapshot,
    "response.queued": ResponsesDecoder._snapshot,
    "response.in_progress": ResponsesDecoder._snapshot,
    "response.completed": ResponsesDecoder._terminal,
    "response.incomplete": ResponsesDecoder._terminal,
    "response.failed": ResponsesDecoder._failed,
    "response.cancelled": ResponsesDecoder._failed,
    "error": ResponsesDecoder._error,
    "response.error": ResponsesDecoder._error,
    "response.output_item.added": ResponsesDecoder._item_added,
    "response.output_item.done": ResponsesDecoder._item_done,
    "response.content_part.added": ResponsesDecoder._part_added,
    "response.content_part.done": lambda decoder, data: decoder._part_done(data, "content"),
    "response.reasoning_summary_part.added": ResponsesDecoder._summary_added,
    "response.reasoning_summary_part.done": lambda decoder, data: decoder._part_done(data, "summary"),
    "response.output_text.delta": _grower("content", "message", TextPart("")),
    "response.output_text.annotation.added": ResponsesDecoder._annotation,
    "response.refusal.delta": _grower("content", "message", RefusalPart("")),
    "response.reasoning_text.delta": _grower("content", "reasoning", ReasoningPart("", "text")),
    "response.reasoning.delta": _grower("content", "reasoning", ReasoningPart("", "text")),
    "response.reasoning_summary_text.delta": _grower("summary", "reasoning", ReasoningPart("", "summary")),
    "response.function_call_arguments.delta": ResponsesDecoder._call_delta,
    "response.custom_tool_call_input.delta": ResponsesDecoder._call_delta,
}
