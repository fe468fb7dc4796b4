"""Decode the event stream of Messages (client half).

Each content block is a canonical block. Blocks of hosted tools are opaque: their deltas are
collected and the complete block comes with its end. Sources: Anthropic's documentation of
streaming, recorded traffic.
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
from app.canonical.request import OpaquePart, Part, ReasoningPart, Signature, TextPart, ToolCallPart
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
    JSON,
    as_dict,
    as_str,
    count,
    dicts,
    json_text,
    label,
    opt_str,
    parse,
    rest,
    without_nulls,
)
from app.dialects.shared.repeats import Grow, Repeats
from app.dialects.shared.tool_forms import ANSWER_TOOL


class MessagesDecoder(TerminalDecoder):
    """Decode the frames of one stream."""

    def __init__(self, context: ClientContext) -> None:
        super().__init__()
        self._losses = context.losses
        self._reader: BlockReader = reader_of(context)
        self._blocks = OpenBlocks()
        self._usage: JSON = {}
        self._counts_output = False
        self._late: JSON = {}
        self.repeats = Repeats(*(("delta", member) for member in ("text", "thinking", "partial_json")))

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Take one frame. Unknown events do no harm, as Anthropic's documentation of streaming requires."""
        frame = as_dict(data)
        if (delta := self.repeats.delta_of(frame)) is not None:
            return [delta]
        kind = as_str(frame.get("type")) or as_str(event)
        events = [] if self._over else _METHODS.get(kind, MessagesDecoder._unknown)(self, frame)
        self.repeats.learn(frame, events, self._grow_of(frame))
        return events

    def _grow_of(self, frame: JSON) -> Grow | None:
        if frame.get("type") != "content_block_delta":
            return None
        block = self._blocks.get(count(frame.get("index")))
        return None if block is None else block.pieces.append

    def _usage_so_far(self) -> Usage | None:
        """Return the usage; the output tokens of a ``message_start`` are those before the answer."""
        usage = decode_usage(self._usage)
        if usage is None or self._counts_output or "output" in usage.missing:
            return usage
        return replace(usage, missing=(*usage.missing, "output"))

    def _error(self, frame: JSON) -> list[Event]:
        kind = label(as_dict(frame.get("error")).get("type"))
        return self._fail(decode_error(status_of_code(kind), frame, {}))

    def _message_start(self, frame: JSON) -> list[Event]:
        message = as_dict(frame.get("message"))
        _merge_counts(self._usage, as_dict(message.get("usage")))
        tier, native = tier_of(message.get("usage")), native_of(message)
        event = Started(opt_str(message.get("id")), opt_str(message.get("model")), None, tier, native)
        return [event] if self._begins() else []

    def _block_start(self, frame: JSON) -> list[Event]:
        start = as_dict(frame.get("content_block"))
        part = _empty_part(self._reader, start)
        events: list[Event] = [Started()] if self._begins() else []
        events += self._block_stop(frame)  # a start with the index of an open block ends that block
        block = self._blocks.open(count(frame.get("index")), part, start)
        block.extras = dicts(start.get("citations"))
        text = as_str(start.get("text")) or as_str(start.get("thinking"))
        return [*events, block.start_event(), *([] if isinstance(part, OpaquePart) else block.grow(text))]

    def _block_delta(self, frame: JSON) -> list[Event]:
        block = self._blocks.get(count(frame.get("index")))
        delta = as_dict(frame.get("delta"))
        kind = as_str(delta.get("type"))
        grow = _DELTAS.get(kind)
        if block is not None and grow is not None:
            return grow(block, delta)
        self._losses.report_answer(f"a piece of a block, '{kind}'")
        return []

    def _unknown(self, frame: JSON) -> list[Event]:
        self._losses.report_answer(f"an event of type '{as_str(frame.get('type'))}'")
        return []

    def _block_stop(self, frame: JSON) -> list[Event]:
        block = self._blocks.take(count(frame.get("index")))
        return [] if block is None else self._close(block)

    def _close(self, block: OpenBlock) -> list[Event]:
        number, part = block.number, block.part
        if isinstance(part, OpaquePart):
            return [BlockEnded(number, part=opaque(_complete_block(block)))]
        if isinstance(part, ReasoningPart):
            return [BlockEnded(number, signature=self._signature(block))]
        text = block.text
        last = self._last_text(block, text)
        events: list[Event] = [BlockDelta(number, last)] if last else []
        events += [BlockDelta(number, annotation=note) for note in annotations_of(block.extras, text)]
        native = (NAME, {"citations": block.extras}) if block.extras else None
        return [*events, BlockEnded(number, native=native)]

    def _signature(self, block: OpenBlock) -> Signature | None:
        signature = block.signature or as_str(block.start.get("signature"))
        if block.start.get("type") == "redacted_thinking":
            return self._reader.sign(as_str(block.start.get("data")))
        return self._reader.thinking(block.text, signature).signature

    def _last_text(self, block: OpenBlock, text: str) -> str:
        """Return the input of a call that no delta had: a free-text tool's, or that of the block's start."""
        if block.start.get("type") != "tool_use" or (text and not block.is_buffered):
            return ""
        arguments = text or json_text(as_dict(block.start.get("input")))
        call = call_part("", as_str(block.start.get("name")), arguments, self._reader.customs)
        return call.arguments if isinstance(call, ToolCallPart) else arguments

    def _message_delta(self, frame: JSON) -> list[Event]:
        usage = as_dict(frame.get("usage"))
        self._counts_output = self._counts_output or count(usage.get("output_tokens")) is not None
        _merge_counts(self._usage, usage)
        self._late.update(without_nulls({**as_dict(frame.get("delta")), **rest(frame, _FRAME_MEMBERS)}))
        return []

    def _message_stop(self, frame: JSON) -> list[Event]:
        self._over = True
        events = [event for block in self._blocks.take_all() for event in self._close(block)]
        finish = finish_of(self._late, self._blocks.parts)
        for number, part in enumerate(refusal_of(finish), len(self._blocks.parts)):
            start = BlockStarted(number, self._blocks.item + 1, replace(part, text=""))
            events += [start, BlockDelta(number, part.text), BlockEnded(number)]
        usage = self._usage_so_far()
        return [*events, Finished(finish), Ended(usage, native_of(self._late), tier_of(self._usage))]


