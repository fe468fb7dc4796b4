"""ConverseStream's messages to canonical events.

The gateway unwraps the AWS event stream; a frame's event is ``:event-type``, or
``exception:`` and the exception's name. Texts and thoughts have no start event: their
first delta opens them.
"""

from __future__ import annotations

import base64
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
from app.canonical.request import ImagePart, OpaquePart, Part, ReasoningPart, TextPart, ToolCallPart
from app.dialects.base import ClientContext
from app.dialects.converse.options import NAME
from app.dialects.converse.response import (
    annotation_of,
    decode_usage,
    exception_error,
    finish_of,
    native_of,
    opaque,
    reader_of,
    tier_of,
)
from app.dialects.shared.answers import TerminalDecoder, continues_item, is_free_text
from app.dialects.shared.reading import as_dict, as_list, as_str, dicts, parsed
from app.dialects.shared.tool_forms import ANSWER_TOOL

Members = dict[str, Any]

_EXCEPTION: Final = "exception:"
_LATE: Final = frozenset({"usage", "serviceTier", "p"})
_STOP: Final = frozenset({"stopReason", "p"})


@dataclass(slots=True)
class _Growing:
    """One open block: its canonical number, how it began, and what has come of it."""

    number: int
    part: Part
    start: Members
    text: str = ""
    signature: str = ""
    redacted: str = ""
    citations: list[Members] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)


