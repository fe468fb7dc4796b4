"""The event stream of Cohere v2 chat to canonical events.

A plan has no start or end of its own; citations come while their text is open. Content
blocks and tool calls are numbered apart.
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
from app.dialects.cohere.response_in import annotations_of, decode_usage, finish_of, logprobs_of
from app.dialects.shared.blocks import OpenBlock, OpenBlocks
from app.dialects.shared.decoder_parts import TerminalDecoder, call_part, name_of_call
from app.dialects.shared.failures import status_of_code, upstream_failure
from app.dialects.shared.lenient_json import as_dict, as_str, count, label, opt_str
from app.dialects.shared.tool_forms import ANSWER_TOOL, custom_tool_names

Members = dict[str, Any]
Key = tuple[str, int | None]

_PLAN: Final[Key] = ("plan", 0)


class CohereDecoder(TerminalDecoder):
    """Frames of a v2 chat stream to events."""

    def __init__(self, context: ClientContext) -> None:
        super().__init__()
        self._context = context
        self._customs = custom_tool_names(context.request)
        self._blocks = OpenBlocks()
        self._ended: set[Key] = set()
        self._begun = False
        self._late_citations: list[Members] = []

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Take one frame. Unknown events are ignored on purpose."""
        frame = as_dict(data)
        if self._over:
            return []
        kind = opt_str(frame.get("type"))
        if kind is None or kind == "error":
            return self._error(frame)
        taker = _TAKERS.get(kind)
        return [] if taker is None else taker(self, frame)

    def _error(self, frame: Members) -> list[Event]:
        """A bare error body may stand in a frame; a frame without words says nothing."""
        message = opt_str(frame.get("message")) or opt_str(frame.get("error"))
        if message is None:
            return []
        return self._failure(message, frame, None)

    def _failure(self, message: str, members: Members, usage: Usage | None) -> list[Event]:
        kind = label(members.get("error_type"))
        error = upstream_failure(status_of_code(None, kind), message, type=kind, raw=members)
        return self._fail(error, usage)

    def _start(self, frame: Members) -> list[Event]:
        if self._begun:
            return []
        self._begun = True
        return [Started(opt_str(frame.get("id")))]

    def _begin(self, key: Key, part: Part) -> list[Event]:
        """Open a block; what had ended before it, ends now, and so does one of the same number."""
        if key in self._blocks:
            self._ended.add(key)
        events = [*self._start({}), *self._settle()]
        self._ended.discard(key)
        return [*events, self._blocks.open(key, part).start_event()]

    def _settle(self, *, everything: bool = False) -> list[Event]:
        """Close what the wire has ended. A text waits so long, because citations may follow
        its end; a plan ends when anything else begins."""
        if everything:
            ended = self._blocks.take_all()
        else:
            ended = self._blocks.take_many([*self._ended, _PLAN])
            self._ended.clear()
        return [event for block in ended for event in self._close(block)]

    def _close(self, block: OpenBlock) -> list[Event]:
        part, whole, events = block.part, block.text, list[Event]()
        if isinstance(part, ToolCallPart) and (part.kind == "custom" or not whole):
            made = call_part(part.id, part.name, whole, self._customs)
            text = made.arguments if isinstance(made, ToolCallPart) else whole
            events.append(BlockDelta(block.number, text))
        native = (NAME, {"citations": block.extras}) if block.extras else None
        return [*events, BlockEnded(block.number, native=native)]

    def _grow(self, key: Key, text: str, logprobs: Any = None) -> list[Event]:
        block = self._blocks.get(key)
        return [] if block is None else block.grow(text, logprobs_of(logprobs))

    def _content_start(self, frame: Members) -> list[Event]:
        content = _content(frame)
        opening: Mapping[str, Part] = {"text": TextPart(""), "thinking": ReasoningPart("")}
        kind = as_str(content.get("type"), "text")
        part = opening.get(kind) or OpaquePart(kind or "unknown", (NAME, content))
        key = ("content", count(frame.get("index")))
        events = self._begin(key, part)
        return [*events, *self._grow(key, _text_of(content))]

    def _content_delta(self, frame: Members) -> list[Event]:
        key = ("content", count(frame.get("index")))
        content, events = _content(frame), list[Event]()
        if key not in self._blocks:
            events += self._begin(key, ReasoningPart("") if "thinking" in content else TextPart(""))
        return [*events, *self._grow(key, _text_of(content), frame.get("logprobs"))]

    def _content_end(self, frame: Members) -> list[Event]:
        self._ended.add(("content", count(frame.get("index"))))
        return []

    def _plan_delta(self, frame: Members) -> list[Event]:
        text = as_str(_message(frame).get("tool_plan"))
        if not text:
            return []
        events = [] if _PLAN in self._blocks else self._begin(_PLAN, ReasoningPart("", native=PLAN))
        return [*events, *self._grow(_PLAN, text)]

    def _call_start(self, frame: Members) -> list[Event]:
        call = as_dict(_message(frame).get("tool_calls"))
        function = as_dict(call.get("function"))
        name = name_of_call(function.get("name"))
        identity = opt_str(call.get("id")) or self._context.new_id("call")
        part: Part = ToolCallPart(identity, name, "", "custom" if name in self._customs else "function")
        key = ("call", count(frame.get("index")))
        events = self._begin(key, TextPart("") if name == ANSWER_TOOL else part)
        return [*events, *self._grow(key, as_str(function.get("arguments")))]

    def _call_delta(self, frame: Members) -> list[Event]:
        function = as_dict(as_dict(_message(frame).get("tool_calls")).get("function"))
        return self._grow(("call", count(frame.get("index"))), as_str(function.get("arguments")))

    def _call_end(self, frame: Members) -> list[Event]:
        block = self._blocks.take(("call", count(frame.get("index"))))
        return [] if block is None else self._close(block)

    def _citation(self, frame: Members) -> list[Event]:
        citation = as_dict(_message(frame).get("citations"))
        block = self._cited_block(count(citation.get("content_index")))
        if block is None:
            self._late_citations.append(citation)
            return []
        block.extras.append(citation)
        return [BlockDelta(block.number, annotation=note) for note in annotations_of(citation)]

    def _cited_block(self, index: int | None) -> OpenBlock | None:
        """Return the open text that a citation names, else any open text."""
        named = self._blocks.get(("content", index))
        if named is not None and isinstance(named.part, TextPart):
            return named
        return next((b for b in reversed(self._blocks.blocks()) if isinstance(b.part, TextPart)), None)

    def _message_end(self, frame: Members) -> list[Event]:
        delta = as_dict(frame.get("delta"))
        usage = decode_usage(delta.get("usage"))
        if message := opt_str(delta.get("error")):
            return self._failure(message, delta, usage)
        self._over = True
        finish = finish_of(delta.get("finish_reason"), self._blocks.parts)
        native = (NAME, {"citations": self._late_citations}) if self._late_citations else None
        events = [*self._start({}), *self._settle(everything=True)]
        return [*events, Finished(finish), Ended(usage, native)]


_TAKERS: Final[Mapping[str, Callable[[CohereDecoder, Members], list[Event]]]] = {
    "message-start": CohereDecoder._start,
    "content-start": CohereDecoder._content_start,
    "content-delta": CohereDecoder._content_delta,
    "content-end": CohereDecoder._content_end,
    "tool-plan-delta": CohereDecoder._plan_delta,
    "tool-call-start": CohereDecoder._call_start,
    "tool-call-delta": CohereDecoder._call_delta,
    "tool-call-end": CohereDecoder._call_end,
    "citation-start": CohereDecoder._citation,
    "message-end": CohereDecoder._message_end,
}


def _message(frame: Members) -> Members:
    return as_dict(as_dict(frame.get("delta")).get("message"))


def _content(frame: Members) -> Members:
    return as_dict(_message(frame).get("content"))


def _text_of(content: Members) -> str:
    return as_str(content.get("text")) or as_str(content.get("thinking"))
