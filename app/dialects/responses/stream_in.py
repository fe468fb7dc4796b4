"""A Responses stream of a provider, read as canonical events (client half).

State is kept by ``output_index``, because items may overlap and some servers change an
item's id between its first and last event. What the deltas left out is taken from the
``done`` events, what those left out from the finished item, so servers that skip steps
lose nothing. A block is ended when the next one of its item begins or the item is done:
only then are signature, status and native members known.

Events and their order: contract/responses.md 4.2 and 4.3.
"""

from __future__ import annotations

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
"""A block's place in its item: ``content``, ``summary``, ``call`` or ``hidden``, and its index."""


@dataclass(slots=True)
class _Block:
    number: int
    texts: list[str] = field(default_factory=list)
    size: int = 0  # characters of ``texts``
    annotations: int = 0
    native: Native | None = None
    signature: Signature | None = None


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
    """Frames of a Responses stream to canonical events; unknown event types are ignored."""

    def __init__(self, context: ClientContext) -> None:
        super().__init__()
        self._sign = signer(context)
        self._items: dict[int, _Item] = {}
        self._numbers: dict[str, int] = {}
        self._last: _Item | None = None
        self._blocks = 0
        self._calls = False
        self._started = False

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Take one frame."""
        if self._over or not isinstance(data, dict):
            return []
        reader = _READERS.get(as_str(data.get("type")) or event or "")
        events = reader(self, data) if reader is not None else []
        if events and not self._started and not isinstance(events[0], Failed):
            self._started = True
            events.insert(0, Started())
        return events

    # life cycle

    def _snapshot(self, data: Mapping[str, Any]) -> list[Event]:
        if self._started:
            return []
        self._started = True
        response = as_dict(data.get("response"))
        return [
            Started(
                id=opt_str(response.get("id")),
                model=opt_str(response.get("model")),
                created=count(response.get("created_at")),
            )
        ]

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
        """Take what only the terminal object tells, and end what no event ended."""
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
        """Return the item an event belongs to; one never announced begins here."""
        index = self._index(data, opt_str(data.get("item_id")), kind)
        if index not in self._items:
            self._begin_item(index, opt_str(data.get("item_id")), kind, {"type": kind})
        return self._items[index]

    def _index(self, data: Mapping[str, Any], item_id: str | None, kind: str | None) -> int:
        """Return the index of an event's item. Where none is told: that of its id, else that of
        the last item if it is open and of this kind, else the next one."""
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
        """Begin a call once its name is known; before that its item's end brings it whole."""
        if not state.type.endswith("_call") or not opt_str(item.get("name")):
            return []
        part = call_part(item)
        return self._open(state, ("call", 0), replace(part, arguments="", native=None))

    def _item_done(self, data: Mapping[str, Any]) -> list[Event]:
        item = as_dict(data.get("item"))
        return self._done_item(self._index(data, opt_str(item.get("id")), item_type(item)), item)

    def _done_item(self, index: int, item: Mapping[str, Any]) -> list[Event]:
        state = self._items.get(index)
        events: list[Event] = []
        if state is None:
            state = self._begin_item(index, opt_str(item.get("id")), item_type(item), item)
        if state.done:
            return []
        state.done = True
        status = opt_str(item.get("status"))
        if state.type not in MODELLED:
            return [*self._whole_opaque(state, item), *self._end_all(state, status)]
        parts = self._final_parts(state, item)
        for key, part in parts:
            events += self._complete(state, key, part)
        if parts:
            events += self._place_signature(state, parts[-1][1])
        return [*events, *self._end_all(state, status)]

    def _whole_opaque(self, state: _Item, item: Mapping[str, Any]) -> list[Event]:
        part = OpaquePart(state.type, (NAME, item))
        if not state.open:
            return self._open(state, ("opaque", 0), part)
        block = state.open.pop(("opaque", 0))
        return [BlockEnded(block.number, part=part, status=opt_str(item.get("status")))]

    def _final_parts(self, state: _Item, item: Mapping[str, Any]) -> list[tuple[Key, Part]]:
        """Return the parts of a finished item with their places."""
        parts = list(decode_item({**item, "type": state.type}, self._sign).parts)
        if state.type == "message":
            return [(("content", at), part) for at, part in enumerate(parts or [TextPart("")])]
        if state.type != "reasoning":
            return [(("call", 0), part) for part in parts]
        keyed: list[tuple[Key, Part]] = []
        seen = {"text": 0, "summary": 0, "hidden": 0}
        for part in parts:
            form = part.form if isinstance(part, ReasoningPart) else "hidden"
            keyed.append(((_LISTS[form], seen[form]), part))
            seen[form] += 1
        if parts and isinstance(parts[-1], ReasoningPart) and parts[-1].form == "hidden" and state.open:
            last = next(reversed(state.open))
            keyed = [(last, parts[-1])]
        return keyed

    def _complete(self, state: _Item, key: Key, part: Part) -> list[Event]:
        """Bring a block up to its final part: open it if it never was, add what is missing."""
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
        """Put a finished item's signature on its last open block (a hidden one if there is none)."""
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
        """End the blocks whose part is done; the item's next block begins."""
        blocks = [state.open.pop(key) for key in state.whole]
        state.ended |= state.whole
        state.whole.clear()
        blocks.sort(key=lambda block: block.number)
        return [BlockEnded(block.number, native=block.native) for block in blocks]

    def _end_all(self, state: _Item, status: str | None) -> list[Event]:
        events: list[Event] = []
        for key, block in state.open.items():
            state.ended.add(key)
            events.append(BlockEnded(block.number, block.signature, block.native, status=status))
        state.open.clear()
        state.whole.clear()
        return events

    def _part_added(self, data: Mapping[str, Any]) -> list[Event]:
        part = decode_part(as_dict(data.get("part")))
        state = self._item(data, _list_name(data))
        key = ("content", count(data.get("content_index")) or 0)
        if state.type == "reasoning":
            part = ReasoningPart(_text_of(part), "text")
        return self._begin(state, key, part)

    def _summary_added(self, data: Mapping[str, Any]) -> list[Event]:
        state = self._item(data, "reasoning")
        text = as_str(as_dict(data.get("part")).get("text"))
        return self._begin(
            state, ("summary", count(data.get("summary_index")) or 0), ReasoningPart(text, "summary")
        )

    def _begin(self, state: _Item, key: Key, part: Part) -> list[Event]:
        if state.done or key in state.open or key in state.ended:
            return []
        events = self._open(state, key, _empty(part))
        return [*events, *self._remainder(state.open[key], _text_of(part))]

    def _part_done(self, data: Mapping[str, Any]) -> list[Event]:
        return self._mark_whole(data, ("content", count(data.get("content_index")) or 0))

    def _summary_done(self, data: Mapping[str, Any]) -> list[Event]:
        return self._mark_whole(data, ("summary", count(data.get("summary_index")) or 0))

    def _mark_whole(self, data: Mapping[str, Any], key: Key) -> list[Event]:
        state = self._item(data, _list_name(data))
        block = state.open.get(key)
        if block is None:
            return []
        part = decode_part(as_dict(data.get("part")))
        state.whole.add(key)
        block.native = part.native if not isinstance(part, OpaquePart) else None
        return self._remainder(block, _text_of(part)) if not isinstance(part, OpaquePart) else []

    def _grow(self, data: Mapping[str, Any], key: Key, kind: str, empty: Part) -> list[Event]:
        state = self._item(data, kind)
        events = self._begin(state, key, empty)
        block = state.open.get(key)
        delta = as_str(data.get("delta"))
        logprobs = tuple(dicts(data.get("logprobs"))) or None
        if block is None or not (delta or logprobs):
            return events
        block.texts.append(delta)
        block.size += len(delta)
        events.append(BlockDelta(block.number, delta, logprobs))
        return events

    def _text_delta(self, data: Mapping[str, Any]) -> list[Event]:
        return self._grow(data, ("content", count(data.get("content_index")) or 0), "message", TextPart(""))

    def _refusal_delta(self, data: Mapping[str, Any]) -> list[Event]:
        return self._grow(
            data, ("content", count(data.get("content_index")) or 0), "message", RefusalPart("")
        )

    def _reasoning_delta(self, data: Mapping[str, Any]) -> list[Event]:
        key = ("content", count(data.get("content_index")) or 0)
        return self._grow(data, key, "reasoning", ReasoningPart("", "text"))

    def _summary_delta(self, data: Mapping[str, Any]) -> list[Event]:
        key = ("summary", count(data.get("summary_index")) or 0)
        return self._grow(data, key, "reasoning", ReasoningPart("", "summary"))

    def _call_delta(self, data: Mapping[str, Any]) -> list[Event]:
        custom = self._last is not None and self._last.type == "custom_tool_call"
        block = self._item(data, "custom_tool_call" if custom else "function_call").open.get(("call", 0))
        delta = as_str(data.get("delta"))
        if block is None or not delta:
            return []
        block.texts.append(delta)
        block.size += len(delta)
        return [BlockDelta(block.number, delta)]

    def _annotation(self, data: Mapping[str, Any]) -> list[Event]:
        key = ("content", count(data.get("content_index")) or 0)
        block = self._item(data, "message").open.get(key)
        annotation = data.get("annotation")
        if block is None or not isinstance(annotation, dict):
            return []
        block.annotations += 1
        return [BlockDelta(block.number, annotation=annotation)]

    @staticmethod
    def _remainder(block: _Block, text: str) -> list[Event]:
        """Return what ``text`` holds beyond the deltas; nothing where the two disagree."""
        if len(text) <= block.size or not text.startswith("".join(block.texts)):
            return []
        rest = text[block.size :]
        block.texts, block.size = [text], len(text)
        return [BlockDelta(block.number, rest)]


