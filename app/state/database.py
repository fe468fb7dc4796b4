"""One way to the database for both kinds: run a function over a connection.

``db.write(fn)`` runs ``fn(connection)`` in one transaction and returns its result
after the commit; ``db.read(fn)`` the same without the intent to write. ``fn`` holds
SQL and plain computing only: it must not wait for anything else, because for SQLite
it runs in a native thread inside the one write transaction. Nobody holds a
connection between two calls, so none is held during a stream.

Any trouble of the database is ``GatewayError("store_unavailable")``.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.engine import URL, make_url

from app.errors import GatewayError
from app.state import migrations
from app.state.faults import translated
from app.state.sqlite import SQLiteBackend

T = TypeVar("T")

DEFAULT_URL: Final = "sqlite:///sluice.db"
_WAIT_SECONDS: Final = 20.0


class Backend(Protocol):
    """What a kind of database must do: SQLite by native threads, PostgreSQL by greenlets."""

    def write(self, run: Callable[[Connection], T], timeout: float) -> T: ...

    def read(self, run: Callable[[Connection], T], timeout: float) -> T: ...

    def close(self) -> None: ...


def parse_url(text: str) -> URL:
    """Parse a ``DATABASE_URL``; ``postgres://`` and ``postgresql://`` mean psycopg 3.

    Raises ``ValueError`` for any other kind of database and for SQLite in memory,
    which no second connection could read.
    """
    url = make_url(text)
    if url.get_backend_name() in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite":
        raise ValueError(f"DATABASE_URL: {url.drivername!r} is not served; use sqlite or postgresql")
    if not url.database or url.database == ":memory:":
        raise ValueError("DATABASE_URL: SQLite needs a file, for example sqlite:///sluice.db")
    return url.set(drivername="sqlite")


class Database:
    """A database opened for this process; threads and pools start at first use, and anew after a fork."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self._backend: Backend | None = None
        self._inherited: list[Backend | None] = []
        self._pid = 0
        self._owner = ""

    @classmethod
    def open(cls, url: str = DEFAULT_URL) -> Database:
        """Migrate the database at ``url`` to the current schema and return it opened.

        Several processes may do this at once: see `app.state.migrations`.
        """
        parsed = parse_url(url)
        with translated():
            migrations.upgrade(parsed)
        return cls(parsed)

    @property
    def is_postgres(self) -> bool:
        return self.url.get_backend_name() == "postgresql"

    @property
    def owner(self) -> str:
        """Name this process as the holder of leases: unique for each process, forked ones too."""
        self._current()
        return self._owner

    def write(self, run: Callable[[Connection], T], *, idempotent: bool = False) -> T:
        """Run ``run(connection)`` in a transaction of its own and return its result once durable.

        ``idempotent``: doing it twice leaves what doing it once leaves, so after
        trouble (also "it did it but said it failed") it is tried once more.
        """
        try:
            return self._write(run)
        except GatewayError as error:
            if not idempotent or error.kind.name != "store_unavailable":
                raise
        return self._write(run)

    def read(self, run: Callable[[Connection], T]) -> T:
        """Run ``run(connection)`` in a reading transaction and return its result."""
        with translated():
            return self._current().read(run, _WAIT_SECONDS)

    def close(self) -> None:
        """Finish what is queued and close every connection of this process."""
        backend, self._backend = self._backend, None
        if backend is not None and self._pid == os.getpid():
            backend.close()

    def _write(self, run: Callable[[Connection], T]) -> T:
        with translated():
            return self._current().write(run, _WAIT_SECONDS)

    def _current(self) -> Backend:
        """Return this process's backend; what a parent opened is left to the parent, unclosed."""
        if self._backend is None or self._pid != os.getpid():
            self._inherited.append(self._backend)
            self._pid = os.getpid()
            self._owner = f"{socket.gethostname()[:64]}-{self._pid}-{secrets.token_hex(8)}"
            self._backend = _open_backend(self.url)
        return self._backend

    @property
    def backend(self) -> Backend:
        """The backend itself, for what only one kind can do (PostgreSQL's LISTEN)."""
        return self._current()


def _open_backend(url: URL) -> Backend:
    if url.get_backend_name() == "sqlite":
        return SQLiteBackend(str(url.database))
    from app.state.postgres import PostgresBackend

    return PostgresBackend(url)
