"""What goes when: deletion of content nobody needs, and the purge of old threads.

A deleted response is unreachable at once. Its content stays while a living
descendant has it in its history, and goes with the last of them. Retention counts
from a thread's newest turn, so a long-lived conversation is kept whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import gevent
from sqlalchemy import ColumnElement, Connection, and_, delete, exists, not_, select, update

from app.errors import GatewayError
from app.state import blobs, cache, call_bodies, files, idempotency, live_events
from app.state.batchhomes import ELSEWHERE, at_once
from app.state.database import Database
from app.state.loops import Loop
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
_THREADS_AT_ONCE: Final = 100
_ATTEMPTS_AT_ONCE: Final = 2_000
_FILES_AT_ONCE: Final = 5  # each may have a hundred pieces of 1 MiB
_PURGE_SECONDS: Final = 600.0
Elsewhere = Callable[[str], None]
"""Deletes what a tenant has outside the database; raises ``store_unavailable``."""

_LOG: Final = logging.getLogger(__name__)


def collect(connection: Connection, thread_id: str) -> None:
    """Drop the deleted responses of a thread that no living response descends from."""
    needed = (
        select(response.c.id, response.c.parent_id)
        .where(response.c.thread_id == thread_id, response.c.deleted_at.is_(None))
        .cte("needed", recursive=True)
    )
    needed = needed.union(
        select(response.c.id, response.c.parent_id).join(needed, response.c.id == needed.c.parent_id)
    )
    doomed = connection.execute(
        select(response.c.id).where(
            response.c.thread_id == thread_id,
            response.c.deleted_at.is_not(None),
            response.c.id.not_in(select(needed.c.id)),
        )
    ).scalars()
    drop_responses(connection, list(doomed))
    _drop_deleted_conversation(connection, thread_id)


def drop_responses(connection: Connection, ids: Sequence[str]) -> None:
    """Delete responses with all they hold; the attempts stay until the next purge of old ones."""
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
    """Drop a deleted conversation once no response needs it as its history."""
    row = connection.execute(
        select(conversation.c.id).where(
            conversation.c.id == conversation_id,
            conversation.c.deleted_at.is_not(None),
            ~exists().where(response.c.conversation_id == conversation.c.id),
        )
    ).first()
    if row is not None:
        drop_conversation(connection, conversation_id)


def nothing(tenant: str) -> None:
    """Delete what is kept of a tenant elsewhere: nothing is."""


def purge(
    db: Database,
    *,
    older_than: float | None,
    events_kept: float = EVENTS_KEPT,
    elsewhere: Elsewhere = nothing,
) -> int:
    """Delete threads and tries unused for ``older_than`` seconds, and logs ``events_kept`` after their end.

    ``older_than`` None keeps threads for ever. ``elsewhere`` deletes what a tenant has outside the database. Works in short transactions and returns
    how many threads went. Threads with something running are left alone.
    """
    db.write(lambda connection: _drop_old_events(connection, events_kept))
    db.write(live_events.drop_notices)
    while ids := db.read(_expired):  # looks at all responses, so it holds no writer up
        db.write(partial(_drop_expired, ids=ids))
    while db.write(idempotency.drop_old):
        continue
    _purge_files(db, older_than)
    cache.purge(db)
    gone = _purge_gone_tenants(db, elsewhere)
    if older_than is None:
        return gone
    db.write(
        lambda connection: (
            connection.execute(delete(vault).where(vault.c.created_at < db_now() - older_than)).rowcount
        )
    )
    total = gone
    old = thread.c.last_used_at < db_now() - older_than
    while went := db.write(lambda connection: _drop_threads(connection, old)):
        total += went
    while db.write(lambda connection: _drop_old_attempts(connection, older_than)):
        continue
    return total


def _drop_old_events(connection: Connection, kept: float) -> None:
    over = select(response.c.id).where(
        response.c.id == event.c.response_id,
        response.c.completed_at < db_now() - kept,
    )
    connection.execute(delete(event).where(exists(over)))


def _expired(connection: Connection) -> list[str]:
    """Return some responses that were not to be stored and that nobody can fetch any more."""
    old = select(response.c.id).where(UNSTORED, response.c.expires_at < db_now())
    return list(connection.execute(old.limit(_THREADS_AT_ONCE)).scalars())


def _drop_expired(connection: Connection, ids: Sequence[str]) -> None:
    drop_responses(connection, ids)
    connection.execute(delete(thread).where(thread.c.id.in_(ids)))  # each is a thread of its own


def _drop_old_attempts(connection: Connection, older_than: float) -> int:
    """Drop tries that are old and belong to no response that is still kept."""
    has_response = exists().where(response.c.id == attempt.c.response_id)
    old = select(attempt.c.id).where(attempt.c.started_at < db_now() - older_than, ~has_response)
    return connection.execute(delete(attempt).where(attempt.c.id.in_(old.limit(_ATTEMPTS_AT_ONCE)))).rowcount


def _purge_files(db: Database, older_than: float | None) -> None:
    """Delete files whose time is over and that no running batch needs, and batches that ended long ago."""
    while db.write(lambda connection: files.drop_old(connection, files.is_over(older_than), _FILES_AT_ONCE)):
        continue
    if older_than is None:
        return
    old = batch.c.ended_at < db_now() - older_than
    while db.write(lambda connection: _drop_batches(connection, old)):
        continue


def _drop_batches(connection: Connection, condition: ColumnElement[bool]) -> int:
    some = select(batch.c.id).where(condition).limit(_ATTEMPTS_AT_ONCE)
    return connection.execute(delete(batch).where(batch.c.id.in_(some))).rowcount


def _purge_gone_tenants(db: Database, elsewhere: Elsewhere) -> int:
    """Delete what is stored of tenants that were deleted; return how many threads that were.

    One of whom something remains elsewhere is looked at again by the next purge."""
    names = db.read(lambda connection: list(connection.execute(select(gone_tenant.c.name)).scalars()))
    total = 0
    for name in names:
        mine = thread.c.tenant == name
        while went := db.write(partial(_drop_threads, condition=mine)):
            total += went
        db.write(partial(_end_elsewhere, name=name))
        db.write(partial(_drop_batches, condition=and_(batch.c.tenant == name, not_(ELSEWHERE))))
        while db.write(partial(files.drop_old, condition=file.c.tenant == name, limit=_FILES_AT_ONCE)):
            continue
        while db.write(partial(call_bodies.drop_of_tenant, tenant=name)):
            continue
        while db.write(partial(idempotency.drop_of_tenant, tenant=name)):
            continue
        cache.purge_tenant(db, name)
        try:
            elsewhere(name)
        except GatewayError as error:
            _LOG.warning("what is kept of the former tenant '%s' cannot be deleted: %s", name, error.raw)
        else:
            db.write(partial(_forget_tenant, name=name))
    return total


def _end_elsewhere(connection: Connection, name: str) -> None:
    """Have the batches of a tenant that providers run be cancelled there; they are dropped once they have ended."""
    values = {"cancel_requested": True, "status": "cancelling", "lease_until": at_once()}
    mine = (batch.c.tenant == name, ELSEWHERE, batch.c.cancel_requested.is_(False))
    connection.execute(update(batch).where(*mine).values(values))


def _forget_tenant(connection: Connection, name: str) -> None:
    """Drop a deleted tenant's last rows, unless something of his still runs."""
    connection.execute(delete(vault).where(vault.c.tenant == name))
    left = (select(one.c.id).where(one.c.tenant == name).limit(1) for one in (thread, batch))
    if not any(connection.execute(rows).first() for rows in left):
        connection.execute(delete(gone_tenant).where(gone_tenant.c.name == name))


