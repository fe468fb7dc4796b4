"""A provider's Responses stream decoded as canonical events (client half).

``Grammar`` completes the events first, so every item and part opens, grows and closes once. What its events
lack is taken from the final part or item. A block ends when the next block of its item begins or the
item is done: only then are its signature, status and native members known.

Source: the event types in OpenAI's API description.
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
    Finished,
    Started,
)
from app.canonical.request import (
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Finish, Usage
from app.dialects.base import ClientContext
from app.dialects.responses.grammar import DELTAS, Grammar, Payload
from app.dialects.responses.items_in import (
    CANONICAL_TYPES,
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
from app.dialects.shared.blocks import OpenBlock
from app.dialects.shared.decoder_parts import TerminalDecoder
from app.dialects.shared.lenient_json import JSON, as_dict, as_str, count, dicts, opt_str
from app.dialects.shared.repeats import Grow, Repeats
from app.errors import GatewayError
from app.responses_form.events import OPENING, TERMINAL

Key = tuple[str, int]
"""A block within its item: ``content``, ``summary``, ``call``, ``hidden`` or ``opaque``, and its index."""


@dataclass(slots=True)
class _Item:
    """One item: its index, its first form, and its blocks: open, those of these whose part is done, and ended."""

    number: int
    added: Mapping[str, Any]
    open: dict[Key, OpenBlock] = field(default_factory=dict)
    whole: set[Key] = field(default_factory=set)
    ended: set[Key] = field(default_factory=set)


class ResponsesDecoder(TerminalDecoder):
    """Decodes the frames of a Responses stream; unknown event types are ignored.

    ``ordered`` are the complete events for the last frame that was an object, also of types that are ignored here.
    """

    def __init__(self, context: ClientContext) -> None:
        super().__init__()
        self.ordered: list[Payload] = []
        self._sign = signer(context)
        self._grammar = Grammar(context.new_id)
        self.repeats = Repeats(("delta",), free=("obfuscation",), numbers=("sequence_number",))
        self._items: dict[int, _Item] = {}
        self._blocks = 0
        self._calls = False

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Return the events of one frame."""
        if (delta := self.repeats.delta_of(data)) is not None:
            self.ordered = [(name, {**members, "delta": delta.text}) for name, members in self.ordered]
            return [delta]
        if not isinstance(data, dict):
            return []
        self.ordered = []
        if self._over:
            return []
        kind = as_str(data.get("type")) or event or ("error" if data.get("error") else "")
        if kind in _FAILURES:
            return self._fail(*_FAILURES[kind](data))
        self.ordered = list(self._grammar.feed(kind, data))
        events = [
            one
            for name, members in self.ordered
            if (reader := _READERS.get(name)) is not None
            for one in reader(self, name, members)
        ]
        if (events or kind in OPENING) and self._begins():
            response = as_dict(data.get("response"))
            created_at = count(response.get("created_at"))
            events.insert(0, Started(opt_str(response.get("id")), opt_str(response.get("model")), created_at))
        self.repeats.learn(data, events, self._grow_of_last() if data.get("type") else None)
        return events

    def _grow_of_last(self) -> Grow | None:
        """Return what records a further piece of the text that the last frame added to, and did nothing else."""
        text = self._grammar.latest
        if text is None or len(self.ordered) != 1 or self.ordered[0][0] not in DELTAS:
            return None
        _, members = self.ordered[0]
        block = self._items[members["output_index"]].open[_key(members)]

        def grow(piece: str) -> None:
            block.pieces.append(piece)
            text.pieces.append(piece)

        return grow

    def _terminal(self, kind: str, data: JSON) -> list[Event]:
        response = data["response"]
        self._over = True
        finish = finish_of(response, self._calls) or Finish("stop", kind.rpartition(".")[2])
        native, tier = (NAME, top_level_native(response)), opt_str(response.get("service_tier"))
        return [Finished(finish), Ended(usage_of(response), native, tier)]

    # items

    def _item_added(self, kind: str, data: JSON) -> list[Event]:
        item = data["item"]
        state = self._items[data["output_index"]] = _Item(data["output_index"], item)
        if item["type"] not in CANONICAL_TYPES:
            return self._open(state, ("opaque", 0), OpaquePart(item["type"], (NAME, item)))
        if not item["type"].endswith("_call"):
            return []
        return self._open(state, ("call", 0), _empty(call_part(item)))

    def _item_done(self, kind: str, data: JSON) -> list[Event]:
        """Bring the blocks of an item to their final form, and end them."""
        state, item = self._items[data["output_index"]], data["item"]
        status = opt_str(item.get("status"))
        if item["type"] not in CANONICAL_TYPES:
            block = state.open.pop(("opaque", 0))
            return [BlockEnded(block.number, part=OpaquePart(item["type"], (NAME, item)), status=status)]
        parts = self._final_parts(state, item)
        events = [event for key, part in parts for event in self._complete(state, key, part)]
        if parts:
            events += self._place_signature(state, parts[-1][1])
        state.ended |= state.open.keys()
        return [*events, *(block.end_event(status) for block in state.open.values())]

    def _final_parts(self, state: _Item, item: JSON) -> list[tuple[Key, Part]]:
        """Return the parts of a final item with their keys."""
        parts = decode_item(item, self._sign).parts
        if item["type"] == "message":
            return [(("content", at), part) for at, part in enumerate(parts or [TextPart("")])]
        if item["type"] != "reasoning":
            return [(("call", 0), part) for part in parts]
        lists = [_LISTS[part.form if isinstance(part, ReasoningPart) else "hidden"] for part in parts]
        if lists[-1:] == ["hidden"] and state.open:
            return [(next(reversed(state.open)), parts[-1])]
        indexes = {name: itertools.count() for name in lists}
        return [((name, next(indexes[name])), part) for name, part in zip(lists, parts, strict=True)]

    def _complete(self, state: _Item, key: Key, part: Part) -> list[Event]:
        """Return the events that bring a block to its final part: opened if it is not, with what is missing."""
        if key in state.ended:
            return []
        events = [] if key in state.open else self._open(state, key, _empty(part))
        self._calls = self._calls or isinstance(part, ToolCallPart)
        return [*events, *_finish(state.open[key], part)]

    def _place_signature(self, state: _Item, part: Part) -> list[Event]:
        """Record the signature of a final item on its last open block, which is opened here if there is none."""
        if not isinstance(part, ReasoningPart) or part.signature is None:
            return []
        events = [] if state.open else self._open(state, ("hidden", 0), ReasoningPart("", "hidden"))
        state.open[next(reversed(state.open))].signed = part.signature
        return events

    # blocks

    def _open(self, state: _Item, key: Key, part: Part) -> list[Event]:
        """Open a block; the blocks of the item whose part is done end before."""
        blocks = sorted((state.open.pop(key) for key in state.whole), key=lambda block: block.number)
        state.ended |= state.whole
        state.whole.clear()
        block = state.open[key] = OpenBlock(self._blocks, state.number, part)
        self._blocks += 1
        start = BlockStarted(block.number, state.number, part, info=identity({**state.added, "status": None}))
        return [*(one.end_event() for one in blocks), start]

    def _part_added(self, kind: str, data: JSON) -> list[Event]:
        state, key = self._items[data["output_index"]], _key(data)
        part = decode_part(data["part"])
        if state.added["type"] == "reasoning":
            part = ReasoningPart("", "summary" if key[0] == "summary" else "text")
        return self._open(state, key, part)

    def _part_done(self, kind: str, data: JSON) -> list[Event]:
        state, key = self._items[data["output_index"]], _key(data)
        state.whole.add(key)
        return _finish(state.open[key], decode_part(data["part"]))

    def _grow(self, kind: str, data: JSON) -> list[Event]:
        block = self._items[data["output_index"]].open[_key(data)]
        return block.add(data["delta"], tuple(dicts(data.get("logprobs"))) or None)

    def _annotation(self, kind: str, data: JSON) -> list[Event]:
        block = self._items[data["output_index"]].open.get(_key(data))
        return [] if block is None else _annotate(block, data["annotation"])


