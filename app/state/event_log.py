"""The event log of background responses: the process that runs one appends, and any process reads.

Numbered events are appended in batches. An append renews the lease as well, and it is refused once the response was
cancelled or another process runs it. A reader starts after any number and gets exactly the rest, in any process: it
is woken by a notification, and polls as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import Boolean, Connection, bindparam, or_, select, update

from app.errors import GatewayError
from app.responses_form.events import shows_output
from app.state import rows
from app.state.database import Database
from app.state.records import JSON, Fence
from app.state.schema import LEASE_SECONDS
from app.state.tables import db_now, event, response
from app.state.upserts import insert_new
from app.wire.json import dumps, loads_lenient
from app.wire.offload import aside

_RENEW: Final = (
    update(response)
    .where(response.c.id == bindparam("renewed_id"), response.c.stream, *rows.GUARD)
    .values(
        lease_until=db_now() + bindparam("lease_seconds"),
        shown=or_(response.c.shown, bindparam("shows_output", type_=Boolean)),
    )
)


class EventLog:
    """The logs of all background responses."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def append(self, response_id: str, fence: Fence, events: Sequence[Mapping[str, Any]]) -> bool:
        """Store one batch of events, whose numbers follow the last one's, and renew the lease.

        Returns false when the fence no longer holds: the response was cancelled, or another process has its lease. The
        caller must then stop.
        """

        def work(connection: Connection) -> bool:
            values = {
                "renewed_id": response_id,
                "lease_seconds": LEASE_SECONDS,
                **rows.fence_parameters(fence),
            }
            renewal = connection.execute(_RENEW, values | {"shows_output": shows_output(events)})
            if renewal.rowcount != 1:
                return False
            append(connection, response_id, events)
            return True

        return self._db.write(work, [response_id], idempotent=True)

    def follow(
        self, tenant: str, response_id: str, after: int = -1, *, idle: float = 15.0
    ) -> Iterator[list[JSON]]:
        """Return an iterator over batches of events numbered above ``after``, until the log ends.

        An empty batch means that no event came for ``idle`` seconds (time for a keep-alive). Raises at once, before the
        first batch: ``not_found``, and ``bad_request`` for a response that never had a log or whose log was deleted.
        """
        self._db.read(lambda connection: _check_readable(connection, tenant, response_id))
        return self._follow(tenant, response_id, after, idle)

    def _follow(self, tenant: str, response_id: str, after: int, idle: float) -> Iterator[list[JSON]]:
        quiet_since = time.monotonic()
        pause = self._db.wakeups.poll_seconds
        with self._db.wakeups.subscription(response_id) as wakeup:
            while True:
                wakeup.clear()
                bodies, ended = self._read_new(tenant, response_id, after)
                for body in bodies:  # each on its own: all that came may be large
                    events = aside(len(body), partial(parse, [body], after=after))
                    after = events[-1]["sequence_number"]
                    yield events
                if ended:
                    return
                now = time.monotonic()
                if bodies:
                    quiet_since, pause = now, self._db.wakeups.poll_seconds
                elif now - quiet_since >= idle:
                    yield []
                    quiet_since = time.monotonic()
                wakeup.wait(min(pause, idle))
                pause = self._db.wakeups.longer(pause)

    def _read_new(self, tenant: str, response_id: str, after: int) -> tuple[list[bytes], bool]:
        """Return the batches after a number, and whether the log has ended."""

        def work(connection: Connection) -> tuple[list[bytes], bool]:
            status = rows.status_of(connection, tenant, response_id)
            if status is None:  # it was deleted meanwhile
                return [], True
            bodies = read_bodies(connection, response_id, after=after)
            return bodies, status not in rows.RUNNING_STATUSES

        return self._db.read(work)


def _check_readable(connection: Connection, tenant: str, response_id: str) -> None:
    row = rows.require(connection, tenant, response_id)
    if not row.background:
        raise GatewayError(
            "bad_request",
            "This response cannot be streamed because it was not created with background=true.",
            param="stream",
        )
    has_ended = row.status not in rows.RUNNING_STATUSES
    if has_ended and not exists(connection, response_id):
        raise GatewayError(
            "bad_request",
            f"The events of response '{response_id}' are no longer kept. Retrieve it without stream=true.",
            param="stream",
        )


# --- the table: one row for each batch, with the events as JSON lines ------------------------------


_AFTER: Final = (
    select(event.c.body)
    .where(event.c.response_id == bindparam("id"), event.c.last_seq > bindparam("after"))
    .order_by(event.c.first_seq)
)


def append(connection: Connection, response_id: str, events: Sequence[Mapping[str, Any]]) -> None:
    """Store one batch of numbered events; the same batch again changes nothing."""
    if not events:
        return
    row = {
        "response_id": response_id,
        "first_seq": events[0]["sequence_number"],
        "last_seq": events[-1]["sequence_number"],
        "body": b"\n".join(dumps(one) for one in events),
    }
    insert_new(connection, event, [row])


def read(connection: Connection, response_id: str, *, after: int) -> list[JSON]:
    """Return the events numbered above ``after``, in order."""
    return parse(read_bodies(connection, response_id, after=after), after=after)


def read_bodies(connection: Connection, response_id: str, *, after: int) -> list[bytes]:
    """Return the batches that hold an event numbered above ``after``."""
    rows = connection.execute(_AFTER, {"id": response_id, "after": after})
    return [bytes(row.body) for row in rows]


def parse(bodies: Sequence[bytes], *, after: int) -> list[JSON]:
    """Return the events of ``bodies`` that are numbered above ``after``."""
    events = (loads_lenient(line) for body in bodies for line in body.split(b"\n"))
    return [one for one in events if one["sequence_number"] > after]


def exists(connection: Connection, response_id: str) -> bool:
    """Tell whether any event of the response is stored."""
    statement = select(event.c.first_seq).where(event.c.response_id == response_id).limit(1)
    return connection.execute(statement).first() is not None
