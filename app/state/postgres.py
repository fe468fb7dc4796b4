"""PostgreSQL as a backend: psycopg 3 in SQLAlchemy's pool, short transactions.

psycopg waits through gevent by itself, so functions run in greenlets. A write runs
in a greenlet of its own: a caller that is killed or times out does not undo it. One
listener connection a process receives NOTIFY and hands the payloads on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from app.state.threads import Job, cooperative

_LOG: Final = logging.getLogger(__name__)
CHANNEL: Final = "sluice"
_POOL_SECONDS: Final = 5.0
_OPTIONS: Final = (
    "-c statement_timeout=15000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=30000"
)


class PostgresBackend:
    """Run functions over a pooled connection; see `Database` for the contract."""

    def __init__(self, url: URL, *, pool_size: int = 10) -> None:
        arguments: dict[str, Any] = {"connect_timeout": 5}
        if "options" not in url.query:
            arguments["options"] = _OPTIONS
        self._engine = create_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=_POOL_SECONDS,
            pool_recycle=1800,
            pool_use_lifo=True,
            connect_args=arguments,
        )

    def write(self, run: Callable[[Connection], Any], timeout: float) -> Any:
        if not cooperative():
            return self._transact(run)
        import gevent

        job = Job(run)
        gevent.spawn(self._serve, job)
        return job.wait(timeout)

    def read(self, run: Callable[[Connection], Any], timeout: float) -> Any:
        return self._transact(run)

    def close(self) -> None:
        self._engine.dispose()

    def _serve(self, job: Job) -> None:
        try:
            job.result = self._transact(job.run)
        except Exception as error:  # noqa: BLE001 - the caller's greenlet raises it
            job.error = error
        finally:
            job.finish()

    def _transact(self, run: Callable[[Connection], Any]) -> Any:
        """Run once; run again when a pooled connection proved dead before anything was done."""
        try:
            return self._once(run)
        except _DiedEarly as died:
            _LOG.info("a pooled connection was dead: %s", died)
            return self._once(run, last=True)

    def _once(self, run: Callable[[Connection], Any], *, last: bool = False) -> Any:
        with self._engine.begin() as connection:
            try:
                return run(connection)
            except DBAPIError as error:
                if error.connection_invalidated and not last:
                    raise _DiedEarly(str(error)) from error
                raise

    def listen(self, heard: Callable[[str], None]) -> None:
        """Call ``heard(payload)`` for every NOTIFY on our channel; return or raise when cut."""
        pooled = self._engine.raw_connection()
        driver: Any = pooled.driver_connection
        pooled.detach()
        try:
            driver.autocommit = True
            driver.execute(f"LISTEN {CHANNEL}")
            for notice in driver.notifies():
                heard(notice.payload)
        finally:
            driver.close()


class _DiedEarly(Exception):
    """A pooled connection was already dead; nothing was committed."""


def notify(connection: Connection, topic: str) -> None:
    """Send ``topic`` to every process's listener when the transaction commits."""
    connection.execute(_NOTIFY, {"channel": CHANNEL, "topic": topic})


_NOTIFY: Final = text("SELECT pg_notify(:channel, :topic)")
