"""Encode canonical events as the event stream of Messages (server half)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from app.canonical.events import (
    BlockDelta,
    BlockEnded,
    Ended,
    Failed,
    Started,
)
from app.canonical.request import OpaquePart, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from app.dialects.base import Frame
from app.dialects.messages.citations import citations_of
from app.dialects.messages.options import NAME
from app.dialects.messages.response import encode_error, encode_part, encode_usage, head, stop_members
from app.dialects.shared.block_encoder import BlockEncoder, StreamBlock
from app.dialects.shared.lenient_json import JSON
from app.dialects.shared.members import own_members

PING: Final = Frame("ping", {"type": "ping"})
"""Keeps a silent stream open; Anthropic's API sends it in place of SSE comments."""


class MessagesEncoder(BlockEncoder):
    """Encode the events of one response."""

    def _started(self, event: Started) -> list[Frame]:
        message = {
            **own_members(event.native, NAME),
            **head(event.id, event.model, self._context),
            "content": [],
            **stop_members(None),
            "usage": encode_usage(None),
        }
        return [_frame({"type": "message_start", "message": message})]

    def _open(self, block: StreamBlock) -> list[Frame]:
        part = block.part
        if isinstance(part, OpaquePart) or (isinstance(part, ReasoningPart) and part.form == "hidden"):
            return []  # it is sent at its end
        start = encode_part(part, self._context)
        if start is None:
            return []
        start.pop("citations", None)  # they follow as deltas
        return [self._block_start(block, start)]

    def _grow(self, block: StreamBlock, event: BlockDelta) -> list[Frame]:
        delta = _DELTAS.get(type(block.part))
        if delta is None or not event.text or block.index is None:
            return []
        kind, member = delta
        return [self._delta(block, {"type": kind, member: event.text})]

    def _close(self, block: StreamBlock, event: BlockEnded) -> list[Frame]:
        closer = _CLOSERS.get(type(block.part))
        frames = closer(self, block, event) if closer is not None else []
        if block.index is None:
            return []
        return [*frames, _frame({"type": "content_block_stop", "index": block.index})]

    def _close_text(self, block: StreamBlock, event: BlockEnded) -> list[Frame]:
        citations = block.citations(event, NAME, citations_of)
        return [self._delta(block, {"type": "citations_delta", "citation": one}) for one in citations]

    def _close_opaque(self, block: StreamBlock, event: BlockEnded) -> list[Frame]:
        members = encode_part(event.part or block.part, self._context)
        return [] if members is None else [self._block_start(block, members)]

    def _close_reasoning(self, block: StreamBlock, event: BlockEnded) -> list[Frame]:
        if event.signature is None or not isinstance(block.part, ReasoningPart):
            return []
        members = encode_part(replace(block.part, signature=event.signature), self._context) or {}
        if block.index is None:
            return [self._block_start(block, members)]
        return [self._delta(block, {"type": "signature_delta", "signature": members.get("signature", "")})]

    def _block_start(self, block: StreamBlock, content: JSON) -> Frame:
        return _frame({"type": "content_block_start", "index": self._number(block), "content_block": content})

    def _delta(self, block: StreamBlock, delta: JSON) -> Frame:
        return _frame({"type": "content_block_delta", "index": block.index, "delta": delta})

    def _ended(self, event: Ended) -> list[Frame]:
        delta = {**own_members(event.native, NAME), **stop_members(self._finish, refused=self._refused)}
        usage = encode_usage(event.usage, event.service_tier)
        return [
            _frame({"type": "message_delta", "delta": delta, "usage": usage}),
            _frame({"type": "message_stop"}),
        ]

    def _failed(self, event: Failed) -> list[Frame]:
        return [_frame(encode_error(event.error))]


_CLOSERS: Final[Mapping[type, Callable[[MessagesEncoder, StreamBlock, BlockEnded], list[Frame]]]] = {
    TextPart: MessagesEncoder._close_text,
    OpaquePart: MessagesEncoder._close_opaque,
    ReasoningPart: MessagesEncoder._close_reasoning,
}

_DELTAS: Final[Mapping[type, tuple[str, str]]] = {
    TextPart: ("text_delta", "text"),
    RefusalPart: ("text_delta", "text"),
    ReasoningPart: ("thinking_delta", "thinking"),
    ToolCallPart: ("input_json_delta", "partial_json"),
}


def _frame(members: JSON) -> Frame:
    return Frame(members["type"], members)
