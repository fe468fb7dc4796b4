"""Batches as their owners see them: created, retrieved, listed and cancelled.

They are run from `app.state.batch_queue`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from app.canonical.record import record
from app.errors import GatewayError
from app.state.database import Repository
from app.state.ids import new_file_id
from app.state.lookup import Page, by_key, read_page, require_row
from app.state.records import JSON
from app.state.remote_batches import due_if_parked
from app.state.tables import AnyRow, batch, db_now
from app.state.wakeups import QUEUE
from app.wire.json import dumps, loads_lenient

_ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})
_TIMES: Final = (
    *("in_progress_at", "expires_at", "finalizing_at", "completed_at", "failed_at"),
    *("expired_at", "cancelling_at", "cancelled_at"),
)


@record
class NewBatch:
    """A batch to be stored. ``members`` are endpoint, completion window, metadata and the number of lines; ``window`` is
    the completion window in seconds."""

    id: str
    tenant: str
    key_id: str
    mount: str
    input_file_id: str
    window: float
    members: Mapping[str, Any]


@record
class StoredBatch:
    """A batch: ``object`` is what its owner sees; ``provider`` is None where the gateway runs it."""

    id: str
    tenant: str
    object: JSON
    provider: str | None

    @property
    def ended(self) -> bool:
        """Tell whether it has ended, in whatever way."""
        return self.object["status"] in _ENDED


class Batches(Repository):
    """The batches of all tenants, as their owners see them."""

    def create(self, new: NewBatch) -> StoredBatch:
        """Store a batch, wake a runner, and return the batch."""

        row = {
            "id": new.id,
            "tenant": new.tenant,
            "key_id": new.key_id,
            "mount": new.mount,
            "status": "validating",
            "input_file_id": new.input_file_id,
            "output_file_id": new_file_id(),
            "error_file_id": new_file_id(),
            "created_at": db_now(),
            "ends_at": db_now() + new.window,
            "body": dumps(dict(new.members)),
        }

        def work(connection: Connection) -> StoredBatch:
            connection.execute(insert(batch).values(row))
            return _stored_batch(_row(connection, new.tenant, new.id))

        return self._db.write(work, [QUEUE])

    def get(self, tenant: str, batch_id: str) -> StoredBatch:
        """Return a tenant's batch; raises ``not_found``."""
        return _stored_batch(self._db.read(lambda connection: _row(connection, tenant, batch_id)))

    def page(self, tenant: str, limit: int, after: str | None) -> Page[StoredBatch]:
        """Return some of a tenant's batches, the newest first."""
        return read_page(self._db, batch, limit, after, _stored_batch, visible=[batch.c.tenant == tenant])

    def cancel(self, tenant: str, batch_id: str) -> StoredBatch:
        """Request the end of a batch and return it; raises ``not_found``, and ``bad_request`` when it has ended."""

        def work(connection: Connection) -> StoredBatch:
            row = _row(connection, tenant, batch_id, lock=True)
            current = _stored_batch(row)
            if current.ended:
                status = current.object["status"]
                raise GatewayError("bad_request", f"Cannot cancel a batch with status '{status}'.")
            if not row.cancel_requested:
                now = connection.execute(select(db_now())).scalar_one()
                members = {**loads_lenient(bytes(row.body)), "cancelling_at": int(now)}
                values = {"cancel_requested": True, "status": "cancelling", "lease_until": due_if_parked()}
                values["body"] = dumps(members)
                connection.execute(update(batch).where(batch.c.id == batch_id).values(values))
            return _stored_batch(_row(connection, tenant, batch_id))

        return self._db.write(work, [QUEUE])


def _stored_batch(row: AnyRow) -> StoredBatch:
    members: JSON = loads_lenient(bytes(row.body))
    has_ended = row.status in _ENDED
    counts = {"completed": row.completed, "failed": row.failed}
    if row.provider is not None and not has_ended:
        counts = members.get("told") or counts  # the provider's, of its last poll
    return StoredBatch(
        row.id,
        row.tenant,
        {
            "id": row.id,
            "object": "batch",
            "endpoint": members["endpoint"],
            "errors": members.get("errors"),
            "input_file_id": row.input_file_id,
            "completion_window": members["completion_window"],
            "status": row.status,
            "output_file_id": row.output_file_id if has_ended and row.output_bytes else None,
            "error_file_id": row.error_file_id if has_ended and row.error_bytes else None,
            "created_at": int(row.created_at),
            **{name: members.get(name) for name in _TIMES},
            "expires_at": int(row.ends_at),
            "request_counts": {"total": members.get("total", 0), **counts},
            "metadata": members.get("metadata"),
        },
        row.provider,
    )


def missing(batch_id: str) -> GatewayError:
    """Return the 404 for a batch that is missing or another tenant's."""
    return GatewayError("not_found", f"No batch found with id '{batch_id[:80]}'.", param="batch_id")


def _row(connection: Connection, tenant: str, batch_id: str, *, lock: bool = False) -> AnyRow:
    query = by_key(batch, batch_id, batch.c.tenant == tenant, lock=lock)
    return require_row(connection, query, batch_id, missing(batch_id))
