"""Canonical events encoded as a Responses stream (server half).

The encoder numbers the events, orders the items and writes the response snapshots; ``blocks_out`` has the
events of each kind of block. Deltas, ``done`` events, items and ``final`` agree in their values.

Source: the event types in OpenAI's API description and the order in recorded streams.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from app.canonical.request import Item, Message, OpaquePart, Request, ToolCallPart
from app.canonical.response import Finish, Usage
from app.dialects.base import Frame, ServerContext
from app.dialects.responses.blocks_out import BlockWriter, Payload, WireItem, block_writer
from app.dialects.responses.echo import response_shell
from app.dialects.responses.items_in import NAME
from app.dialects.responses.items_out import part_kind
from app.dialects.responses.response import (
    BROKEN_OFF,
    STATUSES,
    client_body,
    encode_usage,
    output_writer,
    with_native,
)
from app.dialects.shared.repeats import Place
from app.errors import GatewayError
from app.responses_form.errors import event_of_error, failure_body
from app.responses_form.events import CREATED, IN_PROGRESS
from app.responses_form.items import item_prefix


class ResponsesEncoder:
    """Encodes events as frames, numbered from 0. Only choice 0 is written.

    After the terminal frame ``final`` is its response object, including ``encrypted_content``.
    """

    def __init__(self, request: Request, context: ServerContext) -> None:
        self.final: dict[str, Any] | None = None
        self._next_number = 0
        self._context = context
        self._body = client_body(request)
        self._writer = output_writer(request, context)
        self._is_open = False
        self._leading = context.leading
        self._id = context.response_id or context.new_id("resp")
        self._model = context.model or request.model
        self._started = Started()
        self._items: list[WireItem] = []
        self._current: dict[tuple[int, str], WireItem] = {}
        self._blocks: dict[int, tuple[WireItem, BlockWriter[Any]]] = {}
        self._finish = Finish("stop")

    def feed(self, event: Event) -> list[Frame]:
        """Return the frames of ``event``, none after the terminal frame."""
        return [] if self.final is not None else _METHODS[type(event)](self, event)

    def place_of_text(self, block: int) -> Place | None:
        """Return where the text is in the frames of a block's deltas; None where these are not one and alike for each text."""
        entry = self._blocks.get(block)
        return ("delta",) if entry is not None and entry[1].grows else None

    def grow(self, block: int, text: str) -> None:
        """Record that a block grew by frames that were made elsewhere."""
        self._blocks[block][1].grow(text)

    def discard_end(self) -> None:
        """Discard the terminal frames, which were not sent; another end follows."""
        self.final = None

    def _open(self) -> list[Frame]:
        """Return the opening snapshots, nothing after the first call."""
        if self._is_open:
            return []
        self._is_open = True
        return [
            self._frame(kind, {"response": self._shell("in_progress")}) for kind in (CREATED, IN_PROGRESS)
        ]

    def _open_output(self) -> list[Frame]:
        """Return the opening snapshots and the leading items; these come with what follows them, as a response without
        output is run again after a crash."""
        frames = self._open()
        leading, self._leading = self._leading, ()
        for place, item in enumerate(leading, 1):
            part = OpaquePart(str(item["type"]), (NAME, item))
            frames += self._block_started(BlockStarted(block=-place, part=part, item=-place))
            frames += self._block_ended(BlockEnded(-place))
        return frames

    # events

    def _start(self, event: Started) -> list[Frame]:
        self._started = event
        self._model = event.model or self._model
        return self._open()

    def _block_started(self, event: BlockStarted) -> list[Frame]:
        kind = part_kind(event.part)
        if event.choice != 0 or kind == "foreign":
            return []
        frames = self._open_output()
        item = self._current.get((event.item, kind))
        if item is None or not item.takes(kind):
            frames += self._close_ended()
            item = self._add_item(event, kind)
            frames.append(self._frame("response.output_item.added", item.opening()))
        writer = block_writer(item, event.part, self._writer)
        item.add(writer)
        self._blocks[event.block] = (item, writer)
        return frames + self._frames(writer.start())

    def _add_item(self, event: BlockStarted, kind: str) -> WireItem:
        info = event.info if (event.item, "any") not in self._current else None
        item = WireItem(len(self._items), event.item, kind, event.part, info or Item())
        if isinstance(event.part, ToolCallPart):
            item.place = self._writer.place(event.part)
        if item.info.id is None:
            item.set_id(self._context.new_id(item_prefix(item.type)))
        self._items.append(item)
        self._current[event.item, kind] = self._current[event.item, "any"] = item
        return item

    def _block_delta(self, event: BlockDelta) -> list[Frame]:
        entry = self._blocks.get(event.block)
        return self._frames(entry[1].delta(event)) if entry is not None else []

    def _block_ended(self, event: BlockEnded) -> list[Frame]:
        entry = self._blocks.get(event.block)
        if entry is None or entry[1].ended:
            return []
        item, writer = entry
        frames = self._frames(writer.end(event))
        item.status = event.status or item.status
        if item.may_close(is_last=self._items[-1] is item):
            frames += self._close(item)
        return frames

    def _finished(self, event: Finished) -> list[Frame]:
        if event.choice != 0:
            return []
        self._finish = event.finish
        return self._close_all(STATUSES[event.finish.reason][0] == "completed")

    def _ended(self, event: Ended) -> list[Frame]:
        status, reason = STATUSES[self._finish.reason]
        frames = self._open_output() + self._close_all(status == "completed")
        error = GatewayError("upstream_error", BROKEN_OFF["message"], code=BROKEN_OFF["code"])
        if status == "failed":
            frames.append(self._frame("error", event_of_error(error)))
        shell = self._shell(
            status,
            usage=event.usage,
            incomplete_reason=reason,
            error=failure_body(error),
            service_tier=event.service_tier or self._started.service_tier,
        )
        for native in (self._started.native, event.native):
            shell = with_native(shell, native, self._body)
        return [*frames, self._terminal(status, shell)]

    def _failed(self, event: Failed) -> list[Frame]:
        is_cancelled = event.error.kind.name == "cancelled"
        frames = self._open_output() + self._close_all(False)
        if not is_cancelled:
            frames.append(self._frame("error", event_of_error(event.error)))
        shell = self._shell(
            "cancelled" if is_cancelled else "failed", usage=event.usage, error=failure_body(event.error)
        )
        return [*frames, self._terminal("failed", shell)]

    # items

    def _close_ended(self) -> list[Frame]:
        """Close the last item if all its blocks ended, because another item begins. Earlier items are closed
        with their last block."""
        last = self._items[-1] if self._items else None
        return self._close(last) if last is not None and not last.closed and last.is_complete else []

    def _close_all(self, completed: bool) -> list[Frame]:
        """Close all open items in order; the last item is ``incomplete`` unless ``completed``."""
        frames: list[Frame] = []
        for item in [item for item in self._items if not item.closed]:
            for writer in item.blocks:
                frames += [] if writer.ended else self._frames(writer.end(None))
            is_last_open = not completed and item is self._items[-1]
            frames += self._close(item, "incomplete" if is_last_open else None)
        return frames

    def _close(self, item: WireItem, status: str | None = None) -> list[Frame]:
        item.closed = True
        info = Item(item.info.id, item.closing_status(status), item.info.phase)
        message = Message("assistant", tuple(writer.part for writer in item.blocks), item=info)
        item.blocks = []  # breaks a reference cycle with the writers
        item.value = next(self._writer.split(message))
        return [self._frame("response.output_item.done", {"output_index": item.index, "item": item.value})]

    # frames

    def _frames(self, payloads: list[Payload]) -> list[Frame]:
        return [self._frame(name, members) for name, members in payloads]

    def _frame(self, name: str, members: Mapping[str, Any]) -> Frame:
        frame = Frame(name, {"type": name, "sequence_number": self._next_number, **members})
        self._next_number += 1
        return frame

    def _terminal(self, status: str, shell: dict[str, Any]) -> Frame:
        self.final = shell
        return self._frame(f"response.{status}", {"response": shell})

    def _shell(
        self,
        status: str,
        *,
        usage: Usage | None = None,
        incomplete_reason: str | None = None,
        error: Mapping[str, Any] | None = None,
        service_tier: str | None = None,
    ) -> dict[str, Any]:
        return response_shell(
            self._body,
            id=self._id,
            created_at=self._context.now,
            model=self._model,
            status=status,
            output=[item.value for item in self._items if item.value is not None],
            usage=encode_usage(usage),
            error=error,
            incomplete_reason=incomplete_reason,
            completed_at=self._context.now,
            service_tier=service_tier,
        )


_METHODS: Final[Mapping[type, Any]] = {
    BlockDelta: ResponsesEncoder._block_delta,
    BlockStarted: ResponsesEncoder._block_started,
    BlockEnded: ResponsesEncoder._block_ended,
    Started: ResponsesEncoder._start,
    Finished: ResponsesEncoder._finished,
    Ended: ResponsesEncoder._ended,
    Failed: ResponsesEncoder._failed,
}
