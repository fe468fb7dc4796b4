"""ConverseStream's messages to canonical events.

The gateway unwraps the AWS event stream; a frame's event is ``:event-type``, or
``exception:`` and the exception's name. Texts and thoughts have no start event: their
first delta opens them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
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
from app.dialects.converse.response_in import (
    annotation_of,
    decode_usage,
    exception_error,
    finish_of,
    native_of,
    opaque,
    reader_of,
    tier_of,
)
from app.dialects.shared.blocks import OpenBlock, OpenBlocks
from app.dialects.shared.decoder_parts import TerminalDecoder
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, count, dicts, parse
from app.dialects.shared.tool_forms import ANSWER_TOOL

Members = dict[str, Any]

_EXCEPTION: Final = "exception:"
_METADATA: Final = frozenset({"usage", "serviceTier", "p"})
_STOP: Final = frozenset({"stopReason", "p"})


class ConverseDecoder(TerminalDecoder):
    """Messages of a ConverseStream to events."""

    def __init__(self, context: ClientContext) -> None:
        super().__init__()
        self._reader = reader_of(context)
        self._new_id = context.new_id
        self._blocks = OpenBlocks()
        self._begun = False
        self._finished = False
        self._metadata: Members = {}

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
        self._metadata.update(metadata)
        return [
            Ended(
                decode_usage(self._metadata.get("usage")),
                native_of(self._metadata, _METADATA),
                tier_of(self._metadata),
            )
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
        return [*again, *self._begin(count(data.get("contentBlockIndex")), part, start)]

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
        block = self._blocks.open(index, part, start)
        opening: list[Event] = self._message_start({})
        if isinstance(part, ImagePart):
            return opening  # comes whole at its end
        return [*opening, block.start_event()]

    def _block_delta(self, data: Members) -> list[Event]:
        index, delta = count(data.get("contentBlockIndex")), as_dict(data.get("delta"))
        events: list[Event] = []
        for kind, value in delta.items():
            grow = _DELTAS.get(kind)
            if grow is None:
                continue
            block = self._blocks.get(index)
            if block is None:
                events += self._begin(index, _first_part(kind, value), {})
                block = self._blocks.get(index)
            events += grow(block, value) if block is not None else []
        return events

    def _image(self, block: OpenBlock) -> list[Event]:
        """A picture, whole: its pieces are bytes, each in base64 of its own."""
        image = {**as_dict(block.start.get("image")), "source": _join_source(block.extras)}
        part = self._reader.part({"image": image})
        return [BlockStarted(block.number, block.item, part), BlockEnded(block.number)]

    def _block_stop(self, data: Members) -> list[Event]:
        block = self._blocks.take(count(data.get("contentBlockIndex")))
        return [] if block is None else self._close(block)

    def _close(self, block: OpenBlock) -> list[Event]:
        number, part, whole = block.number, block.part, block.text
        if isinstance(part, ImagePart):
            return self._image(block)
        if isinstance(part, OpaquePart):
            return [BlockEnded(number, part=OpaquePart(part.type, (NAME, _finished_block(block))))]
        if isinstance(part, ReasoningPart):
            made = self._reader.reasoning(whole, block.signature, "".join(block.redacted))
            return [BlockEnded(number, signature=made.signature)]
        events: list[Event] = []
        if isinstance(part, ToolCallPart) and (block.is_buffered or not whole):
            made_call = self._reader.tool_call(part.id, part.name, whole or "{}")
            text = made_call.arguments if isinstance(made_call, ToolCallPart) else ""
            events.append(BlockDelta(number, text))
        for citation in block.extras:
            if (note := annotation_of(citation, whole)) is not None:
                events.append(BlockDelta(number, annotation=note))
        native = (NAME, {"citations": block.extras}) if block.extras else None
        return [*events, BlockEnded(number, native=native)]

    def _message_stop(self, data: Members) -> list[Event]:
        if self._finished:
            return []
        self._finished = True
        events = [event for block in self._blocks.take_all() for event in self._close(block)]
        native = native_of(data, _STOP)
        self._metadata.update(native[1] if native else {})
        return [
            *self._message_start({}),
            *events,
            Finished(finish_of(data.get("stopReason"), self._blocks.parts)),
        ]

    def _store_metadata(self, data: Members) -> list[Event]:
        if not self._finished:
            self._metadata.update(data)
            return []
        return self._end(data)


_TAKERS: Final[Mapping[str, Callable[[ConverseDecoder, Members], list[Event]]]] = {
    "messageStart": ConverseDecoder._message_start,
    "contentBlockStart": ConverseDecoder._block_start,
    "contentBlockDelta": ConverseDecoder._block_delta,
    "contentBlockStop": ConverseDecoder._block_stop,
    "messageStop": ConverseDecoder._message_stop,
    "metadata": ConverseDecoder._store_metadata,
}


def _add_text(block: OpenBlock, value: Any) -> list[Event]:
    return block.grow(as_str(value))


def _add_input(block: OpenBlock, value: Any) -> list[Event]:
    return block.grow(as_str(as_dict(value).get("input")))


def _add_thought(block: OpenBlock, value: Any) -> list[Event]:
    thought = as_dict(value)
    block.signatures.append(as_str(thought.get("signature")))
    block.redacted.append(as_str(thought.get("redactedContent")))
    return block.grow(as_str(thought.get("text")))


def _add_citation(block: OpenBlock, value: Any) -> list[Event]:
    block.extras.append(as_dict(value))
    return []


def _add_result(block: OpenBlock, value: Any) -> list[Event]:
    block.extras += as_list(value)
    return []


def _add_picture(block: OpenBlock, value: Any) -> list[Event]:
    block.extras.append(as_dict(as_dict(value).get("source")))
    return []


_DELTAS: Final[Mapping[str, Callable[[OpenBlock, Any], list[Event]]]] = {
    "text": _add_text,
    "toolUse": _add_input,
    "reasoningContent": _add_thought,
    "citation": _add_citation,
    "toolResult": _add_result,
    "image": _add_picture,
}


def _join_source(pieces: list[Members]) -> Members:
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


def _finished_block(opened: OpenBlock) -> Members:
    """Return an opaque block with what its deltas brought."""
    kind = next(iter(opened.start), None)
    if kind is None:
        return {}
    block = dict(as_dict(opened.start[kind]))
    if kind == "toolUse":
        text = opened.text
        block["input"] = parse(text or "{}", text)
    elif kind == "toolResult":
        block["content"] = dicts(opened.extras)
    return {kind: block}
