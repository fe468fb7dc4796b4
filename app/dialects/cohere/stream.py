"""The event stream of Cohere v2 chat to canonical events.

A plan has no start or end of its own; citations come while their text is open. Content
blocks and tool calls are numbered apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
from app.canonical.request import OpaquePart, Part, ReasoningPart, TextPart, ToolCallPart
from app.canonical.response import Usage
from app.dialects.base import ClientContext
from app.dialects.cohere.options import NAME, PLAN
from app.dialects.cohere.response import annotations_of, decode_usage, finish_of, logprobs_of
from app.dialects.shared.answers import TerminalDecoder, call_part, continues_item, is_free_text
from app.dialects.shared.failures import status_of_code, upstream_failure
from app.dialects.shared.reading import as_dict, as_str, count, label, opt_str
from app.dialects.shared.tool_forms import ANSWER_TOOL, customs_of

Members = dict[str, Any]
Key = tuple[str, Any]

_PLAN: Final[Key] = ("plan", 0)


@dataclass(slots=True)
class _Growing:
    """One open block: its canonical number and what has come of it."""

    number: int
    part: Part
    text: str = ""
    citations: list[Members] = field(default_factory=list)


class CohereDecoder(TerminalDecoder):
    """Frames of a v2 chat stream to events."""

    def __init__(self, context: ClientContext) -> None:
        super().__init__()
        self._context = context
        self._customs = customs_of(context.request)
        self._open: dict[Key, _Growing] = {}
        self._ended: set[Key] = set()
        self._parts: list[Part] = []
        self._item = -1
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

    def _failure(self, message: str, told: Members, usage: Usage | None) -> list[Event]:
        kind = label(told.get("error_type"))
        error = upstream_failure(status_of_code(None, kind), message, type=kind, raw=told)
        return self._fail(error, usage)

    def _start(self, frame: Members) -> list[Event]:
        if self._begun:
            return []
        self._begun = True
        return [Started(opt_str(frame.get("id")))]

    def _begin(self, key: Key, part: Part) -> list[Event]:
        """Open a block; what had ended before it, ends now, and so does one of the same number."""
        if key in self._open:
            self._ended.add(key)
        events = [*self._start({}), *self._settle()]
        self._ended.discard(key)
        if not continues_item(part, self._parts):
            self._item += 1
        growing = _Growing(len(self._parts), part)
        self._open[key] = growing
        self._parts.append(part)
        return [*events, BlockStarted(growing.number, self._item, part)]

    def _settle(self, *, everything: bool = False) -> list[Event]:
        """Close what the wire has ended. A text waits so long, because citations may follow
        its end; a plan ends when anything else begins."""
        keys = [key for key in self._open if everything or key in self._ended or key == _PLAN]
        return [event for key in keys for event in self._close(self._open.pop(key))]

    def _close(self, growing: _Growing) -> list[Event]:
        part, events = growing.part, list[Event]()
        if isinstance(part, ToolCallPart) and (part.kind == "custom" or not growing.text):
            made = call_part(part.id, part.name, growing.text, self._customs)
            text = made.arguments if isinstance(made, ToolCallPart) else growing.text
            events.append(BlockDelta(growing.number, text))
        native = (NAME, {"citations": growing.citations}) if growing.citations else None
        return [*events, BlockEnded(growing.number, native=native)]

    def _grow(self, growing: _Growing, text: str, logprobs: Any = None) -> list[Event]:
        growing.text += text
        rows = logprobs_of(logprobs)
        if is_free_text(growing.part) or isinstance(growing.part, OpaquePart) or not (text or rows):
            return []
        return [BlockDelta(growing.number, text, rows)]

    def _content_start(self, frame: Members) -> list[Event]:
        content = _content(frame)
        opening: Mapping[str, Part] = {"text": TextPart(""), "thinking": ReasoningPart("")}
        kind = as_str(content.get("type"), "text")
        part = opening.get(kind) or OpaquePart(kind or "unknown", (NAME, content))
        key = ("content", frame.get("index"))
        events = self._begin(key, part)
        return [*events, *self._grow(self._open[key], _said(content))]

    def _content_delta(self, frame: Members) -> list[Event]:
        key = ("content", frame.get("index"))
        content, events = _content(frame), list[Event]()
        if key not in self._open:
            events += self._begin(key, ReasoningPart("") if "thinking" in content else TextPart(""))
        return [*events, *self._grow(self._open[key], _said(content), frame.get("logprobs"))]

    def _content_end(self, frame: Members) -> list[Event]:
        self._ended.add(("content", frame.get("index")))
        return []

    def _plan_delta(self, frame: Members) -> list[Event]:
        text = as_str(_message(frame).get("tool_plan"))
        if not text:
            return []
        events = [] if _PLAN in self._open else self._begin(_PLAN, ReasoningPart("", native=PLAN))
        return [*events, *self._grow(self._open[_PLAN], text)]

    def _call_start(self, frame: Members) -> list[Event]:
        call = as_dict(_message(frame).get("tool_calls"))
        function = as_dict(call.get("function"))
        name = as_str(function.get("name"))
        identity = opt_str(call.get("id")) or self._context.new_id("call")
        part: Part = ToolCallPart(identity, name, "", "custom" if name in self._customs else "function")
        key = ("call", frame.get("index"))
        events = self._begin(key, TextPart("") if name == ANSWER_TOOL else part)
        return [*events, *self._grow(self._open[key], as_str(function.get("arguments")))]

    def _call_delta(self, frame: Members) -> list[Event]:
        growing = self._open.get(("call", frame.get("index")))
        function = as_dict(as_dict(_message(frame).get("tool_calls")).get("function"))
        return [] if growing is None else self._grow(growing, as_str(function.get("arguments")))

    def _call_end(self, frame: Members) -> list[Event]:
        growing = self._open.pop(("call", frame.get("index")), None)
        return [] if growing is None else self._close(growing)

    def _citation(self, frame: Members) -> list[Event]:
        citation = as_dict(_message(frame).get("citations"))
        growing = self._cited(count(citation.get("content_index")))
        if growing is None:
            self._late_citations.append(citation)
            return []
        growing.citations.append(citation)
        return [BlockDelta(growing.number, annotation=note) for note in annotations_of(citation)]

    def _cited(self, index: int | None) -> _Growing | None:
        """Return the open text that a citation names, else any open text."""
        named = self._open.get(("content", index))
        texts = [g for g in self._open.values() if isinstance(g.part, TextPart)]
        if named is not None and isinstance(named.part, TextPart):
            return named
        return texts[-1] if texts else None

    def _message_end(self, frame: Members) -> list[Event]:
        delta = as_dict(frame.get("delta"))
        usage = decode_usage(delta.get("usage"))
        if message := opt_str(delta.get("error")):
            return self._failure(message, delta, usage)
        self._over = True
        finish = finish_of(delta.get("finish_reason"), self._parts)
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


def _said(content: Members) -> str:
    return as_str(content.get("text")) or as_str(content.get("thinking"))
