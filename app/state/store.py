"""Stored responses: created before the upstream call, finished once, fetched, cancelled, deleted.

Every method takes the tenant. A response of another tenant is missing, by the same query and with the same message.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, select, update

from app.errors import GatewayError
from app.responses_form.errors import SERVER_LOST
from app.responses_form.events import opening
from app.state import blobs, chain, conversation_rows, event_log, retention, rows
from app.state.database import Database
from app.state.items import PackedItems, pack_aside, unpack
from app.state.leases import LEASE_SECONDS, LeaseRenewer
from app.state.pagination import Scope, as_list, read_items
from app.state.records import JSON, Ending, Fence, NewResponse, PageQuery, StoredResponse
from app.state.tables import AnyRow, db_now, item, response
from app.state.termination import terminate
from app.state.wakeups import QUEUE
from app.wire.json import dumps, loads_lenient

_NOT_CANCELLABLE: Final = {
    "completed": "Cannot cancel a completed response.",
    "failed": "Cannot cancel a failed response.",
    "incomplete": "Cannot cancel a response in terminal state.",
}


class Responses:
    """The stored responses of all tenants."""

    def __init__(self, db: Database, renewer: LeaseRenewer) -> None:
        self._db = db
        self._renewer = renewer

    def create(self, new: NewResponse) -> Fence:
        """Store a synchronous response before its upstream call; return the fence for its end.

        This process renews the row's lease until `finish` or `abandon`. Raises the contract's errors when the parent or
        the conversation does not exist.
        """
        fence = Fence(self._db.owner, 1)
        content = pack_aside(new.input)
        self._renewer.add(new.id)
        try:
            self._db.write(
                lambda connection: insert_new_response(connection, new, content, fence),
                idempotent=True,
            )
        except BaseException:
            self._renewer.remove(new.id)
            raise
        return fence

    def finish(self, tenant: str, response_id: str, fence: Fence, ending: Ending) -> bool:
        """Store the terminal state with its output, before any terminal event is sent.

        It replaces the ``server_lost`` of a synchronous response, whose owner was alive after all. Returns false, without
        a change, when the response had ended otherwise (cancelled, deleted, run by another process): then `get` returns
        how. Doing it twice stores it once.
        """
        content = pack_aside(ending.object.get("output") or ())
        # Nobody waits for a synchronous response, which has no log.
        topics = [] if response_id in self._renewer else [response_id]
        try:
            return self._db.write(
                lambda connection: _finish(connection, tenant, response_id, fence, ending, content),
                topics,
                idempotent=True,
            )
        finally:
            self._renewer.remove(response_id)

    def abandon(self, response_id: str) -> None:
        """Stop renewing the lease of an unfinished response; the sweep ends it as lost."""
        self._renewer.remove(response_id)

    def get(self, tenant: str, response_id: str) -> StoredResponse:
        """Return a response; 404 while a synchronous one still runs."""
        row, output = self._db.read(lambda connection: _read_visible(connection, tenant, response_id))
        return _stored_response(row, output)

    def input_items(self, tenant: str, response_id: str, query: PageQuery) -> JSON:
        """Return a page of the turn's own input items."""

        def work(connection: Connection) -> tuple[list[JSON], bool]:
            _visible_row(connection, tenant, response_id)
            condition = (item.c.response_id == response_id) & (item.c.direction == "input")
            return read_items(connection, tenant, Scope(item, condition, item.c.seq), query)

        return as_list(*self._db.read(work))

    def own_input(self, tenant: str, response_id: str) -> list[JSON]:
        """Return the turn's own input as an upstream may see it, with its references resolved."""

        def work(connection: Connection) -> list[JSON]:
            items = rows.item_rows(connection, response_id, "input")
            files = blobs.fetch(connection, tenant, [row.body for row in items])
            return [unpack(row.body, files) for row in items]

        return self._db.read(work)

    def delete(self, tenant: str, response_id: str) -> None:
        """Delete a response; its content is deleted when no other response needs it.

        Raises ``not_found``, or ``bad_request`` for a background response that still runs.
        """
        self._db.write(lambda connection: _delete(connection, tenant, response_id))

    def cancel(self, tenant: str, response_id: str) -> StoredResponse:
        """Cancel a background response and return it; cancelling it again returns the same.

        The row is terminal when this returns, whatever its runner does. Output that was shown is kept. Raises
        ``not_found``, or ``bad_request`` in OpenAI's words.
        """
        self._db.write(lambda connection: _cancel(connection, tenant, response_id), [response_id, QUEUE])
        return self.get(tenant, response_id)


def insert_new_response(
    connection: Connection, new: NewResponse, content: PackedItems, fence: Fence | None
) -> None:
    """Insert a response with its input and, for a background stream, the first event of its log."""
    thread_id = _thread_of(connection, new)
    if not rows.insert_response(connection, new, thread_id, fence, LEASE_SECONDS):
        return
    rows.touch_thread(connection, thread_id, new.tenant)
    rows.insert_items(connection, new.tenant, new.id, "input", content, first=0)
    if new.background and new.stream:
        event_log.append(connection, new.id, opening(new.object))


