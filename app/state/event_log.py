"""The event log of background responses: appended by the one who runs, read by anyone.

Numbered events go in by batches. An append is also a heartbeat and a fence: it renews
the lease, and it is refused once the response was cancelled or another process runs it.
Readers start after any number and get exactly the rest, from any process: woken by a
bell, looking by themselves anyway.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Boolean, Connection, bindparam, or_, update

from app.canonical.record import record
from app.errors import GatewayError
from app.responses_form.events import shows_output
from app.state import event_rows, rows
from app.state.leases import LEASE_SECONDS
from app.state.records import JSON, Fence
from app.state.signals import Signals
from app.state.tables import db_now, response

_RENEW: Final = (
    update(response)
    .where(response.c.id == bindparam("renewed_id"), response.c.stream, *rows.GUARD)
    .values(
        lease_until=db_now() + bindparam("lease_seconds"),
        shown=or_(response.c.shown, bindparam("shows_output", type_=Boolean)),
    )
)


@record
class _Seen:
    """One look at a log: the batches after a number, and whether more may come."""

    bodies: list[bytes]
    ended: bool


class EventLog:
    """The logs of all background responses."""

    def __init__(self, signals: Signals, *, lease: float = LEASE_SECONDS) -> None:
        self._signals = signals
        self._lease = lease

    def append(self, response_id: str, fence: Fence, events: Sequence[Mapping[str, Any]]) -> bool:
        """Store one batch of events, numbered on from the last; renew the lease.

        Returns false when this fence may no longer write: the response was cancelled,
        or its lease went to another process. The caller then stops.
        """
        return self._signals.write(
            lambda connection: self._append(connection, response_id, fence, events),
            [response_id],
            idempotent=True,
        )

    def follow(
        self, tenant: str, response_id: str, after: int = -1, *, idle: float = 15.0
    ) -> Iterator[list[JSON]]:
        """Return an iterator over batches of events numbered above ``after``, until the log ends.

        An empty batch means that nothing came for ``idle`` seconds (time for a
        keep-alive). Raises at once, before the first batch: 404, 400 for a response
        that has no log, 400 for a log no longer kept.
        """
        self._signals.db.read(lambda connection: _check_readable(connection, tenant, response_id))
        return self._follow(tenant, response_id, after, idle)

    def _append(
        self,
        connection: Connection,
        response_id: str,
        fence: Fence,
        events: Sequence[Mapping[str, Any]],
    ) -> bool:
        renewed = connection.execute(
            _RENEW,
            {
                "renewed_id": response_id,
                "lease_seconds": self._lease,
                "shows_output": shows_output(events),
                **rows.fence_parameters(fence),
            },
        )
        if renewed.rowcount != 1:
            return False
        event_rows.append(connection, response_id, events)
        return True

    def _follow(self, tenant: str, response_id: str, after: int, idle: float) -> Iterator[list[JSON]]:
        quiet_since = time.monotonic()
        pause = self._signals.poll_seconds
        with self._signals.wakeups.subscribed(response_id) as wakeup:
            while True:
                wakeup.clear()
                seen = self._read_new(tenant, response_id, after)
                events = event_rows.parse(seen.bodies, after=after)
                if events:
                    after = events[-1]["sequence_number"]
                    yield events
                if seen.ended:
                    return
                now = time.monotonic()
                if events:
                    quiet_since, pause = now, self._signals.poll_seconds
                elif now - quiet_since >= idle:
                    yield []
                    quiet_since = time.monotonic()
                wakeup.wait(min(pause, idle))
                pause = self._signals.longer(pause)

    def _read_new(self, tenant: str, response_id: str, after: int) -> _Seen:
        def work(connection: Connection) -> _Seen:
            status = rows.status_of(connection, tenant, response_id)
            if status is None:  # deleted meanwhile
                return _Seen([], ended=True)
            bodies = event_rows.read_bodies(connection, response_id, after=after)
            return _Seen(bodies, ended=status not in rows.RUNNING_STATUSES)

        return self._signals.db.read(work)


def _check_readable(connection: Connection, tenant: str, response_id: str) -> None:
    row = rows.require(connection, tenant, response_id)
    if not row.background:
        raise GatewayError(
            "bad_request",
            "This response cannot be streamed because it was not created with background=true.",
            param="stream",
        )
    ended = row.status not in rows.RUNNING_STATUSES
    if ended and not event_rows.exists(connection, response_id):
        raise GatewayError(
            "bad_request",
            f"The events of response '{response_id}' are no longer kept. Retrieve it without stream=true.",
            param="stream",
        )
