"""The listener of one process: it receives the notifications that other processes send through PostgreSQL.

On SQLite, and behind a pooler, there are none: there a process sees changes of others when it looks again.
"""

from __future__ import annotations

import logging
from typing import Final

import gevent

from app.state.database import Database

_LOG: Final = logging.getLogger(__name__)
_RECONNECT_SECONDS: Final = 2.0


def listen(db: Database) -> None:
    """Notify the waiters of this process of what other processes send; return only where nothing can be received."""
    if not db.is_postgres:
        return
    from app.state.postgres import PostgresBackend

    while True:
        backend = db.backend
        assert isinstance(backend, PostgresBackend)
        try:
            if not backend.listen(db.wakeups.notify):
                db.wakeups.receives_all = False
                _LOG.info("behind a pooler: looking for changes instead of listening (SLUICE_LISTEN_URL)")
                return
        except Exception:  # noqa: BLE001 - any fault of the connection; polling bridges the gap
            _LOG.warning("lost the PostgreSQL listener; connecting again", exc_info=True)
        gevent.sleep(_RECONNECT_SECONDS)
