"""The event stream of Messages to canonical events (client half).

Content blocks map one to one to canonical blocks. Hosted tools' blocks are opaque and
grow outside the canonical stream; they are handed on whole when they end. Source:
contract/providers.md 3.4 and the recorded streams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
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
    refusal_of,
    tier_of,
)
from app.dialects.shared.blocks import OpenBlock, OpenBlocks
from app.dialects.shared.decoder_parts import TerminalDecoder, call_part
from app.dialects.shared.failures import status_of_code
from app.dialects.shared.lenient_json import (
    as_dict,
    as_str,
    count,
    dicts,
    json_text,
    label,
    opt_str,
    parse,
    without_nulls,
)

Members = dict[str, Any]


class MessagesDecoder(TerminalDecoder):
    """Frames of a Messages stream to events."""

    def __init__(self, context: ClientContext) -> None:
        super().__init__()
        self._reader: BlockReader = reader_of(context)
        self._blocks = OpenBlocks()
        self._usage: Members = {}
        self._late: Members = {}

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Take one frame. Unknown events are ignored, as the wire's own rules ask."""
        frame = as_dict(data)
        taker = _TAKERS.get(as_str(frame.get("type")) or as_str(event))
        if taker is None or self._over:
            return []
        return taker(self, frame)

    def _usage_so_far(self) -> Usage | None:
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
        block = self._blocks.open(count(frame.get("index")), part, start)
        block.extras = dicts(start.get("citations"))
        first = as_str(start.get("text")) or as_str(start.get("thinking"))
        deltas = [] if isinstance(part, OpaquePart) else block.grow(first)
        return [*events, block.start_event(), *deltas]

    def _block_delta(self, frame: Members) -> list[Event]:
        block = self._blocks.get(count(frame.get("index")))
        delta = as_dict(frame.get("delta"))
        grow = _DELTAS.get(as_str(delta.get("type")))
        return [] if block is None or grow is None else grow(block, delta)

    def _block_stop(self, frame: Members) -> list[Event]:
        block = self._blocks.take(count(frame.get("index")))
        return [] if block is None else self._close(block)

    def _close(self, block: OpenBlock) -> list[Event]:
        number, part = block.number, block.part
        if isinstance(part, OpaquePart):
            return [BlockEnded(number, part=opaque(_finished_block(block)))]
        if isinstance(part, ReasoningPart):
            return [BlockEnded(number, signature=self._signature(block))]
        whole = block.text
        events: list[Event] = []
        if text := self._last_text(block, whole):
            events.append(BlockDelta(number, text))
        events += [BlockDelta(number, annotation=a) for a in annotations_of(block.extras, whole)]
        native = (NAME, {"citations": block.extras}) if block.extras else None
        return [*events, BlockEnded(number, native=native)]

    def _signature(self, block: OpenBlock) -> Any:
        signature = block.signature or as_str(block.start.get("signature"))
        if block.start.get("type") == "redacted_thinking":
            return self._reader.sign(as_str(block.start.get("data")))
        return self._reader.thinking(block.text, signature).signature

    def _last_text(self, block: OpenBlock, whole: str) -> str:
        """What is still to be said of a block: held text, or input that came with the start."""
        if block.start.get("type") != "tool_use" or (whole and not block.is_buffered):
            return ""
        arguments = whole or json_text(as_dict(block.start.get("input")))
        name = as_str(block.start.get("name"))
        made = call_part("", name, arguments, self._reader.customs)
        return made.arguments if isinstance(made, ToolCallPart) else arguments

    def _message_delta(self, frame: Members) -> list[Event]:
        self._count(frame.get("usage"))
        further = {name: value for name, value in frame.items() if name not in _FRAME_MEMBERS}
        delta = {**as_dict(frame.get("delta")), **further}
        self._late.update(without_nulls(delta))
        return []

    def _message_stop(self, frame: Members) -> list[Event]:
        self._over = True
        events = [event for block in self._blocks.take_all() for event in self._close(block)]
        finish = finish_of(self._late, self._blocks.parts)
        for number, part in enumerate(refusal_of(finish), len(self._blocks.parts)):
            events += [BlockStarted(number, self._blocks.item + 1, replace(part, text=""))]
            events += [BlockDelta(number, part.text), BlockEnded(number)]
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


def _grows_by(member: str) -> Callable[[OpenBlock, Members], list[Event]]:
    return lambda block, delta: block.grow(as_str(delta.get(member)))


def _add_signature(block: OpenBlock, delta: Members) -> list[Event]:
    block.signatures.append(as_str(delta.get("signature")))
    return []


def _add_citation(block: OpenBlock, delta: Members) -> list[Event]:
    block.extras.append(as_dict(delta.get("citation")))
    return []


_DELTAS: Final[Mapping[str, Callable[[OpenBlock, Members], list[Event]]]] = {
    "text_delta": _grows_by("text"),
    "thinking_delta": _grows_by("thinking"),
    "input_json_delta": _grows_by("partial_json"),
    "compaction_delta": _grows_by("content"),
    "signature_delta": _add_signature,
    "citations_delta": _add_citation,
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


def _finished_block(block: OpenBlock) -> Members:
    """Return an opaque block with what its deltas brought."""
    members, text = dict(block.start), block.text
    if not text:
        return members
    if members.get("type") == "compaction":
        return {**members, "content": text}
    return {**members, "input": parse(text, text)}


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
