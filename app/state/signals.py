"""Writes that somebody waits for: ring the bells of this process and of all others.

In this process a bell is rung right after the commit. On PostgreSQL the same topic
goes out as NOTIFY inside the transaction, and one listener greenlet per process rings
the bells of what it hears. On SQLite, and behind a pooler, other processes find out by looking
again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import gevent
from sqlalchemy import Connection

from app.state.database import Database
from app.state.loops import Loop
from app.state.wakeups import Wakeups

T = TypeVar("T")
_LOG: Final = logging.getLogger(__name__)
_RECONNECT_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.05
_POLL_MAX_SECONDS: Final = 0.5


class Signals:
    """The database together with the bells of this process."""

    def __init__(self, db: Database, wakeups: Wakeups) -> None:
        self.db = db
        self.wakeups = wakeups
        self._listener = Loop(self._listen)
        self._hears = db.is_postgres

    def write(self, run: Callable[[Connection], T], topics: Sequence[str], *, idempotent: bool = False) -> T:
        """Do ``db.write(run)`` and wake whoever waits for one of ``topics``, anywhere."""
        work = self._with_notify(run, topics) if self.db.is_postgres else run
        result = self.db.write(work, idempotent=idempotent)
        for topic in topics:
            self.wakeups.notify(topic)
        return result

    @property
    def poll_seconds(self) -> float:
        """How long to wait for a bell, at first, before looking again by oneself."""
        return _POLL_MAX_SECONDS if self._hears else _POLL_SECONDS

    def longer(self, seconds: float) -> float:
        """Return the next wait of a reader that found nothing after ``seconds``."""
        return min(seconds * 2, _POLL_MAX_SECONDS)

    def start(self) -> None:
        """Listen for what other processes send; nothing to do on SQLite."""
        if self.db.is_postgres:
            self._listener.start()

    def stop(self) -> None:
        """Close the listener's connection."""
        self._listener.stop()

    def _with_notify(
        self, run: Callable[[Connection], T], topics: Sequence[str]
    ) -> Callable[[Connection], T]:
        from app.state.postgres import notify

        def work(connection: Connection) -> T:
            result = run(connection)
            for topic in topics:
                notify(connection, topic)
            return result

        return work

    def _listen(self) -> None:
        from app.state.postgres import PostgresBackend

        while True:
            backend = self.db.backend
            assert isinstance(backend, PostgresBackend)
            try:
                if not backend.listen(self.wakeups.notify):
                    self._hears = False
                    _LOG.info("behind a pooler: looking for news instead of listening (SLUICE_LISTEN_URL)")
                    return
            except Exception:  # noqa: BLE001 - any fault of the connection; polling bridges the gap
                _LOG.warning("lost the PostgreSQL listener; connecting again", exc_info=True)
            gevent.sleep(_RECONNECT_SECONDS)
