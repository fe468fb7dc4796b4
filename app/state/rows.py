"""Statements on rows of responses that several modules share.

A row is *running* while its status is queued or in_progress. No statement here takes a row out of a terminal state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, case, func, or_, select, update

from app.errors import GatewayError
from app.state import blobs
from app.state.ids import storable
from app.state.items import ItemRow, PackedItems, show_item
from app.state.records import JSON, Ending, Fence, NewResponse
from app.state.tables import RUNNING, AnyRow, db_now, item, response, thread
from app.state.upserts import insert_new, insert_of_new, is_inserted, run, upsert_for
from app.wire.json import dumps, loads_lenient

RUNNING_STATUSES: Final = frozenset({"queued", "in_progress"})


UNSTORED_KEPT: Final = 600.0
"""Seconds after its end for which a background response that was not to be stored can be fetched."""

_LIVING: Final = (
    response.c.tenant == bindparam("of_tenant"),
    response.c.deleted_at.is_(None),
    or_(response.c.expires_at.is_(None), response.c.expires_at > db_now()),
)
_FIND: Final = select(response).where(response.c.id == bindparam("id"), *_LIVING)
_STATUS: Final = _FIND.with_only_columns(response.c.status)
_FIND_LOCKED: Final = _FIND.with_for_update()
_COUNT_ITEMS: Final = (
    select(func.count()).select_from(item).where(item.c.response_id == bindparam("response_id"))
)
_COPIED: Final = (
    *("id", "tenant", "parent_id", "conversation_id", "key_id", "mount", "api_version"),
    *("background", "stream", "store", "realm", "provider", "model"),
)
_WRITTEN: Final = ("thread_id", "status", "attempt", "lease_owner", "request", "headers", "object", "extra")


#: The conditions under which the holder of a fence may still write (parameters: `fenced`).
GUARD: Final = (
    RUNNING,
    response.c.lease_owner == bindparam("fence_owner"),
    response.c.attempt == bindparam("fence_attempt"),
    ~response.c.cancel_requested,
)
#: A synchronous row that ended as failed while its owner still worked on it (parameters: `fenced`).
_LOST_OF_FENCE: Final = (
    response.c.status == "failed",
    ~response.c.background,
    response.c.lease_owner == bindparam("fence_owner"),
    response.c.attempt == bindparam("fence_attempt"),
)
_LEARNED: Final = ("realm", "provider", "model", "upstream_id")
_ENDED: Final = (
    update(response)
    .where(response.c.id == bindparam("ended_id"))
    .values(
        status=bindparam("new_status"),
        object=bindparam("new_object"),
        cancel_requested=bindparam("new_cancelled"),
        completed_at=db_now(),
        expires_at=case((response.c.store, response.c.expires_at), else_=db_now() + UNSTORED_KEPT),
        lease_until=None,
        request=None,  # it may hold secrets of the caller's, and nobody runs it again
        extra=func.coalesce(bindparam("new_extra", type_=response.c.extra.type), response.c.extra),
        **{
            name: func.coalesce(bindparam(f"new_{name}", type_=response.c[name].type), response.c[name])
            for name in _LEARNED
        },
    )
)
_END: Final = _ENDED.where(RUNNING)
_END_FENCED: Final = _ENDED.where(*GUARD)
_END_LOST: Final = _ENDED.where(*_LOST_OF_FENCE)
#: The end of a living synchronous row by its owner, which is nearly every end: no look at the row before.
_END_SYNCHRONOUS: Final = _ENDED.where(*_LIVING, ~response.c.background, *GUARD).returning(
    response.c.thread_id,
    response.c.conversation_id,
    select(func.count()).where(item.c.response_id == bindparam("ended_id")).scalar_subquery(),
)


class Ended(NamedTuple):
    """A row that became terminal: its thread and conversation, and how many items it has."""

    thread_id: str
    conversation_id: str | None
    items: int


def response_not_found(response_id: Any) -> GatewayError:
    """Return the 404 for a response that is missing, deleted or another tenant's: the same body for all."""
    return GatewayError("not_found", f"Response with id '{response_id}' not found.")


def find(connection: Connection, tenant: str, response_id: Any, *, lock: bool = False) -> AnyRow | None:
    """Return the living row of this tenant, with ``lock`` locked until the commit; None when there is none."""
    if not storable(response_id):
        return None
    statement = _FIND_LOCKED if lock else _FIND
    return connection.execute(statement, {"id": response_id, "of_tenant": tenant}).first()


def require(connection: Connection, tenant: str, response_id: Any, *, lock: bool = False) -> AnyRow:
    """Return what ``find`` returns; raises ``response_not_found`` when there is none."""
    row = find(connection, tenant, response_id, lock=lock)
    if row is None:
        raise response_not_found(response_id)
    return row


def status_of(connection: Connection, tenant: str, response_id: str) -> str | None:
    """Return a living response's status, without reading the rest of its row."""
    return connection.execute(_STATUS, {"id": response_id, "of_tenant": tenant}).scalar()


def touch_thread(connection: Connection, thread_id: str, tenant: str) -> None:
    """Store that a thread was used now; retention counts from then."""
    values = {"thread_id": thread_id, "thread_tenant": tenant}
    run(connection, _upsert_thread(connection.dialect.name), values)


