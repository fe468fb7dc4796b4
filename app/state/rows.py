"""Statements on response rows that several modules share. Every one names the tenant.

A row is *running* while its status is queued or in_progress; no statement here takes
a row out of a terminal state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, func, select, update

from app.errors import GatewayError
from app.state import blobs
from app.state.dialect import insert_new, insert_once, upsert
from app.state.ids import storable
from app.state.items import ItemRow, Packed, present
from app.state.records import JSON, Ending, Fence, NewResponse
from app.state.tables import RUNNING, AnyRow, db_now, item, response, thread
from app.wire.json import dumps, loads_lenient

RUNNING_STATUSES: Final = frozenset({"queued", "in_progress"})


def response_not_found(response_id: Any) -> GatewayError:
    """Make the 404 of a response that is missing, foreign or deleted: one body for all."""
    return GatewayError("not_found", f"Response with id '{response_id}' not found.")


def find(connection: Connection, tenant: str, response_id: Any, *, lock: bool = False) -> AnyRow | None:
    """Return the living row of this tenant, locked until commit when asked."""
    if not storable(response_id):
        return None
    statement = select(response).where(
        response.c.id == response_id,
        response.c.tenant == tenant,
        response.c.deleted_at.is_(None),
    )
    return connection.execute(statement.with_for_update() if lock else statement).first()


def touch_thread(connection: Connection, thread_id: str, tenant: str) -> None:
    """Note that a thread was used now, which is what retention counts from."""
    row = {"id": thread_id, "tenant": tenant, "last_used_at": db_now()}
    upsert(connection, thread, row, ["last_used_at"])


def insert_response(
    connection: Connection, new: NewResponse, thread_id: str, fence: Fence | None, lease: float
) -> bool:
    """Insert the row: queued without a fence, running under a lease of ``lease`` seconds with one.

    Returns false when the row is there already, from a first try said to have failed.
    """
    values = {
        "id": new.id,
        "tenant": new.tenant,
        "thread_id": thread_id,
        "parent_id": new.parent_id,
        "conversation_id": new.conversation_id,
        "key_id": new.key_id,
        "mount": new.mount,
        "api_version": new.api_version,
        "background": new.background,
        "stream": new.stream,
        "status": "in_progress" if fence else "queued",
        "attempt": fence.attempt if fence else 0,
        "lease_owner": fence.owner if fence else None,
        "lease_until": db_now() + lease if fence else None,
        "realm": new.realm,
        "provider": new.provider,
        "model": new.model,
        "created_at": db_now(),
        "request": None if new.request is None else dumps(new.request),
        "headers": dumps(dict(new.headers)),
        "object": dumps({**new.object, "output": None}),
        "extra": dumps({**new.extra, "conversation_head": new.conversation_head}),
    }
    return insert_once(connection, response, values)


def insert_items(
    connection: Connection, tenant: str, response_id: str, direction: str, packed: Packed
) -> None:
    """Append items to a response; the caller makes sure that this happens once."""
    if not packed.rows:
        return
    first = connection.execute(
        select(func.count()).select_from(item).where(item.c.response_id == response_id)
    ).scalar_one()
    rows = [
        {
            "response_id": response_id,
            "seq": first + offset,
            "tenant": tenant,
            "direction": direction,
            "item_id": row.item_id,
            "body": row.body,
        }
        for offset, row in enumerate(packed.rows)
    ]
    insert_new(connection, item, rows)
    blobs.keep(connection, tenant, response_id, packed.blobs)


def guard(fence: Fence) -> tuple[Any, ...]:
    """The conditions under which the holder of ``fence`` may still write."""
    return (
        RUNNING,
        response.c.lease_owner == fence.owner,
        response.c.attempt == fence.attempt,
        ~response.c.cancel_requested,
    )


def end_row(
    connection: Connection,
    response_id: str,
    ending: Ending,
    conditions: Iterable[Any],
    **more: Any,
) -> bool:
    """Make a running row terminal; false when it was not running under ``conditions``."""
    named = ("realm", "provider", "model", "upstream_id", "upstream_state")
    known = {name: getattr(ending, name) for name in named if getattr(ending, name) is not None}
    done = connection.execute(
        update(response)
        .where(response.c.id == response_id, *conditions)
        .values(
            status=ending.status,
            object=dumps({**ending.object, "status": ending.status, "output": None}),
            completed_at=db_now(),
            lease_until=None,
            **known,
            **more,
        )
    )
    return done.rowcount == 1


def item_rows(connection: Connection, response_id: str, direction: str) -> list[ItemRow]:
    """Return the stored items of one direction, in order."""
    found = connection.execute(
        select(item.c.item_id, item.c.body)
        .where(item.c.response_id == response_id, item.c.direction == direction)
        .order_by(item.c.seq)
    )
    return [ItemRow(row.item_id, bytes(row.body)) for row in found]


def present_items(connection: Connection, tenant: str, rows: Sequence[ItemRow]) -> list[JSON]:
    """Return stored items as their owner sees them."""
    files = blobs.fetch(connection, tenant, [row.body for row in rows])
    return [present(row.item_id, row.body, files) for row in rows]


def show(row: AnyRow, output: Sequence[Mapping[str, Any]]) -> JSON:
    """Put a response object together from its row and its output items."""
    value: JSON = loads_lenient(row.object)
    value.update(status=row.status, output=list(output))
    return value


def chunks(values: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    """Cut a list of ids into what one statement may take as parameters."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
