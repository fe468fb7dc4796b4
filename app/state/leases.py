"""Leases: who is still alive, and the end of what nobody keeps alive.

A synchronous response is held by the process that serves it: its row carries a
lease, which the process renews while it works on it. A process that dies stops
renewing, and any other process's sweep ends the row as failed, ``server_lost``. The
sweep does the same to background work that may not be run again: output was shown,
or three attempts died. All times are the database's clock.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any, Final

import gevent
from sqlalchemy import Connection, and_, or_, select, update

from app.errors import GatewayError
from app.responses_form.errors import LOST
from app.state.loops import Loop
from app.state.rows import chunks
from app.state.signals import Signals
from app.state.tables import RUNNING, db_now, response
from app.state.termination import terminate
from app.state.upserts import run

_LOG: Final = logging.getLogger(__name__)

LEASE_SECONDS: Final = 10.0
SWEEP_SECONDS: Final = 2.0
MAX_ATTEMPTS: Final = 3
_AT_ONCE: Final = 50


def is_lapsed() -> Any:
    """The condition of rows whose work is lost for good."""
    may_not_run_again = or_(
        ~response.c.background,
        response.c.shown,
        and_(response.c.attempt >= MAX_ATTEMPTS, response.c.lease_owner.is_not(None)),
    )
    return and_(RUNNING, response.c.lease_until < db_now(), may_not_run_again)


def sweep(signals: Signals) -> int:
    """End the lost rows as failed, ``server_lost``, with what they had shown; return how many."""
    found: list[Any] = signals.db.read(lambda connection: run(connection, _select_lapsed(), {}).fetchall())
    return sum(_end_one(signals, lost) for (lost,) in found)


@cache
def _select_lapsed() -> Any:
    return select(response.c.id).where(is_lapsed()).limit(_AT_ONCE)


def _end_one(signals: Signals, response_id: str) -> bool:
    return signals.write(lambda connection: _end_lost(connection, response_id), [response_id])


def _end_lost(connection: Connection, response_id: str) -> bool:
    """Look again under the row's lock: its owner may have come back."""
    row = connection.execute(
        select(response).where(response.c.id == response_id, is_lapsed()).with_for_update(skip_locked=True)
    ).first()
    return row is not None and terminate(connection, row, "failed", LOST)


class Keeper:
    """Renews this process's leases on synchronous responses, and sweeps for everybody."""

    def __init__(self, signals: Signals, *, lease: float = LEASE_SECONDS) -> None:
        self._signals = signals
        self._lease = lease
        self._held: set[str] = set()
        self._loop = Loop(self._run)

    def hold(self, response_id: str) -> None:
        """Keep the lease of ``response_id`` alive from now on."""
        self._held.add(response_id)

    def drop(self, response_id: str) -> None:
        """Let the lease of ``response_id`` run out."""
        self._held.discard(response_id)

    def holds(self, response_id: str) -> bool:
        """Say whether this process keeps ``response_id`` alive, so that it is a synchronous one."""
        return response_id in self._held

    def start(self) -> None:
        """Begin renewing and sweeping in a greenlet of this process."""
        self._loop.start()

    def stop(self) -> None:
        """End the greenlet; leases still held run out by themselves."""
        self._loop.stop()

    def turn(self) -> None:
        """Renew once and sweep once."""
        if self._held:
            self._signals.db.write(self._renew)
        sweep(self._signals)

    def _run(self) -> None:
        while True:
            try:
                self.turn()
            except GatewayError as error:
                _LOG.warning("leases not renewed: %s", error.raw or error.message)
            except Exception:  # noqa: BLE001 - the loop must outlive any fault, or leases would run out
                _LOG.exception("leases not renewed")
            gevent.sleep(SWEEP_SECONDS)

    def _renew(self, connection: Connection) -> None:
        for some in chunks(list(self._held)):
            connection.execute(
                update(response)
                .where(
                    response.c.id.in_(some),
                    RUNNING,
                    response.c.lease_owner == self._signals.db.owner,
                )
                .values(lease_until=db_now() + self._lease)
            )
