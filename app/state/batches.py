"""The batches of tenants: made, looked at, listed and cancelled by their owners.

How they are run is the affair of `app.state.batch_queue`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, insert, select, update

from app.canonical.record import record
from app.errors import GatewayError
from app.state import listing
from app.state.ids import new_file_id, storable
from app.state.listing import Page
from app.state.records import JSON
from app.state.remote_batches import due_if_parked
from app.state.signals import Signals
from app.state.tables import AnyRow, batch, db_now
from app.state.wakeups import QUEUE
from app.wire.json import dumps, loads_lenient

_ENDING: Final = frozenset({"completed", "failed", "expired", "cancelled"})
_TIMES: Final = (
    *("in_progress_at", "expires_at", "finalizing_at", "completed_at", "failed_at"),
    *("expired_at", "cancelling_at", "cancelled_at"),
)


@record
class NewBatch:
    """A batch about to wait for its turn. ``members`` are endpoint, completion window, metadata and the
    count of lines; ``window`` is its seconds."""

    id: str
    tenant: str
    key_id: str
    mount: str
    input_file_id: str
    window: float
    members: Mapping[str, Any]


@record
class StoredBatch:
    """A batch: ``object`` is what its owner is shown. ``provider`` is None where it runs here."""

    id: str
    tenant: str
    object: JSON
    provider: str | None

    @property
    def ended(self) -> bool:
        """Tell whether it has ended, however that was."""
        return self.object["status"] in _ENDING


class Batches:
    """The batches of all tenants, as their owners see them."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._db = signals.db

    def create(self, new: NewBatch) -> StoredBatch:
        """Store a batch that waits to be run, and wake a runner; return it."""

        def work(connection: Connection) -> StoredBatch:
            connection.execute(insert(batch).values(_row_of(new)))
            return stored_batch(_row(connection, new.tenant, new.id))

        return self._signals.write(work, [QUEUE])

    def get(self, tenant: str, batch_id: str) -> StoredBatch:
        """Return a tenant's batch; raises ``not_found``."""
        return stored_batch(self._db.read(lambda connection: _row(connection, tenant, batch_id)))

    def page(self, tenant: str, limit: int, after: str | None) -> Page[StoredBatch]:
        """Return some of a tenant's batches, the newest first."""
        rows, more = self._db.read(
            lambda connection: listing.read(connection, batch, limit, after, owned=_ownership(tenant))
        )
        return Page([stored_batch(row) for row in rows], more)

    def cancel(self, tenant: str, batch_id: str) -> StoredBatch:
        """Ask for the end of a batch; return it. Raises ``not_found``, and ``bad_request`` when it has ended."""

        def work(connection: Connection) -> StoredBatch:
            row = _row(connection, tenant, batch_id, locked=True)
            stored = stored_batch(row)
            if stored.ended:
                status = stored.object["status"]
                raise GatewayError("bad_request", f"Cannot cancel a batch with status '{status}'.")
            if not row.cancel_requested:
                members = {**loads_lenient(bytes(row.body)), "cancelling_at": _now(connection)}
                values = {"cancel_requested": True, "status": "cancelling", "lease_until": due_if_parked()}
                values["body"] = dumps(members)
                connection.execute(update(batch).where(batch.c.id == batch_id).values(values))
            return stored_batch(_row(connection, tenant, batch_id))

        return self._signals.write(work, [QUEUE])


def stored_batch(row: AnyRow) -> StoredBatch:
    """Return a batch of its row."""
    return StoredBatch(row.id, row.tenant, show(row), row.provider)


def show(row: AnyRow) -> JSON:
    """Return a batch as its owner sees it."""
    members: JSON = loads_lenient(bytes(row.body))
    ended = row.status in _ENDING
    told = members.get("told") if row.provider is not None and not ended else None
    counts = told or {"completed": row.completed, "failed": row.failed}
    return {
        "id": row.id,
        "object": "batch",
        "endpoint": members["endpoint"],
        "errors": members.get("errors"),
        "input_file_id": row.input_file_id,
        "completion_window": members["completion_window"],
        "status": row.status,
        "output_file_id": row.output_file_id if ended and row.output_bytes else None,
        "error_file_id": row.error_file_id if ended and row.error_bytes else None,
        "created_at": int(row.created_at),
        **{name: members.get(name) for name in _TIMES},
        "expires_at": int(row.ends_at),
        "request_counts": {"total": members.get("total", 0), **counts},
        "metadata": members.get("metadata"),
    }


def missing(batch_id: str) -> GatewayError:
    """Return the error for a batch that there is not, for this caller."""
    return GatewayError("not_found", f"No batch found with id '{batch_id[:80]}'.", param="batch_id")


def _row_of(new: NewBatch) -> dict[str, Any]:
    return {
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


def _now(connection: Connection) -> int:
    return int(connection.execute(select(db_now())).scalar_one())


def _ownership(tenant: str) -> tuple[ColumnElement[bool], ...]:
    return (batch.c.tenant == tenant,)


def _row(connection: Connection, tenant: str, batch_id: str, *, locked: bool = False) -> AnyRow:
    row = None
    if storable(batch_id):
        statement = select(batch).where(batch.c.id == batch_id, *_ownership(tenant))
        row = connection.execute(statement.with_for_update() if locked else statement).first()
    if row is None:
        raise missing(batch_id)
    return row
