"""Writes that somebody waits for: they notify the waiters of this process and of all others.

The waiters of this process are notified right after the commit. On PostgreSQL the transaction also sends NOTIFY with the
topic, and one listener greenlet in each process passes on what it receives. On SQLite, and behind a pooler, other
processes see the change when they look again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import gevent
from gevent.event import Event
from sqlalchemy import Connection

from app.state.database import Database
from app.state.loops import Loop
from app.state.wakeups import Wakeups

T = TypeVar("T")
_LOG: Final = logging.getLogger(__name__)
_RECONNECT_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.05
_POLL_MAX_SECONDS: Final = 0.5
_QUIET_SECONDS: Final = 3.0  # a commit may be written so long before others see it
_QUIET_MAX_SECONDS: Final = 5.0


class Signals:
    """The database together with the wake-ups of this process."""

    def __init__(self, db: Database, wakeups: Wakeups) -> None:
        self.db = db
        self.wakeups = wakeups
        self._listener = Loop(self._listen)
        self._is_listening = db.is_postgres

    def write(self, run: Callable[[Connection], T], topics: Sequence[str], *, idempotent: bool = False) -> T:
        """Do ``db.write(run)`` and notify whoever waits for one of ``topics``, in any process."""

        def run_and_notify(connection: Connection) -> T:
            from app.state.postgres import notify

            result = run(connection)
            notify(connection, topics)
            return result

        result = self.db.write(run_and_notify if self.db.is_postgres else run, idempotent=idempotent)
        for topic in topics:
            self.wakeups.notify(topic)
        return result

    @property
    def poll_seconds(self) -> float:
        """How long to wait for a notification, at first, before looking again."""
        return _POLL_MAX_SECONDS if self._is_listening else _POLL_SECONDS

    def longer(self, seconds: float) -> float:
        """Return how long a reader waits next that found nothing after ``seconds``."""
        return min(seconds * 2, _POLL_MAX_SECONDS)

    def wait(self, wakeup: Event, seconds: float, *, quiet_after: float = 0.0) -> None:
        """Wait until ``wakeup`` is set, or for ``seconds``, and longer while nobody writes to the database.

        ``quiet_after`` is the time after the last write in which time alone may bring something new, as the end of a
        lease does. Whatever happens, the wait ends after some seconds.
        """
        limit = time.monotonic() + _QUIET_MAX_SECONDS
        quiet_after = max(quiet_after, _QUIET_SECONDS) + seconds
        while not wakeup.wait(seconds):
            if time.monotonic() >= limit or not self.db.is_quiet(quiet_after):
                return

    def start(self) -> None:
        """Listen for notifications of other processes; on SQLite there is nothing to do."""
        if self.db.is_postgres:
            self._listener.start()

    def stop(self) -> None:
        """Close the listener's connection."""
        self._listener.stop()

    def _listen(self) -> None:
        from app.state.postgres import PostgresBackend

        while True:
            backend = self.db.backend
            assert isinstance(backend, PostgresBackend)
            try:
                if not backend.listen(self.wakeups.notify):
                    self._is_listening = False
                    _LOG.info("behind a pooler: looking for changes instead of listening (SLUICE_LISTEN_URL)")
                    return
            except Exception:  # noqa: BLE001 - any fault of the connection; polling bridges the gap
                _LOG.warning("lost the PostgreSQL listener; connecting again", exc_info=True)
            gevent.sleep(_RECONNECT_SECONDS)
