"""Canonical events written as a Responses stream (server half).

The encoder owns the numbering, the items' order and the response snapshots; how one kind
of block looks on the wire is in ``blocks_out``. What the deltas say, the ``done``
events repeat, the items hold and ``final`` stores are the same values.

Events and their order: contract/responses.md 4.2, 4.3, 4.5 and 4.6.
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
from app.canonical.request import Item, Message, Request, ToolCallPart
from app.canonical.response import Finish, Usage
from app.dialects.base import Frame, ServerContext
from app.dialects.responses.blocks_out import BlockWriter, Payload, WireItem, block_writer
from app.dialects.responses.echo import response_shell
from app.dialects.responses.items_out import part_kind
from app.dialects.responses.response import (
    BROKEN_OFF,
    STATUSES,
    client_body,
    encode_usage,
    output_writer,
    with_native,
)
from app.errors import GatewayError
from app.responses_form.errors import event_of_error, failure_body
from app.responses_form.events import CREATED, IN_PROGRESS
from app.responses_form.items import item_prefix


class ResponsesEncoder:
    """Events to frames, numbered from 0. Only choice 0 is written. After the terminal frames
    ``final`` is the response object in them, ``encrypted_content`` included."""

    def __init__(self, request: Request, context: ServerContext) -> None:
        self.final: dict[str, Any] | None = None
        self._next_number = 0
        self._context = context
        self._body = client_body(request)
        self._writer = output_writer(request, context)
        self._opened = False
        self._id = context.response_id or context.new_id("resp")
        self._model = context.model or request.model
        self._started = Started()
        self._items: list[WireItem] = []
        self._current: dict[tuple[int, str], WireItem] = {}
        self._blocks: dict[int, tuple[WireItem, BlockWriter]] = {}
        self._finish = Finish("stop")

    def feed(self, event: Event) -> list[Frame]:
        """Return the frames that ``event`` makes; [] after the terminal ones."""
        return [] if self.final is not None else _FEEDS[type(event)](self, event)

    def take_back_end(self) -> None:
        """Forget the terminal frames, which never went out: another end follows."""
        self.final = None

    def _open(self) -> list[Frame]:
        """Return the opening snapshots, once."""
        if self._opened:
            return []
        self._opened = True
        return [
            self._frame(kind, {"response": self._shell("in_progress")}) for kind in (CREATED, IN_PROGRESS)
        ]

    # events

    def _start(self, event: Started) -> list[Frame]:
        self._started = event
        self._model = event.model or self._model
        return self._open()

    def _block_started(self, event: BlockStarted) -> list[Frame]:
        kind = part_kind(event.part)
        if event.choice != 0 or kind == "foreign":
            return []
        frames = self._open()
        item = self._current.get((event.item, kind))
        if item is None or not item.takes(kind):
            frames += self._close_ended()
            item = self._add_item(event, kind)
            frames.append(self._frame("response.output_item.added", item.added()))
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
            item.mint(self._context.new_id(item_prefix(item.type)))
        self._items.append(item)
        self._current[event.item, kind] = self._current[event.item, "any"] = item
        return item

    def _block_delta(self, event: BlockDelta) -> list[Frame]:
        found = self._blocks.get(event.block)
        return self._frames(found[1].delta(event)) if found is not None else []

    def _block_ended(self, event: BlockEnded) -> list[Frame]:
        found = self._blocks.get(event.block)
        if found is None or found[1].ended:
            return []
        item, writer = found
        frames = self._frames(writer.end(event))
        item.status = event.status or item.status
        if item.is_whole(later=self._items[-1] is not item):
            frames += self._close(item)
        return frames

    def _finished(self, event: Finished) -> list[Frame]:
        if event.choice != 0:
            return []
        self._finish = event.finish
        return self._close_all(STATUSES[event.finish.reason][0] == "completed")

    def _ended(self, event: Ended) -> list[Frame]:
        status, reason = STATUSES[self._finish.reason]
        frames = self._open() + self._close_all(status == "completed")
        error = GatewayError("upstream_error", BROKEN_OFF["message"], code=BROKEN_OFF["code"])
        if status == "failed":
            frames.append(self._error_frame(error))
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
        cancelled = event.error.kind.name == "cancelled"
        frames = self._open() + self._close_all(False)
        if not cancelled:
            frames.append(self._error_frame(event.error))
        shell = self._shell(
            "cancelled" if cancelled else "failed", usage=event.usage, error=failure_body(event.error)
        )
        return [*frames, self._terminal("failed", shell)]

    # items

    def _close_ended(self) -> list[Frame]:
        """Close the last item if it is whole, now that another begins; those before closed with their
        last block."""
        last = self._items[-1] if self._items else None
        return self._close(last) if last is not None and not last.closed and last.all_ended else []

    def _close_all(self, completed: bool) -> list[Frame]:
        """Close every item in order; the last one is ``incomplete`` unless all went well."""
        frames: list[Frame] = []
        open_items = [item for item in self._items if not item.closed]
        for item in open_items:
            for writer in item.blocks:
                frames += [] if writer.ended else self._frames(writer.end(None))
            cut = not completed and item is self._items[-1]
            frames += self._close(item, "incomplete" if cut else None)
        return frames

    def _close(self, item: WireItem, status: str | None = None) -> list[Frame]:
        item.closed = True
        info = Item(item.info.id, item.closing_status(status), item.info.phase)
        message = Message("assistant", tuple(writer.part for writer in item.blocks), item=info)
        item.blocks = []  # its writers hold it
        item.value = next(self._writer.split(message))
        return [self._frame("response.output_item.done", {"output_index": item.index, "item": item.value})]

    # frames

    def _frames(self, payloads: list[Payload]) -> list[Frame]:
        return [self._frame(name, members) for name, members in payloads]

    def _frame(self, name: str, members: Mapping[str, Any]) -> Frame:
        frame = Frame(name, {"type": name, "sequence_number": self._next_number, **members})
        self._next_number += 1
        return frame

    def _error_frame(self, error: GatewayError) -> Frame:
        return self._frame("error", event_of_error(error))

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


_FEEDS: Final[Mapping[type, Any]] = {
    BlockDelta: ResponsesEncoder._block_delta,
    BlockStarted: ResponsesEncoder._block_started,
    BlockEnded: ResponsesEncoder._block_ended,
    Started: ResponsesEncoder._start,
    Finished: ResponsesEncoder._finished,
    Ended: ResponsesEncoder._ended,
    Failed: ResponsesEncoder._failed,
}
