"""Canonical events to the event stream of Messages (server half)."""

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
from app.dialects.shared.reading import dicts

Members = dict[str, Any]


class MessagesEncoder:
    """Events of one answer to frames. Blocks go out in the order in which they started;
    one that starts while another is open waits for it, because this wire knows no overlap
    that its clients could read."""

    def __init__(self, request: Request, context: ServerContext) -> None:
        self._context = context
        self._started = Started()
        self._parts: dict[int, Part] = {}
        self._order: list[int] = []
        self._waiting: dict[int, list[BlockDelta | BlockEnded]] = {}
        self._indexes: dict[int, int] = {}
        self._notes: dict[int, list[Mapping[str, Any]]] = {}
        self._finish: Finish | None = None

    def feed(self, event: Event) -> list[Frame]:
        """Return the frames that the event makes."""
        return _TAKERS[type(event)](self, event)

    def _start(self, event: Started) -> list[Frame]:
        self._started = event
        native = _own(event.native)
        message = {
            **native,
            **head(event.id, event.model, self._context),
            "content": [],
            **stop_members(None),
            "usage": encode_usage(None),
        }
        return [_frame({"type": "message_start", "message": message})]

    def _block_started(self, event: BlockStarted) -> list[Frame]:
        if event.choice != 0:
            return []
        self._parts[event.block] = event.part
        self._order.append(event.block)
        self._waiting[event.block] = []
        return self._open(event.block) if self._order[0] == event.block else []

    def _block_delta(self, event: BlockDelta) -> list[Frame]:
        if event.block not in self._parts:
            return []
        if self._order[0] != event.block:
            self._waiting[event.block].append(event)
            return []
        return self._grow(event)

    def _block_ended(self, event: BlockEnded) -> list[Frame]:
        if event.block not in self._parts:
            return []
        if self._order[0] != event.block:
            self._waiting[event.block].append(event)
            return []
        frames = self._close(event)
        self._order.pop(0)
        if self._order:
            frames += self._catch_up(self._order[0])
        return frames

    def _catch_up(self, block: int) -> list[Frame]:
        frames = self._open(block)
        for event in self._waiting.pop(block, []):
            frames += self._block_delta(event) if isinstance(event, BlockDelta) else self._block_ended(event)
        return frames

    def _open(self, block: int) -> list[Frame]:
        part = self._parts[block]
        if isinstance(part, OpaquePart) or (isinstance(part, ReasoningPart) and part.form == "hidden"):
            return []  # comes whole at its end
        opening = encode_part(part, self._context)
        if opening is None:
            return []
        opening.pop("citations", None)  # they follow as deltas
        return [self._block_frame("content_block_start", block, content_block=opening)]

    def _grow(self, event: BlockDelta) -> list[Frame]:
        part = self._parts[event.block]
        if event.annotation is not None:
            self._notes.setdefault(event.block, []).append(event.annotation)
        delta = _DELTAS.get(type(part))
        if delta is None or not event.text or event.block not in self._indexes:
            return []
        if isinstance(part, TextPart):
            self._parts[event.block] = replace(part, text=part.text + event.text)
        kind, member = delta
        return [
            self._block_frame("content_block_delta", event.block, delta={"type": kind, member: event.text})
        ]

    def _close(self, event: BlockEnded) -> list[Frame]:
        closer = _CLOSERS.get(type(self._parts[event.block]))
        frames = closer(self, event) if closer is not None else []
        if event.block not in self._indexes:
            return []
        return [*frames, self._block_frame("content_block_stop", event.block)]

    def _close_text(self, event: BlockEnded) -> list[Frame]:
        part = self._parts[event.block]
        native = _own(event.native) or _own(getattr(part, "native", None))
        text = part.text if isinstance(part, TextPart) else ""
        cited = dicts(native.get("citations")) or citations_of(tuple(self._notes.pop(event.block, ())), text)
        return [
            self._block_frame(
                "content_block_delta", event.block, delta={"type": "citations_delta", "citation": citation}
            )
            for citation in cited
        ]

    def _close_opaque(self, event: BlockEnded) -> list[Frame]:
        whole = encode_part(event.part or self._parts[event.block], self._context)
        if whole is None:
            return []
        return [self._block_frame("content_block_start", event.block, content_block=whole)]

    def _close_reasoning(self, event: BlockEnded) -> list[Frame]:
        if event.signature is None:
            return []
        part = replace(self._parts[event.block], signature=event.signature)  # type: ignore[arg-type]
        whole = encode_part(part, self._context) or {}
        if event.block not in self._indexes:
            return [self._block_frame("content_block_start", event.block, content_block=whole)]
        delta = {"type": "signature_delta", "signature": whole.get("signature", "")}
        return [self._block_frame("content_block_delta", event.block, delta=delta)]

    def _block_frame(self, kind: str, block: int, **members: Any) -> Frame:
        index = self._indexes.setdefault(block, len(self._indexes))
        return _frame({"type": kind, "index": index, **members})

    def _finished(self, event: Finished) -> list[Frame]:
        if event.choice == 0:
            self._finish = event.finish
        return []

    def _ended(self, event: Ended) -> list[Frame]:
        native = _own(event.native)
        delta = {**native, **stop_members(self._finish)}
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

_CLOSERS: Final[Mapping[type, Callable[[MessagesEncoder, BlockEnded], list[Frame]]]] = {
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


def _own(native: Native | None) -> Mapping[str, Any]:
    return native[1] if native is not None and native[0] == NAME else {}


def _frame(members: Members) -> Frame:
    return Frame(members["type"], members)
