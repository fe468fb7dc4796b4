"""Retention: what is deleted when, because nobody needs it or its time is over.

A deleted response cannot be reached from then on. Its content stays while a living descendant has it in its history, and
is deleted with the last of them. Retention counts from the newest turn of a thread, so a long conversation is kept whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, not_, select, update

from app.errors import GatewayError
from app.state import blobs, cache, files, live_events
from app.state.call_log import call_body
from app.state.database import Database
from app.state.deletion import delete_all, repeat
from app.state.idempotency import first_answer
from app.state.remote_batches import RUNNING_REMOTELY, due_if_parked
from app.state.rows import chunks
from app.state.tables import (
    RUNNING,
    UNSTORED,
    attempt,
    batch,
    cached_answer,
    conversation,
    conversation_item,
    db_now,
    event,
    file,
    gone_tenant,
    item,
    response,
    thread,
    vault,
)

EVENTS_KEPT: Final = 3_600.0
PURGE_SECONDS: Final = 600.0
"""How long to wait after one purge until the next."""

_THREADS_AT_ONCE: Final = 100
_ROWS_AT_ONCE: Final = 2_000
_FILES_AT_ONCE: Final = 5  # each may have a hundred pieces of 1 MiB

DeleteOutside = Callable[[str], None]
"""Deletes what a tenant has outside the database; raises ``store_unavailable``."""

_LOG: Final = logging.getLogger(__name__)


def collect(connection: Connection, thread_id: str) -> None:
    """Delete the rows of a thread's deleted responses that no living response descends from."""
    needed = (
        select(response.c.id, response.c.parent_id)
        .where(response.c.thread_id == thread_id, response.c.deleted_at.is_(None))
        .cte("needed", recursive=True)
    )
    needed = needed.union(
        select(response.c.id, response.c.parent_id).join(needed, response.c.id == needed.c.parent_id)
    )
    ids = connection.execute(
        select(response.c.id).where(
            response.c.thread_id == thread_id,
            response.c.deleted_at.is_not(None),
            response.c.id.not_in(select(needed.c.id)),
        )
    ).scalars()
    drop_responses(connection, list(ids))
    _drop_deleted_conversation(connection, thread_id)


def drop_responses(connection: Connection, ids: Sequence[str]) -> None:
    """Delete responses with all their content; their attempts stay until a purge finds them old."""
    for some in chunks(ids):
        connection.execute(delete(item).where(item.c.response_id.in_(some)))
        connection.execute(delete(event).where(event.c.response_id.in_(some)))
        connection.execute(delete(cached_answer).where(cached_answer.c.response_id.in_(some)))
        blobs.release(connection, some)
        connection.execute(delete(response).where(response.c.id.in_(some)))


def drop_conversation(connection: Connection, conversation_id: str) -> None:
    """Delete a conversation with its items."""
    connection.execute(
        delete(conversation_item).where(conversation_item.c.conversation_id == conversation_id)
    )
    blobs.release(connection, [conversation_id])
    connection.execute(delete(conversation).where(conversation.c.id == conversation_id))


def _drop_deleted_conversation(connection: Connection, conversation_id: str) -> None:
    """Delete the rows of a deleted conversation once no response has it as its history."""
    row = connection.execute(
        select(conversation.c.id).where(
            conversation.c.id == conversation_id,
            conversation.c.deleted_at.is_not(None),
            ~exists().where(response.c.conversation_id == conversation.c.id),
        )
    ).first()
    if row is not None:
        drop_conversation(connection, conversation_id)


def delete_nothing(tenant: str) -> None:
    """Delete what a tenant has outside the database, where there is nothing."""


