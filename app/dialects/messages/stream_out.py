"""Canonical events to the event stream of Messages (server half)."""

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
    Native,
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
from app.dialects.messages.citations import citations_of
from app.dialects.messages.options import NAME
from app.dialects.messages.response import encode_error, encode_part, encode_usage, head, stop_members
from app.dialects.shared.block_sequence import CallSequence
from app.dialects.shared.lenient_json import dicts

Members = dict[str, Any]


PING: Final = Frame("ping", {"type": "ping"})
"""What keeps a silent stream open at this door, in place of comments."""


@dataclass(slots=True)
class _Block:
    """The open block: its number on the wire (None: nothing of it went out yet)."""

    part: Part
    index: int | None = None
    pieces: list[str] = field(default_factory=list)
    notes: list[Mapping[str, Any]] = field(default_factory=list)


class MessagesEncoder:
    """Events of one answer to frames. Blocks go out one after another, because this wire
    knows no overlap that its clients could read."""

    def __init__(self, request: Request, context: ServerContext) -> None:
        self._context = context
        self._sequence = CallSequence()
        self._blocks: dict[int, _Block] = {}
        self._count = 0
        self._refused = False
        self._finish: Finish | None = None

    def feed(self, event: Event) -> list[Frame]:
        """Return the frames that the event makes."""
        return [frame for one in self._sequence.feed(event) for frame in _TAKERS[type(one)](self, one)]

    def _start(self, event: Started) -> list[Frame]:
        message = {
            **_own_members(event.native),
            **head(event.id, event.model, self._context),
            "content": [],
            **stop_members(None),
            "usage": encode_usage(None),
        }
        return [_frame({"type": "message_start", "message": message})]

    def _block_started(self, event: BlockStarted) -> list[Frame]:
        part = event.part
        block = self._blocks[event.block] = _Block(part)
        self._refused = self._refused or isinstance(part, RefusalPart)
        if isinstance(part, OpaquePart) or (isinstance(part, ReasoningPart) and part.form == "hidden"):
            return []  # comes whole at its end
        opening = encode_part(part, self._context)
        if opening is None:
            return []
        opening.pop("citations", None)  # they follow as deltas
        return [self._open(block, opening)]

    def _block_delta(self, event: BlockDelta) -> list[Frame]:
        block = self._blocks[event.block]
        if event.annotation is not None:
            block.notes.append(event.annotation)
        delta = _DELTAS.get(type(block.part))
        if delta is None or not event.text or block.index is None:
            return []
        if isinstance(block.part, TextPart):
            block.pieces.append(event.text)
        kind, member = delta
        return [self._delta(block, {"type": kind, member: event.text})]

    def _block_ended(self, event: BlockEnded) -> list[Frame]:
        block = self._blocks.pop(event.block)
        closer = _CLOSERS.get(type(block.part))
        frames = closer(self, block, event) if closer is not None else []
        if block.index is None:
            return []
        return [*frames, _frame({"type": "content_block_stop", "index": block.index})]

    def _close_text(self, block: _Block, event: BlockEnded) -> list[Frame]:
        native = _own_members(event.native) or _own_members(getattr(block.part, "native", None))
        text = "".join(block.pieces) if block.notes else ""
        cited = dicts(native.get("citations")) or citations_of(tuple(block.notes), text)
        return [self._delta(block, {"type": "citations_delta", "citation": citation}) for citation in cited]

    def _close_opaque(self, block: _Block, event: BlockEnded) -> list[Frame]:
        whole = encode_part(event.part or block.part, self._context)
        return [] if whole is None else [self._open(block, whole)]

    def _close_reasoning(self, block: _Block, event: BlockEnded) -> list[Frame]:
        if event.signature is None or not isinstance(block.part, ReasoningPart):
            return []
        part = replace(block.part, signature=event.signature)
        whole = encode_part(part, self._context) or {}
        if block.index is None:
            return [self._open(block, whole)]
        return [self._delta(block, {"type": "signature_delta", "signature": whole.get("signature", "")})]

    def _open(self, block: _Block, content: Members) -> Frame:
        block.index, self._count = self._count, self._count + 1
        return _frame({"type": "content_block_start", "index": block.index, "content_block": content})

    def _delta(self, block: _Block, delta: Members) -> Frame:
        return _frame({"type": "content_block_delta", "index": block.index, "delta": delta})

    def _finished(self, event: Finished) -> list[Frame]:
        self._finish = event.finish
        return []

    def _ended(self, event: Ended) -> list[Frame]:
        delta = {**_own_members(event.native), **stop_members(self._finish, refused=self._refused)}
        usage = encode_usage(event.usage, event.service_tier)
        return [
            _frame({"type": "message_delta", "delta": delta, "usage": usage}),
            _frame({"type": "message_stop"}),
        ]

    def _failed(self, event: Failed) -> list[Frame]:
        return [_frame(encode_error(event.error))]


_TAKERS: Final[Mapping[type, Callable[[MessagesEncoder, Any], list[Frame]]]] = {
    Started: MessagesEncoder._start,
    BlockStarted: MessagesEncoder._block_started,
    BlockDelta: MessagesEncoder._block_delta,
    BlockEnded: MessagesEncoder._block_ended,
    Finished: MessagesEncoder._finished,
    Ended: MessagesEncoder._ended,
    Failed: MessagesEncoder._failed,
}

_CLOSERS: Final[Mapping[type, Callable[[MessagesEncoder, _Block, BlockEnded], list[Frame]]]] = {
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


def _own_members(native: Native | None) -> Mapping[str, Any]:
    return native[1] if native is not None and native[0] == NAME else {}


def _frame(members: Members) -> Frame:
    return Frame(members["type"], members)
