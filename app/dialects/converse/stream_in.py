"""Decode the messages of ConverseStream (client half).

The gateway decodes the AWS event stream before; a frame's event is ``:event-type``, or
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
    FINISHES,
    annotation_of,
    decode_usage,
    exception_error,
    opaque,
    reader_of,
    tier_of,
)
from app.dialects.shared.blocks import OpenBlock, OpenBlocks
from app.dialects.shared.decoder_parts import TerminalDecoder, finish_of
from app.dialects.shared.lenient_json import (
    JSON,
    as_dict,
    as_list,
    as_str,
    count,
    dicts,
    encode_base64,
    parse,
    rest,
    without_nulls,
)
from app.dialects.shared.members import native_rest
from app.dialects.shared.tool_forms import ANSWER_TOOL

_EXCEPTION: Final = "exception:"
_METADATA: Final = frozenset({"usage", "serviceTier", "p"})
_STOP: Final = frozenset({"stopReason", "p"})


class ConverseDecoder(TerminalDecoder):
    """Decode the messages of one stream. Usage may come in ``metadata`` before or after ``messageStop``."""

    def __init__(self, context: ClientContext) -> None:
        super().__init__()
        self._losses = context.losses
        self._reader = reader_of(context)
        self._new_id = context.new_id
        self._blocks = OpenBlocks()
        self._finished = False
        self._metadata: JSON = {}

    def feed(self, event: str | None, data: Any) -> list[Event]:
        """Take one message. Unknown events are reported; content that comes after the stop is ignored."""
        name = event or ""
        if self._over:
            return []
        if name.startswith(_EXCEPTION):
            return self._fail(exception_error(name[len(_EXCEPTION) :], data))
        method = _METHODS.get(name)
        if method is None:
            self._losses.report_answer(f"an event of type '{name}'")
        if method is None or self._finished and name != "metadata":
            return []
        return method(self, as_dict(data))

    def eof(self) -> list[Event]:
        """Take the end of the body: after ``messageStop`` the response is complete, without usage."""
        return self._take_metadata({}) if self._finished and not self._over else super().eof()

    def _message_start(self, data: JSON) -> list[Event]:
        return [Started(self._new_id("msg"))] if self._begins() else []

    def _block_start(self, data: JSON) -> list[Event]:
        start = without_nulls(as_dict(data.get("start")))
        events = self._block_stop(data)  # a start with the index of an open block ends that block
        if start.keys() <= _BEGUN_BY_DELTAS:
            return events
        return [*events, *self._open(count(data.get("contentBlockIndex")), self._empty_part(start), start)]

    def _empty_part(self, start: JSON) -> Part:
        if "image" in start:
            return ImagePart()
        call = as_dict(start.get("toolUse"))
        if not call:
            return opaque(start)
        if call.get("name") == ANSWER_TOOL and call.get("type") != "server_tool_use":
            return TextPart("")
        part = self._reader.part(start)
        return ToolCallPart(part.id, part.name, "", part.kind) if isinstance(part, ToolCallPart) else part

    def _open(self, index: Any, part: Part, start: JSON) -> list[Event]:
        """Open a block; an image starts and ends with all its data at its end."""
        block = self._blocks.open(index, part, start)
        events = [] if isinstance(part, ImagePart) else [block.start_event()]
        return [*self._message_start({}), *events]

    def _block_delta(self, data: JSON) -> list[Event]:
        index, delta = count(data.get("contentBlockIndex")), without_nulls(as_dict(data.get("delta")))
        events: list[Event] = []
        for kind, value in delta.items():
            grow = _DELTAS.get(kind)
            if grow is None:
                self._losses.report_answer(f"a piece of a block, '{kind}'")
                continue
            block = self._blocks.get(index)
            if block is None:
                events += self._open(index, _FIRST_PARTS[kind](value), {})
                block = self._blocks.get(index)
            events += grow(block, value) if block is not None else []
        return events

    def _image(self, block: OpenBlock) -> list[Event]:
        """Return an image; each of its deltas has its bytes in base64 of their own."""
        image = {**as_dict(block.start.get("image")), "source": _join_source(block.extras)}
        part = self._reader.part({"image": image})
        return [BlockStarted(block.number, block.item, part), BlockEnded(block.number)]

    def _block_stop(self, data: JSON) -> list[Event]:
        block = self._blocks.take(count(data.get("contentBlockIndex")))
        return [] if block is None else self._close(block)

    def _close(self, block: OpenBlock) -> list[Event]:
        number, part, text = block.number, block.part, block.text
        if isinstance(part, ImagePart):
            return self._image(block)
        if isinstance(part, OpaquePart):
            return [BlockEnded(number, part=OpaquePart(part.type, (NAME, _complete_block(block))))]
        if isinstance(part, ReasoningPart):
            thought = self._reader.reasoning(text, block.signature, "".join(block.redacted))
            return [BlockEnded(number, signature=thought.signature)]
        events: list[Event] = []
        if isinstance(part, ToolCallPart) and (block.is_buffered or not text):
            call = self._reader.tool_call(part.id, part.name, text or "{}")
            events.append(BlockDelta(number, call.arguments if isinstance(call, ToolCallPart) else ""))
        notes = (annotation_of(citation, text) for citation in block.extras)
        events += [BlockDelta(number, annotation=note) for note in notes if note is not None]
        native = (NAME, {"citations": block.extras}) if block.extras else None
        return [*events, BlockEnded(number, native=native)]

    def _message_stop(self, data: JSON) -> list[Event]:
        self._finished = True
        events = [event for block in self._blocks.take_all() for event in self._close(block)]
        self._metadata.update(without_nulls(rest(data, _STOP)))
        finish = finish_of(data.get("stopReason"), FINISHES, self._blocks.parts)
        return [*self._message_start({}), *events, Finished(finish)]

    def _take_metadata(self, data: JSON) -> list[Event]:
        """Take usage, service tier and metrics; they end the stream if it has finished."""
        self._metadata.update(data)
        self._over = self._finished
        if not self._over:
            return []
        usage = decode_usage(self._metadata.get("usage"))
        return [Ended(usage, native_rest(NAME, self._metadata, _METADATA), tier_of(self._metadata))]


_METHODS: Final[Mapping[str, Callable[[ConverseDecoder, JSON], list[Event]]]] = {
    "messageStart": ConverseDecoder._message_start,
    "contentBlockStart": ConverseDecoder._block_start,
    "contentBlockDelta": ConverseDecoder._block_delta,
    "contentBlockStop": ConverseDecoder._block_stop,
    "messageStop": ConverseDecoder._message_stop,
    "metadata": ConverseDecoder._take_metadata,
}


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
    "text": lambda block, value: block.grow(as_str(value)),
    "toolUse": lambda block, value: block.grow(as_str(as_dict(value).get("input"))),
    "reasoningContent": _add_thought,
    "citation": _add_citation,
    "toolResult": _add_result,
    "image": _add_picture,
}


def _join_source(pieces: list[JSON]) -> JSON:
    """Return the source of an image from those of its deltas."""
    texts = [as_str(piece.get("bytes")) for piece in pieces if piece.get("bytes")]
    if len(texts) < 2:
        return next((piece for piece in pieces if piece), {})
    try:
        return {"bytes": encode_base64(b"".join(base64.b64decode(text) for text in texts))}
    except ValueError:
        return {}


_BEGUN_BY_DELTAS: Final = frozenset({"text", "reasoningContent", "citation"})
"""Kinds of blocks that begin with their first delta: a start, which most models leave out, may be empty."""

_FIRST_PARTS: Final[Mapping[str, Callable[[Any], Part]]] = {
    "reasoningContent": lambda value: ReasoningPart(
        "", "hidden" if as_dict(value).get("redactedContent") else "text"
    ),
    "image": lambda value: ImagePart(),
    "text": lambda value: TextPart(""),
    "citation": lambda value: TextPart(""),
    "toolUse": lambda value: opaque({"toolUse": {}}),
    "toolResult": lambda value: opaque({"toolResult": {}}),
}
"""The empty part of a block that begins with a delta, by the kind of the delta."""


def _complete_block(block: OpenBlock) -> JSON:
    """Return an opaque block with the content of its deltas."""
    kind = next(iter(block.start), None)
    if kind is None:
        return {}
    members = dict(as_dict(block.start[kind]))
    if kind == "toolUse":
        members["input"] = parse(block.text or "{}", block.text)
    elif kind == "toolResult":
        members["content"] = dicts(block.extras)
    return {kind: members}