def _thread_of(connection: Connection, new: NewResponse) -> str:
    """Return the thread of a turn; raises the contract's error when what it continues does not exist."""
    if new.conversation_id is not None:
        conversation_rows.check_next_turn(connection, new)
        return new.conversation_id
    if new.parent_id is None:
        return new.id
    parent = connection.execute(
        select(response.c.thread_id)
        .where(
            response.c.id == new.parent_id,
            response.c.tenant == new.tenant,
            response.c.deleted_at.is_(None),
        )
        .with_for_update(read=True)
    ).scalar()
    if parent is None:
        raise chain.previous_not_found(new.parent_id)
    return str(parent)


def _finish(
    connection: Connection,
    tenant: str,
    response_id: str,
    fence: Fence,
    ending: Ending,
    content: PackedItems,
) -> bool:
    if not ending.extra:
        end = rows.end_synchronous(connection, tenant, response_id, fence, ending)
        if end is not None:
            _store_output(connection, tenant, response_id, ending, content, end)
            return True
    row = rows.find(connection, tenant, response_id, lock=True)
    if row is None:
        return False
    extra = dumps({**loads_lenient(row.extra), **ending.extra}) if ending.extra else None
    if not rows.end_row(connection, response_id, ending, fence=fence, lost=_is_lost(row), extra=extra):
        return _is_own_ending(row, fence, ending)
    first = rows.count_items(connection, response_id) if content.rows else 0
    end = rows.Ended(row.thread_id, row.conversation_id, first)
    _store_output(connection, tenant, response_id, ending, content, end)
    if row.background:
        _log_end(connection, row, ending)
    return True


def _store_output(
    connection: Connection,
    tenant: str,
    response_id: str,
    ending: Ending,
    content: PackedItems,
    end: rows.Ended,
) -> None:
    """Store the output of a response that ended, after its input, and append the turn to its conversation."""
    rows.insert_items(connection, tenant, response_id, "output", content, first=end.items)
    rows.touch_thread(connection, end.thread_id, tenant)
    if end.conversation_id and ending.status in ("completed", "incomplete"):
        conversation_rows.append_turn(connection, tenant, end.conversation_id, response_id)


def _is_lost(row: AnyRow) -> bool:
    """Tell whether the sweep ended a synchronous response, whose owner may only have been slow.

    Nobody runs it again, so the end by its owner, which was paid for, is the better one.
    """
    if row.background or row.status != "failed":
        return False
    error = loads_lenient(row.object).get("error") or {}
    return bool(error.get("code") == SERVER_LOST["code"])


def _log_end(connection: Connection, row: AnyRow, ending: Ending) -> None:
    """Append the last events; a response without stream gets all its events now."""
    if not row.stream:
        event_log.append(connection, row.id, opening(loads_lenient(row.object)))
    event_log.append(connection, row.id, ending.events)


def _is_own_ending(row: AnyRow, fence: Fence, ending: Ending) -> bool:
    """Tell whether this ending was stored already, by a first try that was reported as failed."""
    return (
        row.status == ending.status
        and (row.lease_owner, row.attempt) == (fence.owner, fence.attempt)
        and not row.cancel_requested
    )


def _visible_row(connection: Connection, tenant: str, response_id: str, *, lock: bool = False) -> AnyRow:
    """Return the row as GET sees it, for which a running synchronous response does not exist yet."""
    row = rows.require(connection, tenant, response_id, lock=lock)
    if not row.background and row.status in rows.RUNNING_STATUSES:
        raise rows.response_not_found(response_id)
    return row


def _read_visible(connection: Connection, tenant: str, response_id: str) -> tuple[AnyRow, list[JSON]]:
    row = _visible_row(connection, tenant, response_id)
    items = rows.item_rows(connection, response_id, "output")
    return row, rows.present_items(connection, tenant, items)


def _delete(connection: Connection, tenant: str, response_id: str) -> None:
    row = _visible_row(connection, tenant, response_id, lock=True)
    if row.status in rows.RUNNING_STATUSES:
        raise GatewayError("bad_request", "Cannot delete an in-flight response.")
    connection.execute(update(response).where(response.c.id == response_id).values(deleted_at=db_now()))
    retention.collect(connection, row.thread_id)


def _cancel(connection: Connection, tenant: str, response_id: str) -> None:
    row = rows.require(connection, tenant, response_id, lock=True)
    if not row.background:
        raise GatewayError("bad_request", "Cannot cancel a synchronous response.")
    if row.status in _NOT_CANCELLABLE:
        raise GatewayError("bad_request", _NOT_CANCELLABLE[row.status])
    if row.status in rows.RUNNING_STATUSES:
        terminate(connection, row, "cancelled", None)


def _stored_response(row: AnyRow, output: list[JSON]) -> StoredResponse:
    return StoredResponse(
        id=row.id,
        tenant=row.tenant,
        status=row.status,
        object=rows.show(row, output),
        background=row.background,
        attempt=row.attempt,
        provider=row.provider,
        model=row.model,
        extra=loads_lenient(row.extra),
    )