_LISTS: Final = {"text": "content", "summary": "summary", "hidden": "hidden"}


def _list_name(data: Mapping[str, Any]) -> str:
    """Return the type of item that a part's event belongs to."""
    kind = as_str(as_dict(data.get("part")).get("type"))
    return "reasoning" if kind in ("reasoning_text", "summary_text") else "message"


def _text_of(part: Part) -> str:
    if isinstance(part, ToolCallPart):
        return part.arguments
    return part.text if isinstance(part, TextPart | RefusalPart | ReasoningPart) else ""


def _empty(part: Part) -> Part:
    """Return ``part`` as a block begins: no text, no signature, no native members yet."""
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
    "response.content_part.done": ResponsesDecoder._part_done,
    "response.reasoning_summary_part.added": ResponsesDecoder._summary_added,
    "response.reasoning_summary_part.done": ResponsesDecoder._summary_done,
    "response.output_text.delta": ResponsesDecoder._text_delta,
    "response.output_text.annotation.added": ResponsesDecoder._annotation,
    "response.refusal.delta": ResponsesDecoder._refusal_delta,
    "response.reasoning_text.delta": ResponsesDecoder._reasoning_delta,
    "response.reasoning.delta": ResponsesDecoder._reasoning_delta,
    "response.reasoning_summary_text.delta": ResponsesDecoder._summary_delta,
    "response.function_call_arguments.delta": ResponsesDecoder._call_delta,
    "response.custom_tool_call_input.delta": ResponsesDecoder._call_delta,
}
