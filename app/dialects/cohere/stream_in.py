"""Decode the event stream of Cohere v2 chat (client half).

A plan has no start or end event; citations come while their text is open. Content blocks
and tool calls are numbered separately. Source: recorded traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.canonical.events import (
    BlockDelta,
    BlockEnded,
    Ended,
    Event,
    Finished,
    Started,
)
from app.canonical.request import OpaquePart, Part, ReasoningPart, TextPart, ToolCallPart
from app.canonical.response import Usage
from app.dialects.base import ClientContext
from app.dialects.cohere.options import NAME, PLAN
from app.dialects.cohere.response_in import (
    FINISHES,
    STRAY_CITATION,
    annotations_of,
    decode_usage,
    logprobs_of,
)
from app.dialects.shared.blocks import OpenBlock, OpenBlocks
from app.dialects.shared.decoder_parts import TerminalDecoder, call_part, finish_of, name_of_call
from app.dialects.shared.failures import status_of_code, upstream_failure
from app.dialects.shared.lenient_json import JSON, as_dict, as_str, count, label, opt_str
from app.dialects.shared.repeats import Grow, Place, Repeats
from app.dialects.shared.tool_forms import ANSWER_TOOL, custom_tool_names

Key = tuple[str, int | None]

_PLAN: Final[Key] = ("plan", 0)
_GROWING: Final = {"content-delta": "content", "tool-call-delta": "call"}
_PLACES: Final[tuple[Place, ...]] = (
    ("delta", "message", "content", "text"),
    ("delta", "message", "content", "thinking"),
    ("delta", "message", "tool_calls", "function", "arguments"),
)


class CohereDecoder(TerminalDecoder):
    """Decode the frames of a v2 chat stream."""

    def __init__(self, context: ClientContext) -> None:
        super().__init__()
        self._context = context
        self._customs = custom_tool_names(context.request)
        self._blocks = OpenBlocks()
        self._ended: set[Key] = set()
        self.repeats = Repeats(*_PLACES)

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Take one frame. Events of unknown types are reported."""
        frame = as_dict(data)
        if (delta := self.repeats.delta_of(frame)) is not None:
            return [delta]
        method = _METHODS.get(opt_str(frame.get("type")) or "error", CohereDecoder._unknown)
        events = [] if self._over else method(self, frame)
        self.repeats.learn(frame, events, self._grow_of(frame))
        return events

    def _grow_of(self, frame: JSON) -> Grow | None:
        kind = _GROWING.get(as_str(frame.get("type")))
        block = None if kind is None else self._blocks.get((kind, count(frame.get("index"))))
        return None if block is None else block.pieces.append

    def _unknown(self, frame: JSON) -> list[Event]:
        self._context.losses.report_answer(f"an event of type '{frame['type']}'")
        return []

    def _error(self, frame: JSON) -> list[Event]:
        """Take an error body, which also comes without a type; a frame without a message is ignored."""
        error = frame.get("error")
        message = opt_str(frame.get("message")) or opt_str(error) or opt_str(as_dict(error).get("message"))
        return [] if message is None else self._failure(message, frame, None)

    def _failure(self, message: str, members: JSON, usage: Usage | None) -> list[Event]:
        kind = label(members.get("error_type"))
        error = upstream_failure(status_of_code(None, kind), message, type=kind, raw=members)
        return self._fail(error, usage)

    def _message_start(self, frame: JSON) -> list[Event]:
        return [Started(opt_str(frame.get("id")))] if self._begins() else []

    def _open(self, key: Key, part: Part) -> list[Event]:
        """Open a block; blocks that ended before it are closed now, also one with the same key."""
        if key in self._blocks:
            self._ended.add(key)
        events = [*self._message_start({}), *self._close_ended()]
        return [*events, self._blocks.open(key, part).start_event()]

    def _close_ended(self) -> list[Event]:
        """Close the blocks that have ended.

        A text stays open until the next block, because citations may follow its end. A plan ends
        when anything else begins.
        """
        blocks = self._blocks.take_many([*self._ended, _PLAN])
        self._ended.clear()
        return [event for block in blocks for event in self._close(block)]

    def _close(self, block: OpenBlock) -> list[Event]:
        part, text, events = block.part, block.text, list[Event]()
        if isinstance(part, ToolCallPart) and (part.kind == "custom" or not text):
            call = call_part(part.id, part.name, text, self._customs)
            arguments = call.arguments if isinstance(call, ToolCallPart) else text
            events.append(BlockDelta(block.number, arguments))
        native = (NAME, {"citations": block.extras}) if block.extras else None
        return [*events, BlockEnded(block.number, native=native)]

    def _grow(self, key: Key, text: str, logprobs: Any = None) -> list[Event]:
        block = self._blocks.get(key)
        return [] if block is None else block.grow(text, logprobs_of(logprobs))

    def _content_start(self, frame: JSON) -> list[Event]:
        content = _content(frame)
        parts: Mapping[str, Part] = {"text": TextPart(""), "thinking": ReasoningPart("")}
        kind = as_str(content.get("type"), "text")
        key = ("content", count(frame.get("index")))
        events = self._open(key, parts.get(kind) or OpaquePart(kind or "unknown", (NAME, content)))
        return [*events, *self._grow(key, _text_of(content))]

    def _content_delta(self, frame: JSON) -> list[Event]:
        key = ("content", count(frame.get("index")))
        content, events = _content(frame), list[Event]()
        if key not in self._blocks:
            events += self._open(key, TextPart("") if content.get("thinking") is None else ReasoningPart(""))
        return [*events, *self._grow(key, _text_of(content), frame.get("logprobs"))]

    def _content_end(self, frame: JSON) -> list[Event]:
        self._ended.add(("content", count(frame.get("index"))))
        return []

    def _plan_delta(self, frame: JSON) -> list[Event]:
        text = as_str(_message(frame).get("tool_plan"))
        if not text:
            return []
        events = [] if _PLAN in self._blocks else self._open(_PLAN, ReasoningPart("", native=PLAN))
        return [*events, *self._grow(_PLAN, text)]

    def _call_start(self, frame: JSON) -> list[Event]:
        call = as_dict(_message(frame).get("tool_calls"))
        function = as_dict(call.get("function"))
        name = name_of_call(function.get("name"))
        call_id = opt_str(call.get("id")) or self._context.new_id("call")
        part: Part = ToolCallPart(call_id, name, "", "custom" if name in self._customs else "function")
        key = ("call", count(frame.get("index")))
        events = self._open(key, TextPart("") if name == ANSWER_TOOL else part)
        return [*events, *self._grow(key, as_str(function.get("arguments")))]

    def _call_delta(self, frame: JSON) -> list[Event]:
        function = as_dict(as_dict(_message(frame).get("tool_calls")).get("function"))
        return self._grow(("call", count(frame.get("index"))), as_str(function.get("arguments")))

    def _call_end(self, frame: JSON) -> list[Event]:
        block = self._blocks.take(("call", count(frame.get("index"))))
        return [] if block is None else self._close(block)

    def _citation(self, frame: JSON) -> list[Event]:
        citation = as_dict(_message(frame).get("citations"))
        block = self._cited_block(count(citation.get("content_index")))
        if block is None:
            self._context.losses.report_answer(STRAY_CITATION)
            return []
        block.extras.append(citation)
        return [BlockDelta(block.number, annotation=note) for note in annotations_of(citation)]

    def _cited_block(self, index: int | None) -> OpenBlock | None:
        """Return the open text with the number in a citation, else the last open text."""
        block = self._blocks.get(("content", index))
        if block is not None and isinstance(block.part, TextPart):
            return block
        return next((b for b in reversed(self._blocks.blocks()) if isinstance(b.part, TextPart)), None)

    def _message_end(self, frame: JSON) -> list[Event]:
        delta = as_dict(frame.get("delta"))
        usage = decode_usage(delta.get("usage"))
        if message := opt_str(delta.get("error")):
            return self._failure(message, delta, usage)
        self._over = True
        finish = finish_of(delta.get("finish_reason"), FINISHES, self._blocks.parts)
        blocks = [event for block in self._blocks.take_all() for event in self._close(block)]
        return [*self._message_start({}), *blocks, Finished(finish), Ended(usage)]


_METHODS: Final[Mapping[str, Callable[[CohereDecoder, JSON], list[Event]]]] = {
    "error": CohereDecoder._error,
    "message-start": CohereDecoder._message_start,
    "content-start": CohereDecoder._content_start,
    "content-delta": CohereDecoder._content_delta,
    "content-end": CohereDecoder._content_end,
    "tool-plan-delta": CohereDecoder._plan_delta,
    "tool-call-start": CohereDecoder._call_start,
    "tool-call-delta": CohereDecoder._call_delta,
    "tool-call-end": CohereDecoder._call_end,
    "citation-start": CohereDecoder._citation,
    "citation-end": lambda decoder, frame: [],
    "debug": lambda decoder, frame: [],
    "message-end": CohereDecoder._message_end,
}


def _message(frame: JSON) -> JSON:
    return as_dict(as_dict(frame.get("delta")).get("message"))


def _content(frame: JSON) -> JSON:
    return as_dict(_message(frame).get("content"))


def _text_of(content: JSON) -> str:
    return as_str(content.get("text")) or as_str(content.get("thinking"))