class ConverseDecoder(TerminalDecoder):
    """Messages of a ConverseStream to events."""

    def __init__(self, context: ClientContext) -> None:
        super().__init__()
        self._reader = reader_of(context)
        self._new_id = context.new_id
        self._open: dict[Any, _Growing] = {}
        self._parts: list[Part] = []
        self._item = -1
        self._begun = False
        self._finished = False
        self._late: Members = {}

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Take one message. Unknown events are ignored on purpose."""
        name = event or ""
        if self._over:
            return []
        if name.startswith(_EXCEPTION):
            return self._fail(exception_error(name[len(_EXCEPTION) :], data))
        taker = _TAKERS.get(name)
        return [] if taker is None else taker(self, as_dict(data))

    def eof(self) -> list[Event]:
        """Take the end of the body: after ``messageStop`` the answer is whole, without usage."""
        return self._end({}) if self._finished and not self._over else super().eof()

    def _end(self, metadata: Members) -> list[Event]:
        self._over = True
        self._late.update(metadata)
        return [
            Ended(decode_usage(self._late.get("usage")), native_of(self._late, _LATE), tier_of(self._late))
        ]

    def _message_start(self, data: Members) -> list[Event]:
        if self._begun:
            return []
        self._begun = True
        return [Started(self._new_id("msg"))]

    def _block_start(self, data: Members) -> list[Event]:
        start = as_dict(data.get("start"))
        part = self._opening(start)
        again = self._block_stop(data)  # a number that is used again ends its first block
        return [*again, *self._begin(data.get("contentBlockIndex"), part, start)]

    def _opening(self, start: Members) -> Part:
        if "image" in start:
            return ImagePart()
        call = as_dict(start.get("toolUse"))
        if not call or call.get("type") == "server_tool_use":
            return self._reader.part(start) if call else opaque(start)
        if call.get("name") == ANSWER_TOOL:
            return TextPart("")
        made = self._reader.part(start)
        if isinstance(made, ToolCallPart):
            return ToolCallPart(made.id, made.name, "", made.kind)
        return made

    def _begin(self, index: Any, part: Part, start: Members) -> list[Event]:
        if not continues_item(part, self._parts):
            self._item += 1
        growing = _Growing(len(self._parts), part, start)
        self._open[index] = growing
        self._parts.append(part)
        opening: list[Event] = self._message_start({})
        if isinstance(part, ImagePart):
            return opening  # comes whole at its end
        return [*opening, BlockStarted(growing.number, self._item, part)]

    def _block_delta(self, data: Members) -> list[Event]:
        index, delta = data.get("contentBlockIndex"), as_dict(data.get("delta"))
        events: list[Event] = []
        for kind, value in delta.items():
            grow = _DELTAS.get(kind)
            if grow is None:
                continue
            if index not in self._open:
                events += self._begin(index, _first_part(kind, value), {})
            events += grow(self, self._open[index], value)
        return events

    def _text(self, growing: _Growing, value: Any) -> list[Event]:
        text = as_str(value)
        growing.text += text
        return [BlockDelta(growing.number, text)] if text else []

    def _input(self, growing: _Growing, value: Any) -> list[Event]:
        text = as_str(as_dict(value).get("input"))
        growing.text += text
        held = isinstance(growing.part, OpaquePart) or is_free_text(growing.part)
        return [BlockDelta(growing.number, text)] if text and not held else []

    def _reasoning(self, growing: _Growing, value: Any) -> list[Event]:
        thought = as_dict(value)
        growing.signature += as_str(thought.get("signature"))
        growing.redacted += as_str(thought.get("redactedContent"))
        return self._text(growing, thought.get("text"))

    def _citation(self, growing: _Growing, value: Any) -> list[Event]:
        growing.citations.append(as_dict(value))
        return []

    def _result(self, growing: _Growing, value: Any) -> list[Event]:
        growing.results += as_list(value)
        return []

    def _picture(self, growing: _Growing, value: Any) -> list[Event]:
        growing.results.append(as_dict(as_dict(value).get("source")))
        return []

    def _image(self, growing: _Growing) -> list[Event]:
        """A picture, whole: its pieces are bytes, each in base64 of its own."""
        image = {**as_dict(growing.start.get("image")), "source": _joined_source(growing.results)}
        part = self._reader.part({"image": image})
        return [BlockStarted(growing.number, self._item, part), BlockEnded(growing.number)]

    def _block_stop(self, data: Members) -> list[Event]:
        growing = self._open.pop(data.get("contentBlockIndex"), None)
        return [] if growing is None else self._close(growing)

    def _close(self, growing: _Growing) -> list[Event]:
        number, part = growing.number, growing.part
        if isinstance(part, ImagePart):
            return self._image(growing)
        if isinstance(part, OpaquePart):
            return [BlockEnded(number, part=OpaquePart(part.type, (NAME, _whole(growing))))]
        if isinstance(part, ReasoningPart):
            made = self._reader.reasoning(growing.text, growing.signature, growing.redacted)
            return [BlockEnded(number, signature=made.signature)]
        events: list[Event] = []
        if isinstance(part, ToolCallPart) and (is_free_text(part) or not growing.text):
            made_call = self._reader.tool_call(part.id, part.name, growing.text or "{}")
            text = made_call.arguments if isinstance(made_call, ToolCallPart) else ""
            events.append(BlockDelta(number, text))
        for citation in growing.citations:
            if (note := annotation_of(citation, growing.text)) is not None:
                events.append(BlockDelta(number, annotation=note))
        native = (NAME, {"citations": growing.citations}) if growing.citations else None
        return [*events, BlockEnded(number, native=native)]

    def _message_stop(self, data: Members) -> list[Event]:
        if self._finished:
            return []
        self._finished = True
        events = [event for growing in self._open.values() for event in self._close(growing)]
        self._open.clear()
        native = native_of(data, _STOP)
        self._late.update(native[1] if native else {})
        return [*self._message_start({}), *events, Finished(finish_of(data.get("stopReason"), self._parts))]

    def _metadata(self, data: Members) -> list[Event]:
        if not self._finished:
            self._late.update(data)
            return []
        return self._end(data)


_TAKERS: Final[Mapping[str, Callable[[ConverseDecoder, Members], list[Event]]]] = {
    "messageStart": ConverseDecoder._message_start,
    "contentBlockStart": ConverseDecoder._block_start,
    "contentBlockDelta": ConverseDecoder._block_delta,
    "contentBlockStop": ConverseDecoder._block_stop,
    "messageStop": ConverseDecoder._message_stop,
    "metadata": ConverseDecoder._metadata,
}

_DELTAS: Final[Mapping[str, Callable[[ConverseDecoder, _Growing, Any], list[Event]]]] = {
    "text": ConverseDecoder._text,
    "toolUse": ConverseDecoder._input,
    "reasoningContent": ConverseDecoder._reasoning,
    "citation": ConverseDecoder._citation,
    "toolResult": ConverseDecoder._result,
    "image": ConverseDecoder._picture,
}


def _joined_source(pieces: list[Members]) -> Members:
    texts = [as_str(piece.get("bytes")) for piece in pieces if piece.get("bytes")]
    if len(texts) < 2:
        return next((piece for piece in pieces if piece), {})
    try:
        data = b"".join(base64.b64decode(text) for text in texts)
    except ValueError:
        return {}
    return {"bytes": base64.b64encode(data).decode()}


def _first_part(kind: str, value: Any) -> Part:
    """Return the empty part of a block that begins with a delta."""
    if kind == "reasoningContent":
        return ReasoningPart("", "hidden" if "redactedContent" in as_dict(value) else "text")
    if kind == "image":
        return ImagePart()
    if kind in ("text", "citation"):
        return TextPart("")
    return opaque({kind: {}})


def _whole(growing: _Growing) -> Members:
    """Return an opaque block with what its deltas brought."""
    kind = next(iter(growing.start), None)
    if kind is None:
        return {}
    block = dict(as_dict(growing.start[kind]))
    if kind == "toolUse":
        block["input"] = parsed(growing.text or "{}", growing.text)
    elif kind == "toolResult":
        block["content"] = dicts(growing.results)
    return {kind: block}
