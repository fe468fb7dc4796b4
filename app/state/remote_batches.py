"""Batches that a provider runs: which batch of the provider that is, and when it is polled next.

Such a batch is a row of the queue of all batches (`app.state.batch_queue`): a claim polls it once and parks it until the
next poll. What is about to be created at the provider is stored before the request goes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, case, select, update

from app.state.database import Repository
from app.state.records import JSON, Fence
from app.state.tables import BATCH_RUNNING, batch, db_now
from app.state.wakeups import QUEUE
from app.wire.json import dumps, loads_lenient

PARKED: Final = "parked"
"""The lease's owner while a batch waits for its next poll, which is due when the lease ends."""

RUNNING_REMOTELY: Final = and_(BATCH_RUNNING, batch.c.provider.is_not(None))
"""The condition of batches that a provider runs now."""

_SOON: Final = 1.0


@dataclass(frozen=True, slots=True)
class RemoteBatch:
    """A batch at a provider. ``input`` is the provider's id of the input file, None until it was uploaded; ``begun``
    says that the batch was requested, so that it may exist although its ``id`` is not known."""

    provider: str
    realm: str
    model: str
    input: str | None = None
    begun: bool = False
    id: str | None = None


class RemoteBatches(Repository):
    """The batches of all tenants that providers run."""

    def assign(self, batch_id: str, fence: Fence, remote: RemoteBatch | None) -> bool:
        """Store which batch of a provider runs this one; None: the gateway runs it, for good.

        Returns false when the fence no longer holds.
        """
        if remote is None:
            return self._change(
                batch_id,
                fence,
                {"home": None, "here": True},
                {"provider": None, "realm": None, "upstream_id": None},
            )
        columns = {"provider": remote.provider, "realm": remote.realm, "upstream_id": remote.id}
        return self._change(batch_id, fence, {"home": asdict(remote), "here": False}, columns)

    def park(
        self, batch_id: str, fence: Fence, seconds: float, counts: Mapping[str, int] | None = None
    ) -> bool:
        """Let a batch wait ``seconds`` for its next poll; ``counts`` are its provider's counts of requests.

        Returns false when the fence no longer holds.
        """
        members = {} if counts is None else {"told": dict(counts)}
        columns = {"lease_owner": PARKED, "lease_until": db_now() + seconds}
        return self._change(batch_id, fence, members, columns)

    def poll_soon(self, batch_id: str) -> None:
        """Move the next poll of a parked batch up to a second from now."""
        late = (
            batch.c.id == batch_id,
            batch.c.lease_owner == PARKED,
            batch.c.lease_until > db_now() + _SOON,
        )
        if self._db.fetch_first(select(batch.c.id).where(*late)):
            soon = update(batch).where(*late).values(lease_until=db_now() + _SOON)
            self._db.write(lambda connection: connection.execute(soon), [QUEUE])

    def _change(
        self, batch_id: str, fence: Fence, members: Mapping[str, Any], columns: Mapping[str, Any]
    ) -> bool:
        def run(connection: Connection) -> bool:
            query = select(batch).where(batch.c.id == batch_id, *lease_conditions(fence)).with_for_update()
            row = connection.execute(query).first()
            if row is None:
                return False
            body = dumps({**loads_lenient(bytes(row.body)), **members})
            connection.execute(update(batch).where(batch.c.id == batch_id).values(body=body, **columns))
            return True

        return self._db.write(run)


def lease_conditions(fence: Fence) -> tuple[Any, ...]:
    """Return the conditions under which the holder of a fence may still write to its batch."""
    return (BATCH_RUNNING, batch.c.lease_owner == fence.owner, batch.c.attempt == fence.attempt)


def remote_batch_of(members: JSON) -> RemoteBatch | None:
    """Return the provider's batch that a batch's stored members name; None when the gateway runs it."""
    home = members.get("home")
    return None if home is None else RemoteBatch(**home)


def due_if_parked() -> ColumnElement[float]:
    """Return the end of the lease of a batch that is to be polled at once if it is parked."""
    return case((batch.c.lease_owner == PARKED, db_now()), else_=batch.c.lease_until)
