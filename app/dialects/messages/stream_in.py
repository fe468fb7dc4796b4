"""The event stream of Messages to canonical events (client half).

Content blocks map one to one to canonical blocks. Hosted tools' blocks are opaque and
grow outside the canonical stream; they are handed on whole when they end. Source:
contract/providers.md 3.4 and the recorded streams.
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
    Finished,
    Started,
)
from app.canonical.request import OpaquePart, Part, ReasoningPart, TextPart, ToolCallPart
from app.canonical.response import Usage
from app.dialects.base import ClientContext
from app.dialects.messages.citations import annotations_of
from app.dialects.messages.options import NAME
from app.dialects.messages.parts_in import BlockReader, opaque
from app.dialects.messages.response import (
    decode_error,
    decode_usage,
    finish_of,
    native_of,
    reader_of,
    refused,
    tier_of,
)
from app.dialects.shared.answers import TerminalDecoder, call_part, continues_item, is_free_text
from app.dialects.shared.failures import status_of_code
from app.dialects.shared.reading import (
    as_dict,
    as_str,
    count,
    dicts,
    json_text,
    label,
    opt_str,
    parsed,
    present,
)

Members = dict[str, Any]


@dataclass(slots=True)
class _Growing:
    """One open block: its first form, its canonical number, and what has come of it."""

    number: int
    start: Members
    part: Part
    text: str = ""
    signature: str = ""
    citations: list[Members] = field(default_factory=list)
    held: bool = False  # its text goes out only when it is whole


class MessagesDecoder(TerminalDecoder):
    """Frames of a Messages stream to events."""

    def __init__(self, context: ClientContext) -> None:
        super().__init__()
        self._reader: BlockReader = reader_of(context)
        self._open: dict[Any, _Growing] = {}
        self._parts: list[Part] = []
        self._blocks = 0
        self._item = -1
        self._usage: Members = {}
        self._late: Members = {}

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Take one frame. Unknown events are ignored, as the wire's own rules ask."""
        frame = as_dict(data)
        taker = _TAKERS.get(as_str(frame.get("type")) or as_str(event))
        if taker is None or self._over:
            return []
        return taker(self, frame)

    def _counted(self) -> Usage | None:
        return decode_usage(self._usage)

    def _error(self, frame: Members) -> list[Event]:
        kind = label(as_dict(frame.get("error")).get("type"))
        return self._fail(decode_error(status_of_code(kind), frame, {}))

    def _message_start(self, frame: Members) -> list[Event]:
        message = as_dict(frame.get("message"))
        self._count(message.get("usage"))
        return [
            Started(
                opt_str(message.get("id")),
                opt_str(message.get("model")),
                service_tier=tier_of(message.get("usage")),
                native=native_of(message),
            )
        ]

    def _block_start(self, frame: Members) -> list[Event]:
        start = as_dict(frame.get("content_block"))
        part = _opening(self._reader, start)
        events = self._block_stop(frame)  # a number that is used again ends its first block
        if not continues_item(part, self._parts):
            self._item += 1
        growing = _Growing(self._blocks, start, part, citations=dicts(start.get("citations")))
        growing.held = is_free_text(part)
        self._open[count(frame.get("index"))] = growing
        self._blocks += 1
        self._parts.append(part)
        events.append(BlockStarted(growing.number, self._item, part))
        first = as_str(start.get("text")) or as_str(start.get("thinking"))
        if first and not isinstance(part, OpaquePart):
            growing.text = first
            events.append(BlockDelta(growing.number, first))
        return events

    def _block_delta(self, frame: Members) -> list[Event]:
        growing = self._open.get(count(frame.get("index")))
        delta = as_dict(frame.get("delta"))
        grow = _DELTAS.get(as_str(delta.get("type")))
        if growing is None or grow is None:
            return []
        return grow(self, growing, delta)

    def _grow(self, growing: _Growing, text: str) -> list[Event]:
        growing.text += text
        if not text or growing.held or isinstance(growing.part, OpaquePart):
            return []
        return [BlockDelta(growing.number, text)]

    def _text_delta(self, growing: _Growing, delta: Members) -> list[Event]:
        return self._grow(growing, as_str(delta.get("text")))

    def _thinking_delta(self, growing: _Growing, delta: Members) -> list[Event]:
        return self._grow(growing, as_str(delta.get("thinking")))

    def _input_delta(self, growing: _Growing, delta: Members) -> list[Event]:
        return self._grow(growing, as_str(delta.get("partial_json")))

    def _compaction_delta(self, growing: _Growing, delta: Members) -> list[Event]:
        return self._grow(growing, as_str(delta.get("content")))

    def _signature_delta(self, growing: _Growing, delta: Members) -> list[Event]:
        growing.signature += as_str(delta.get("signature"))
        return []

    def _citations_delta(self, growing: _Growing, delta: Members) -> list[Event]:
        growing.citations.append(as_dict(delta.get("citation")))
        return []

    def _block_stop(self, frame: Members) -> list[Event]:
        growing = self._open.pop(count(frame.get("index")), None)
        return [] if growing is None else self._close(growing)

    def _close(self, growing: _Growing) -> list[Event]:
        number, part = growing.number, growing.part
        if isinstance(part, OpaquePart):
            return [BlockEnded(number, part=opaque(_whole(growing)))]
        if isinstance(part, ReasoningPart):
            return [BlockEnded(number, signature=self._signature(growing))]
        events: list[Event] = []
        if text := self._last_text(growing):
            events.append(BlockDelta(number, text))
        events += [BlockDelta(number, annotation=a) for a in annotations_of(growing.citations, growing.text)]
        native = (NAME, {"citations": growing.citations}) if growing.citations else None
        return [*events, BlockEnded(number, native=native)]

    def _signature(self, growing: _Growing) -> Any:
        given = growing.signature or as_str(growing.start.get("signature"))
        if growing.start.get("type") == "redacted_thinking":
            return self._reader.sign(as_str(growing.start.get("data")))
        return self._reader.thinking(growing.text, given).signature

    def _last_text(self, growing: _Growing) -> str:
        """What is still to be said of a block: held text, or input that came with the start."""
        if growing.start.get("type") != "tool_use" or (growing.text and not growing.held):
            return ""
        arguments = growing.text or json_text(as_dict(growing.start.get("input")))
        name = as_str(growing.start.get("name"))
        made = call_part("", name, arguments, self._reader.customs)
        return made.arguments if isinstance(made, ToolCallPart) else arguments

    def _message_delta(self, frame: Members) -> list[Event]:
        self._count(frame.get("usage"))
        further = {name: value for name, value in frame.items() if name not in _FRAME_MEMBERS}
        told = {**as_dict(frame.get("delta")), **further}
        self._late.update(present(told))
        return []

    def _message_stop(self, frame: Members) -> list[Event]:
        self._over = True
        events = [event for growing in self._open.values() for event in self._close(growing)]
        finish = finish_of(self._late, self._parts)
        for part in refused(finish):
            events += [BlockStarted(self._blocks, self._item + 1, replace(part, text=""))]
            events += [BlockDelta(self._blocks, part.text), BlockEnded(self._blocks)]
        usage = decode_usage(self._usage)
        return [*events, Finished(finish), Ended(usage, native_of(self._late), tier_of(self._usage))]

    def _count(self, usage: Any) -> None:
        """Merge a usage: the wire repeats counts cumulatively, so the larger one holds."""
        _merge_counts(self._usage, as_dict(usage))