def purge(
    db: Database,
    *,
    older_than: float | None,
    events_kept: float = EVENTS_KEPT,
    delete_outside: DeleteOutside = delete_nothing,
) -> int:
    """Delete threads and attempts that nobody used for ``older_than`` seconds, and events ``events_kept`` seconds after
    the end of their response; return how many threads were deleted.

    ``older_than`` None keeps threads for ever. ``delete_outside`` deletes what a deleted tenant has outside the database.
    Threads in which something runs are left alone. Works in short transactions.
    """
    db.write(lambda connection: _drop_old_events(connection, events_kept))
    db.write(live_events.drop_notices)
    while ids := db.read(_expired_ids):  # looks at all responses, so it holds no writer up
        db.write(partial(_drop_expired, ids=ids))
    delete_all(db, first_answer, first_answer.c.expires_at < db_now(), _ROWS_AT_ONCE)
    repeat(db, lambda connection: files.drop_old(connection, files.is_over(older_than), _FILES_AT_ONCE))
    cache.purge(db)
    threads = _purge_gone_tenants(db, delete_outside)
    if older_than is None:
        return threads
    limit = db_now() - older_than
    delete_all(db, batch, batch.c.ended_at < limit, _ROWS_AT_ONCE)
    db.execute(delete(vault).where(vault.c.created_at < limit))
    threads += repeat(db, partial(_drop_threads, condition=thread.c.last_used_at < limit))
    has_response = exists().where(response.c.id == attempt.c.response_id)
    delete_all(db, attempt, and_(attempt.c.started_at < limit, ~has_response), _ROWS_AT_ONCE)
    return threads


def _drop_old_events(connection: Connection, seconds: float) -> None:
    over = select(response.c.id).where(
        response.c.id == event.c.response_id,
        response.c.completed_at < db_now() - seconds,
    )
    connection.execute(delete(event).where(exists(over)))


def _expired_ids(connection: Connection) -> list[str]:
    """Return the ids of some responses that were not to be stored and that nobody can fetch any more."""
    old = select(response.c.id).where(UNSTORED, response.c.expires_at < db_now())
    return list(connection.execute(old.limit(_THREADS_AT_ONCE)).scalars())


def _drop_expired(connection: Connection, ids: Sequence[str]) -> None:
    drop_responses(connection, ids)
    connection.execute(delete(thread).where(thread.c.id.in_(ids)))  # each is a thread of its own


def _purge_gone_tenants(db: Database, delete_outside: DeleteOutside) -> int:
    """Delete what is stored of deleted tenants; return how many threads that were.

    The next purge tries again where something outside the database could not be deleted."""
    threads = 0
    for (name,) in db.fetch_all(select(gone_tenant.c.name)):
        threads += repeat(db, partial(_drop_threads, condition=thread.c.tenant == name))
        db.write(partial(_cancel_remote_batches, name=name))
        is_over = and_(batch.c.tenant == name, not_(RUNNING_REMOTELY))
        for table, condition in (
            (batch, is_over),
            (call_body, call_body.c.tenant == name),
            (first_answer, first_answer.c.tenant == name),
        ):
            delete_all(db, table, condition, _ROWS_AT_ONCE)
        repeat(db, partial(files.drop_old, condition=file.c.tenant == name, limit=_FILES_AT_ONCE))
        cache.purge_tenant(db, name)
        try:
            delete_outside(name)
        except GatewayError as error:
            _LOG.warning("what is kept of the former tenant '%s' cannot be deleted: %s", name, error.raw)
        else:
            db.write(partial(_forget_tenant, name=name))
    return threads


def _cancel_remote_batches(connection: Connection, name: str) -> None:
    """Have providers cancel the batches of a tenant; a later purge deletes them, once they have ended."""
    values = {"cancel_requested": True, "status": "cancelling", "lease_until": due_if_parked()}
    mine = (batch.c.tenant == name, RUNNING_REMOTELY, batch.c.cancel_requested.is_(False))
    connection.execute(update(batch).where(*mine).values(values))


def _forget_tenant(connection: Connection, name: str) -> None:
    """Delete a deleted tenant's last rows, unless something of it still runs."""
    connection.execute(delete(vault).where(vault.c.tenant == name))
    remains = (select(one.c.id).where(one.c.tenant == name).limit(1) for one in (thread, batch))
    if not any(connection.execute(rows).first() for rows in remains):
        connection.execute(delete(gone_tenant).where(gone_tenant.c.name == name))


def _drop_threads(connection: Connection, condition: ColumnElement[bool]) -> int:
    """Delete some of the threads that fit a condition, without those in which something runs; return how many."""
    running = exists().where(response.c.thread_id == thread.c.id, RUNNING)
    idle = select(thread.c.id).where(condition, ~running).limit(_THREADS_AT_ONCE)
    old = connection.execute(idle.with_for_update(skip_locked=True)).scalars().all()
    ids = connection.execute(select(response.c.id).where(response.c.thread_id.in_(old)))
    drop_responses(connection, list(ids.scalars()))
    for thread_id in old:
        drop_conversation(connection, thread_id)
    connection.execute(delete(thread).where(thread.c.id.in_(old)))
    return len(old)
