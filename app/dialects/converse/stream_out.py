"""Encode canonical events as ConverseStream's messages (server half).

A frame's event is ``:event-type``; one that begins with ``exception:`` is an exception
message. ``app/wire/eventstream.py`` encodes both. Texts and thoughts have no start event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.events import (
    BlockDelta,
    BlockEnded,
    Ended,
    Failed,
    Started,
)
from app.canonical.request import (
    ImagePart,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
)
from app.dialects.base import Frame, ServerContext
from app.dialects.converse.options import NAME
from app.dialects.converse.response_out import (
    citations_of,
    encode_part,
    encode_usage,
    exception_of,
    reasoning_content,
    stop_word,
    tier_members,
)
from app.dialects.shared.block_encoder import BlockEncoder, StreamBlock
from app.dialects.shared.lenient_json import JSON, as_dict, as_list, json_text, rest
from app.dialects.shared.members import own_members


class ConverseEncoder(BlockEncoder):
    """Encode the events of one response."""

    def __init__(self, request: Request, context: ServerContext) -> None:
        super().__init__(request, context)
        self._native: JSON = {}
        self._tier: str | None = None

    def _started(self, event: Started) -> list[Frame]:
        self._native, self._tier = dict(own_members(event.native, NAME)), event.service_tier
        return [Frame("messageStart", {"role": "assistant"})]

    def _open(self, block: StreamBlock) -> list[Frame]:
        part = block.part
        if not isinstance(part, ToolCallPart):
            return []
        return [self._block_start(block, {"toolUse": {"toolUseId": part.id, "name": part.name}})]

    def _grow(self, block: StreamBlock, event: BlockDelta) -> list[Frame]:
        delta = _DELTAS.get(type(block.part))
        if delta is None or not event.text:
            return []
        return [self._delta(block, delta(event.text))]

    def _close(self, block: StreamBlock, event: BlockEnded) -> list[Frame]:
        closer = _CLOSERS.get(type(block.part))
        frames = closer(self, block, event) if closer is not None else []
        if block.index is None:
            return frames
        return [*frames, Frame("contentBlockStop", {"contentBlockIndex": block.index})]

    def _close_text(self, block: StreamBlock, event: BlockEnded) -> list[Frame]:
        citations = block.citations(event, NAME, citations_of)
        return [self._delta(block, {"citation": citation}) for citation in citations]

    def _close_reasoning(self, block: StreamBlock, event: BlockEnded) -> list[Frame]:
        part = block.part
        if not isinstance(part, ReasoningPart):
            return []
        content = reasoning_content(replace(part, signature=event.signature or part.signature), self._context)
        if content is not None and "reasoningText" in content:
            signature = content["reasoningText"].get("signature")
            content = {"signature": signature} if signature else None
        return [self._delta(block, {"reasoningContent": content})] if content else []

    def _close_whole(self, block: StreamBlock, event: BlockEnded) -> list[Frame]:
        """Return the frames of a block that is sent at its end: an image, or one that only Converse knows."""
        frames: list[Frame] = []
        for members in encode_part(event.part or block.part, self._context):
            kind, value = next(iter(members.items()))
            start, delta = _WHOLE_BLOCKS.get(kind, _unknown)(as_dict(value))
            frames.append(self._block_start(block, {kind: start}))
            if delta:
                frames.append(self._delta(block, {kind: delta}))
        return frames

    def _block_start(self, block: StreamBlock, start: JSON) -> Frame:
        return Frame("contentBlockStart", {"start": start, "contentBlockIndex": self._number(block)})

    def _delta(self, block: StreamBlock, delta: JSON) -> Frame:
        return Frame("contentBlockDelta", {"contentBlockIndex": self._number(block), "delta": delta})

    def _ended(self, event: Ended) -> list[Frame]:
        native = {"metrics": {"latencyMs": 0}, **self._native, **own_members(event.native, NAME)}
        fields = native.pop("additionalModelResponseFields", None)
        stop: JSON = {"stopReason": stop_word(self._finish, refused=self._refused)}
        if fields is not None:
            stop["additionalModelResponseFields"] = fields
        tier = tier_members(event.service_tier or self._tier)
        metadata = {**native, "usage": encode_usage(event.usage), **tier}
        return [Frame("messageStop", stop), Frame("metadata", metadata)]

    def _failed(self, event: Failed) -> list[Frame]:
        name, body = exception_of(event.error)
        return [Frame(f"exception:{name}", body)]


_DELTAS: Final[Mapping[type, Callable[[str], JSON]]] = {
    TextPart: lambda text: {"text": text},
    RefusalPart: lambda text: {"text": text},
    ReasoningPart: lambda text: {"reasoningContent": {"text": text}},
    ToolCallPart: lambda text: {"toolUse": {"input": text}},
}

_CLOSERS: Final[Mapping[type, Callable[[ConverseEncoder, StreamBlock, BlockEnded], list[Frame]]]] = {
    TextPart: ConverseEncoder._close_text,
    ReasoningPart: ConverseEncoder._close_reasoning,
    ImagePart: ConverseEncoder._close_whole,
    OpaquePart: ConverseEncoder._close_whole,
}


# start and delta of a block that is sent at its end


def _server_call(value: JSON) -> tuple[JSON, Any]:
    arguments = value.get("input")
    text = arguments if isinstance(arguments, str) else json_text(arguments or {})
    return rest(value, frozenset({"input"})), {"input": text}


def _unknown(value: JSON) -> tuple[JSON, Any]:
    return value, None


_WHOLE_BLOCKS: Final[Mapping[str, Callable[[JSON], tuple[JSON, Any]]]] = {
    "image": lambda value: ({"format": value.get("format")}, {"source": value.get("source")}),
    "toolUse": _server_call,
    "toolResult": lambda value: (rest(value, frozenset({"content"})), as_list(value.get("content"))),
}