def insert_response(
    connection: Connection, new: NewResponse, thread_id: str, fence: Fence | None, lease: float
) -> bool:
    """Insert the row of a response: queued without a fence, running with one, under a lease of ``lease`` seconds.

    Returns false when the row exists already, from a first try that was reported as failed.
    """
    members = {name: getattr(new, name) for name in _COPIED}
    values = {
        **members,
        "thread_id": thread_id,
        "status": "in_progress" if fence else "queued",
        "attempt": fence.attempt if fence else 0,
        "lease_owner": fence.owner if fence else None,
        "request": None if new.request is None else dumps(new.request),
        "headers": dumps(dict(new.headers)),
        "object": dumps({**new.object, "output": None}),
        "extra": dumps({**new.extra, "conversation_head": new.conversation_head}),
    }
    if fence is not None:
        values["lease_seconds"] = lease
    return is_inserted(connection, _insert_response(connection.dialect.name, fence is not None), values)


def insert_items(
    connection: Connection, tenant: str, response_id: str, direction: str, content: PackedItems, *, first: int
) -> None:
    """Store items of a response from position ``first`` on; storing them again changes nothing."""
    if not content.rows:
        return
    rows = [
        {
            "response_id": response_id,
            "seq": first + offset,
            "tenant": tenant,
            "direction": direction,
            "item_id": row.item_id,
            "body": row.body,
        }
        for offset, row in enumerate(content.rows)
    ]
    insert_new(connection, item, rows)
    blobs.keep(connection, tenant, response_id, content.blobs)


def count_items(connection: Connection, response_id: str) -> int:
    """Return how many items a response has, which is the position of its next one."""
    return int(run(connection, _COUNT_ITEMS, {"response_id": response_id}).fetchone()[0])


def fence_parameters(fence: Fence) -> dict[str, Any]:
    """Return the parameters of ``GUARD``."""
    return {"fence_owner": fence.owner, "fence_attempt": fence.attempt}


def end_row(
    connection: Connection,
    response_id: str,
    ending: Ending,
    *,
    fence: Fence | None = None,
    lost: bool = False,
    cancelled: bool = False,
    extra: bytes | None = None,
) -> bool:
    """Make a running row terminal; return false when it is not running, or not under ``fence`` where that is given.

    ``lost`` says that the sweep ended the row and that this is the end by its owner. ``extra`` replaces the row's own;
    None leaves it.
    """
    values = _values_of(response_id, ending, cancelled=cancelled, extra=extra)
    statement = _END
    if fence is not None:
        statement, values = _END_LOST if lost else _END_FENCED, values | fence_parameters(fence)
    return bool(run(connection, statement, values).rowcount == 1)


def end_synchronous(
    connection: Connection, tenant: str, response_id: str, fence: Fence, ending: Ending
) -> Ended | None:
    """Make a living synchronous row terminal that runs under ``fence``; return None for any other row."""
    values = _values_of(response_id, ending) | fence_parameters(fence) | {"of_tenant": tenant}
    row = run(connection, _END_SYNCHRONOUS, values).fetchone()
    return None if row is None else Ended(*row)


def _values_of(
    response_id: str, ending: Ending, *, cancelled: bool = False, extra: bytes | None = None
) -> dict[str, Any]:
    """Return the parameters of an end."""
    return {
        "ended_id": response_id,
        "new_status": ending.status,
        "new_object": dumps({**ending.object, "status": ending.status, "output": None}),
        "new_cancelled": cancelled,
        "new_extra": extra,
        **{f"new_{name}": getattr(ending, name) for name in _LEARNED},
    }


def item_rows(connection: Connection, response_id: str, direction: str) -> list[ItemRow]:
    """Return the stored items of one direction, in order."""
    rows = connection.execute(
        select(item.c.item_id, item.c.body)
        .where(item.c.response_id == response_id, item.c.direction == direction)
        .order_by(item.c.seq)
    )
    return [ItemRow(row.item_id, bytes(row.body)) for row in rows]


def present_items(connection: Connection, tenant: str, rows: Sequence[ItemRow]) -> list[JSON]:
    """Return stored items as their owner sees them."""
    files = blobs.fetch(connection, tenant, [row.body for row in rows])
    return [show_item(row.item_id, row.body, files) for row in rows]


def show(row: AnyRow, output: Sequence[Mapping[str, Any]]) -> JSON:
    """Return the response object of a row and its output items."""
    value: JSON = loads_lenient(row.object)
    value.update(status=row.status, output=list(output))
    return value


def chunks(values: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    """Yield a list of ids in parts of at most ``size``, which one statement may take as parameters."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


@cache
def _insert_response(dialect: str, leased: bool) -> Any:
    values: dict[str, Any] = {name: bindparam(name) for name in (*_COPIED, *_WRITTEN)}
    values["created_at"] = db_now()
    if leased:
        values["lease_until"] = db_now() + bindparam("lease_seconds")
    return insert_of_new(dialect, response, values)


@cache
def _upsert_thread(dialect: str) -> Any:
    row = {"id": bindparam("thread_id"), "tenant": bindparam("thread_tenant"), "last_used_at": db_now()}
    return upsert_for(dialect, thread, row, ["last_used_at"])