_LISTS: Final = {"text": "content", "summary": "summary", "hidden": "hidden"}


def _key(data: JSON) -> Key:
    """Return the key of the block that an event is about."""
    content, summary = data.get("content_index"), data.get("summary_index")
    if content is not None:
        return "content", content
    return ("call", 0) if summary is None else ("summary", summary)


def _finish(block: OpenBlock, part: Part) -> list[Event]:
    """Add the text and the annotations of a final part that are missing; text only if it begins like the deltas."""
    text, before = _text_of(part), block.text
    events = block.add(text[len(before) :]) if text.startswith(before) else []
    for annotation in part.annotations[len(block.extras) :] if isinstance(part, TextPart) else ():
        events += _annotate(block, annotation)
    block.native = part.native
    return events


def _annotate(block: OpenBlock, annotation: Mapping[str, Any]) -> list[Event]:
    block.extras.append(annotation)
    return [BlockDelta(block.number, annotation=annotation)]


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


_Reader = Callable[[ResponsesDecoder, str, JSON], list[Event]]

_READERS: Final[Mapping[str, _Reader]] = {
    **dict.fromkeys(TERMINAL, ResponsesDecoder._terminal),
    "response.output_item.added": ResponsesDecoder._item_added,
    "response.output_item.done": ResponsesDecoder._item_done,
    "response.content_part.added": ResponsesDecoder._part_added,
    "response.content_part.done": ResponsesDecoder._part_done,
    "response.reasoning_summary_part.added": ResponsesDecoder._part_added,
    "response.reasoning_summary_part.done": ResponsesDecoder._part_done,
    "response.output_text.annotation.added": ResponsesDecoder._annotation,
    **dict.fromkeys(DELTAS, ResponsesDecoder._grow),
}


def _failed(data: JSON) -> tuple[GatewayError, Usage | None]:
    response = as_dict(data.get("response"))
    return failed_response(response), usage_of(response)


def _error(data: JSON) -> tuple[GatewayError, Usage | None]:
    nested = data.get("error")
    return failure_of(nested if nested else {**data, "type": None}, raw=data), None


_FAILURES: Final[Mapping[str, Callable[[JSON], tuple[GatewayError, Usage | None]]]] = {
    "response.failed": _failed,
    "response.cancelled": _failed,
    "error": _error,
    "response.error": _error,
}