def _drop_threads(connection: Connection, condition: ColumnElement[bool]) -> int:
    """Drop some of the threads that a condition picks, those with something running left alone."""
    running = exists().where(response.c.thread_id == thread.c.id, RUNNING)
    old = (
        connection.execute(
            select(thread.c.id)
            .where(condition, ~running)
            .limit(_THREADS_AT_ONCE)
            .with_for_update(skip_locked=True)
        )
        .scalars()
        .all()
    )
    ids = connection.execute(select(response.c.id).where(response.c.thread_id.in_(old)))
    drop_responses(connection, list(ids.scalars()))
    for thread_id in old:
        drop_conversation(connection, thread_id)
    connection.execute(delete(thread).where(thread.c.id.in_(old)))
    return len(old)


class Purger:
    """Purges from time to time in a greenlet of this process; several processes may."""

    def __init__(self, db: Database, *, older_than: float | None, elsewhere: Elsewhere = nothing) -> None:
        self._db = db
        self._elsewhere = elsewhere
        self._older_than = older_than
        self._loop = Loop(self._run)

    def start(self) -> None:
        """Purge now and every ten minutes."""
        self._loop.start()

    def stop(self) -> None:
        """End the greenlet; a purge under way keeps what it committed."""
        self._loop.stop()

    def _run(self) -> None:
        while True:
            try:
                purge(self._db, older_than=self._older_than, elsewhere=self._elsewhere)
            except Exception:  # noqa: BLE001 - the next turn does what this one left
                _LOG.warning("the purge of old responses stopped", exc_info=True)
            gevent.sleep(_PURGE_SECONDS)