_FRAME_MEMBERS: Final = frozenset({"type", "delta", "usage"})

_METHODS: Final[Mapping[str, Callable[[MessagesDecoder, JSON], list[Event]]]] = {
    "message_start": MessagesDecoder._message_start,
    "content_block_start": MessagesDecoder._block_start,
    "content_block_delta": MessagesDecoder._block_delta,
    "content_block_stop": MessagesDecoder._block_stop,
    "message_delta": MessagesDecoder._message_delta,
    "message_stop": MessagesDecoder._message_stop,
    "error": MessagesDecoder._error,
    "ping": lambda decoder, frame: [],
}


def _text_delta(member: str) -> Callable[[OpenBlock, JSON], list[Event]]:
    return lambda block, delta: block.grow(as_str(delta.get(member)))


def _add_signature(block: OpenBlock, delta: JSON) -> list[Event]:
    block.signatures.append(as_str(delta.get("signature")))
    return []


def _add_citation(block: OpenBlock, delta: JSON) -> list[Event]:
    block.extras.append(as_dict(delta.get("citation")))
    return []


_DELTAS: Final[Mapping[str, Callable[[OpenBlock, JSON], list[Event]]]] = {
    "text_delta": _text_delta("text"),
    "thinking_delta": _text_delta("thinking"),
    "input_json_delta": _text_delta("partial_json"),
    "compaction_delta": _text_delta("content"),
    "signature_delta": _add_signature,
    "citations_delta": _add_citation,
}


def _empty_part(reader: BlockReader, start: JSON) -> Part:
    """Return the part of a block at its start, without text."""
    kind = start.get("type")
    if kind == "text" or (kind == "tool_use" and start.get("name") == ANSWER_TOOL):
        return TextPart("")
    if kind in ("thinking", "redacted_thinking"):
        return ReasoningPart("", "text" if kind == "thinking" else "hidden")
    if kind != "tool_use":
        return opaque(start)
    part = reader.part({**start, "input": {}})
    return replace(part, arguments="") if isinstance(part, ToolCallPart) else part


def _complete_block(block: OpenBlock) -> JSON:
    """Return an opaque block with the content of its deltas."""
    members, text = dict(block.start), block.text
    if not text:
        return members
    if members.get("type") == "compaction":
        return {**members, "content": text}
    return {**members, "input": parse(text, text)}


def _merge_counts(into: JSON, usage: JSON) -> None:
    """Merge the counts of a frame: they are cumulative, so the larger one is kept."""
    for name, value in usage.items():
        before = into.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            _merge_counts(before, value)
        elif _is_number(before) and _is_number(value):
            into[name] = max(before, value)
        elif value is not None:
            into[name] = dict(value) if isinstance(value, dict) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
