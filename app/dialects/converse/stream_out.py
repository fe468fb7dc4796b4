"""Canonical events to ConverseStream's messages (server half).

A frame's event is ``:event-type``; one that begins with ``exception:`` is an exception
message. ``app/wire/eventstream.py`` writes both. Texts and thoughts have no start event.
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
    Failed,
    Finished,
    Started,
)
from app.canonical.request import (
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Finish
from app.dialects.base import Frame, ServerContext
from app.dialects.converse.response_out import (
    citation_of,
    encode_part,
    encode_usage,
    exception_of,
    own_members,
    reasoning_content,
    stop_word,
    tier_members,
)
from app.dialects.shared.block_sequence import CallSequence
from app.dialects.shared.lenient_json import as_dict, as_list, dicts, json_text

Members = dict[str, Any]


@dataclass(slots=True)
class _Block:
    """The open block: its number on the wire (None: nothing of it went out yet)."""

    part: Part
    index: int | None = None
    pieces: list[str] = field(default_factory=list)
    notes: list[Mapping[str, Any]] = field(default_factory=list)


class ConverseEncoder:
    """Events of one answer to messages."""

    def __init__(self, request: Request, context: ServerContext) -> None:
        self._context = context
        self._sequence = CallSequence()
        self._blocks: dict[int, _Block] = {}
        self._count = 0
        self._refused = False
        self._finish: Finish | None = None
        self._native: Members = {}
        self._tier: str | None = None

    def feed(self, event: Event) -> list[Frame]:
        """Return the messages that the event makes."""
        return [frame for one in self._sequence.feed(event) for frame in _TAKERS[type(one)](self, one)]

    def _start(self, event: Started) -> list[Frame]:
        self._native, self._tier = dict(own_members(event.native)), event.service_tier
        return [Frame("messageStart", {"role": "assistant"})]

    def _block_started(self, event: BlockStarted) -> list[Frame]:
        block = self._blocks[event.block] = _Block(event.part)
        self._refused = self._refused or isinstance(event.part, RefusalPart)
        if not isinstance(event.part, ToolCallPart):
            return []
        start = {"toolUse": {"toolUseId": event.part.id, "name": event.part.name}}
        return [self._opening(block, start)]

    def _block_delta(self, event: BlockDelta) -> list[Frame]:
        block = self._blocks[event.block]
        if event.annotation is not None:
            block.notes.append(event.annotation)
        delta = _DELTAS.get(type(block.part))
        if delta is None or not event.text:
            return []
        if isinstance(block.part, TextPart):
            block.pieces.append(event.text)
        return [self._delta(block, delta(event.text))]

    def _block_ended(self, event: BlockEnded) -> list[Frame]:
        block = self._blocks.pop(event.block)
        closer = _CLOSERS.get(type(block.part))
        frames = closer(self, block, event) if closer is not None else []
        if block.index is None:
            return frames
        return [*frames, Frame("contentBlockStop", {"contentBlockIndex": block.index})]

    def _close_text(self, block: _Block, event: BlockEnded) -> list[Frame]:
        native = own_members(event.native) or own_members(getattr(block.part, "native", None))
        text = "".join(block.pieces) if block.notes else ""
        citations = dicts(native.get("citations")) or [citation_of(note, text) for note in block.notes]
        return [self._delta(block, {"citation": citation}) for citation in citations]

    def _close_reasoning(self, block: _Block, event: BlockEnded) -> list[Frame]:
        part = block.part
        if not isinstance(part, ReasoningPart):
            return []
        content = reasoning_content(replace(part, signature=event.signature or part.signature), self._context)
        if content is None:
            return []
        if "redactedContent" in content:
            return [self._delta(block, {"reasoningContent": content})]
        signature = content["reasoningText"].get("signature")
        return [self._delta(block, {"reasoningContent": {"signature": signature}})] if signature else []

    def _close_whole(self, block: _Block, event: BlockEnded) -> list[Frame]:
        """Blocks that come whole: an image, and what only this wire knows."""
        frames: list[Frame] = []
        for whole in encode_part(event.part or block.part, self._context):
            kind = next(iter(whole))
            value = as_dict(whole[kind])
            start, delta = _WHOLE_BLOCKS.get(kind, _unknown)(value)
            frames.append(self._opening(block, {kind: start}))
            if delta:
                frames.append(self._delta(block, {kind: delta}))
        return frames

    def _opening(self, block: _Block, start: Members) -> Frame:
        block.index, self._count = self._count, self._count + 1
        return Frame("contentBlockStart", {"start": start, "contentBlockIndex": block.index})

    def _delta(self, block: _Block, delta: Members) -> Frame:
        if block.index is None:
            block.index, self._count = self._count, self._count + 1
        return Frame("contentBlockDelta", {"contentBlockIndex": block.index, "delta": delta})

    def _finished(self, event: Finished) -> list[Frame]:
        self._finish = event.finish
        return []

    def _ended(self, event: Ended) -> list[Frame]:
        native = {"metrics": {"latencyMs": 0}, **self._native, **own_members(event.native)}
        fields = native.pop("additionalModelResponseFields", None)
        stop: Members = {"stopReason": stop_word(self._finish, refused=self._refused)}
        if fields is not None:
            stop["additionalModelResponseFields"] = fields
        tier = tier_members(event.service_tier or self._tier)
        metadata = {**native, "usage": encode_usage(event.usage), **tier}
        return [Frame("messageStop", stop), Frame("metadata", metadata)]

    def _failed(self, event: Failed) -> list[Frame]:
        name, body = exception_of(event.error)
        return [Frame(f"exception:{name}", body)]


_TAKERS: Final[Mapping[type, Callable[[ConverseEncoder, Any], list[Frame]]]] = {
    Started: ConverseEncoder._start,
    BlockStarted: ConverseEncoder._block_started,
    BlockDelta: ConverseEncoder._block_delta,
    BlockEnded: ConverseEncoder._block_ended,
    Finished: ConverseEncoder._finished,
    Ended: ConverseEncoder._ended,
    Failed: ConverseEncoder._failed,
}

_DELTAS: Final[Mapping[type, Callable[[str], Members]]] = {
    TextPart: lambda text: {"text": text},
    RefusalPart: lambda text: {"text": text},
    ReasoningPart: lambda text: {"reasoningContent": {"text": text}},
    ToolCallPart: lambda text: {"toolUse": {"input": text}},
}

_CLOSERS: Final[Mapping[type, Callable[[ConverseEncoder, _Block, BlockEnded], list[Frame]]]] = {
    TextPart: ConverseEncoder._close_text,
    ReasoningPart: ConverseEncoder._close_reasoning,
    ImagePart: ConverseEncoder._close_whole,
    OpaquePart: ConverseEncoder._close_whole,
}


def _image(value: Members) -> tuple[Members, Any]:
    return {"format": value.get("format")}, {"source": value.get("source")}


def _server_call(value: Members) -> tuple[Members, Any]:
    arguments = value.get("input")
    start = {name: item for name, item in value.items() if name != "input"}
    return start, {"input": arguments if isinstance(arguments, str) else json_text(arguments or {})}


def _server_result(value: Members) -> tuple[Members, Any]:
    return {name: item for name, item in value.items() if name != "content"}, as_list(value.get("content"))


def _unknown(value: Members) -> tuple[Members, Any]:
    return value, None


_WHOLE_BLOCKS: Final[Mapping[str, Callable[[Members], tuple[Members, Any]]]] = {
    "image": _image,
    "toolUse": _server_call,
    "toolResult": _server_result,
}