_FRAME_MEMBERS: Final = frozenset({"type", "delta", "usage"})

_TAKERS: Final[Mapping[str, Callable[[MessagesDecoder, Members], list[Event]]]] = {
    "message_start": MessagesDecoder._message_start,
    "content_block_start": MessagesDecoder._block_start,
    "content_block_delta": MessagesDecoder._block_delta,
    "content_block_stop": MessagesDecoder._block_stop,
    "message_delta": MessagesDecoder._message_delta,
    "message_stop": MessagesDecoder._message_stop,
    "error": MessagesDecoder._error,
}

_DELTAS: Final[Mapping[str, Callable[[MessagesDecoder, _Growing, Members], list[Event]]]] = {
    "text_delta": MessagesDecoder._text_delta,
    "thinking_delta": MessagesDecoder._thinking_delta,
    "input_json_delta": MessagesDecoder._input_delta,
    "compaction_delta": MessagesDecoder._compaction_delta,
    "signature_delta": MessagesDecoder._signature_delta,
    "citations_delta": MessagesDecoder._citations_delta,
}


def _opening(reader: BlockReader, start: Members) -> Part:
    """Return the empty part that a started block will fill."""
    kind = start.get("type")
    if kind == "text" or reader.stands_for_text(start):
        return TextPart("")
    if kind == "thinking":
        return ReasoningPart("")
    if kind == "redacted_thinking":
        return ReasoningPart("", "hidden")
    if kind == "tool_use":
        part = reader.part({**start, "input": {}})
        return (
            ToolCallPart(part.id, part.name, "", part.kind, native=part.native)
            if isinstance(part, ToolCallPart)
            else part
        )
    return opaque(start)


def _whole(growing: _Growing) -> Members:
    """Return an opaque block with what its deltas brought."""
    block = dict(growing.start)
    if not growing.text:
        return block
    if block.get("type") == "compaction":
        block["content"] = growing.text
        return block
    block["input"] = parsed(growing.text, growing.text)
    return block


def _merge_counts(into: Members, usage: Members) -> None:
    for name, value in usage.items():
        known = into.get(name)
        if isinstance(value, dict) and isinstance(known, dict):
            _merge_counts(known, value)
        elif _is_number(known) and _is_number(value):
            into[name] = max(known, value)
        elif value is not None:
            into[name] = dict(value) if isinstance(value, dict) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
