"""Batches that providers run, in the database: parked between looks, and never left behind."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, text

from app.state.batch_queue import BatchWork
from app.state.batches import NewBatch
from app.state.remote_batches import RemoteBatch
from app.state.state import State
from app.state.tables import gone_tenant
from tests.state.turns import TENANT

REMOTE = RemoteBatch("openai", "openai:one", "gpt-4o", "file-up", True)
MEMBERS = {"endpoint": "/v1/chat/completions", "completion_window": "24h", "total": 1}


def claim_batch(state: State) -> BatchWork:
    """Make a batch, claim it, and write down that a provider is asked for it."""
    state.batches.create(NewBatch("batch_1", TENANT, "k", "unified", "file-1", 86_400, MEMBERS))
    (work,) = state.batch_queue.claim(1)
    assert work.remote is None
    assert state.remote_batches.assign(work.id, work.fence, REMOTE)
    return work


def test_a_parked_batch_is_due_when_its_owner_cancels_it(state: State) -> None:
    work = claim_batch(state)
    assert state.remote_batches.park(work.id, work.fence, 60, {"completed": 3, "failed": 1})
    assert state.batches.get(TENANT, work.id).object["request_counts"] == {
        "total": 1,
        "completed": 3,
        "failed": 1,
    }
    assert state.batch_queue.claim(1) == []
    state.batches.cancel(TENANT, work.id)
    (found,) = state.batch_queue.claim(1)
    assert (found.remote, found.cancelled) == (REMOTE, True)


def test_who_lost_a_batch_cannot_move_or_park_it(state: State) -> None:
    work = claim_batch(state)
    state.batch_queue.release(work.id, work.fence)
    (other,) = state.batch_queue.claim(1)
    assert not state.remote_batches.assign(work.id, work.fence, None)
    assert not state.remote_batches.park(work.id, work.fence, 60)
    assert state.remote_batches.assign(other.id, other.fence, None)
    state.batch_queue.release(other.id, other.fence)
    (again,) = state.batch_queue.claim(1)
    assert (again.remote, again.is_local) == (None, True)


def test_the_batch_of_a_deleted_tenant_is_cancelled_before_it_goes(state: State) -> None:
    work = claim_batch(state)
    assert state.remote_batches.park(work.id, work.fence, 60)
    gone = text("INSERT INTO gone_tenant (name, gone_at) VALUES (:name, 0)").bindparams(name=TENANT)
    state.db.write(lambda connection: connection.execute(gone) and None)
    state.purge(None)
    (found,) = state.batch_queue.claim(1)
    assert (found.remote, found.cancelled) == (REMOTE, True)
    assert left(state) == [TENANT]
    state.batch_queue.finish(found.id, found.fence, "cancelled")
    state.purge(None)
    assert left(state) == []
    assert state.batches.page(TENANT, 10, None).rows == []


def left(state: State) -> list[Any]:
    """Return the names of deleted tenants of whom something is left."""
    return state.db.read(lambda connection: list(connection.execute(select(gone_tenant.c.name)).scalars()))
