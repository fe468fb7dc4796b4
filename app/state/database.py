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
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, Executable
from sqlalchemy.engine import URL, make_url

from app.canonical.record import record
from app.database_url import faults_of, is_postgres
from app.errors import GatewayError
from app.state import migrations
from app.state.cipher import Cipher
from app.state.faults import opening, translate_errors
from app.state.sqlite import SQLiteBackend

T = TypeVar("T")

DEFAULT_URL: Final = "sqlite:///sluice.db"
_WAIT_SECONDS: Final = 20.0


class Backend(Protocol):
    """What a kind of database must do: SQLite by native threads, PostgreSQL by greenlets."""

    def write(self, run: Callable[[Connection], T], timeout: float, *, single: bool = False) -> T: ...

    def read(self, run: Callable[[Connection], T], timeout: float, *, single: bool = False) -> T: ...

    def close(self) -> None: ...


@record
class Access:
    """How a PostgreSQL server is used: connections of this process, seconds a call waits for one,
    and the URL to listen by where the first goes through a pooler. None: the URL or the default says."""

    pool: int | None = None
    wait: float | None = None
    listen_url: str | None = None


def parse_url(text: str) -> URL:
    """Parse a ``DATABASE_URL``; ``postgres://`` and ``postgresql://`` mean psycopg 3.

    Raises ``ValueError`` that says all that is wrong: another kind of database, SQLite in
    memory (which no second connection could read), a parameter nobody knows.
    """
    faults = faults_of(text)
    if faults:
        raise ValueError("\n".join(f"DATABASE_URL: {fault}" for fault in faults))
    driver = "postgresql+psycopg" if is_postgres(text) else "sqlite"
    return make_url(text).set(drivername=driver)


def condition(text: str) -> str:
    """Return what state the database at a URL is in, as words that follow its name; change nothing.

    Raises ``store_unavailable``, whose ``raw`` says why it cannot be opened.
    """
    url = parse_url(text)
    with opening(url):
        found = migrations.find_revision(url)
    if found is None:
        return f"{url.database} is empty; the first start prepares it"
    if found != migrations.HEAD:
        return f"{url.database} is at revision {found}; `sluice db upgrade` brings it to {migrations.HEAD}"
    return f"{url.database} answers and is up to date"


class Database:
    """A database opened for this process; threads and pools start at first use, and anew after a fork."""

    def __init__(self, url: URL, access: Access | None = None) -> None:
        self.url = url
        self._access = access or Access()
        self._cipher = Cipher((), seals=False)
        self._backend: Backend | None = None
        self._inherited: list[Backend | None] = []
        self._pid = 0
        self._owner = ""

    @classmethod
    def open(cls, url: str = DEFAULT_URL, access: Access | None = None) -> Database:
        """Migrate the database at ``url`` to the current schema and return it opened.

        Several processes may do this at once: see `app.state.migrations`. Raises
        ``store_unavailable``, whose ``raw`` says why it cannot be opened.
        """
        parsed = parse_url(url)
        with opening(parsed):
            migrations.upgrade(parsed)
        return cls(parsed, access)

    def seal(self, cipher: Cipher) -> None:
        """Have contents go through ``cipher``; to be said before the first read or write.

        Without it nothing is sealed, and nothing sealed can be read.
        """
        self._cipher = cipher

    @property
    def seals(self) -> bool:
        """Tell whether contents are sealed when they are written."""
        return self._cipher.seals

    @property
    def is_postgres(self) -> bool:
        return self.url.get_backend_name() == "postgresql"

    @property
    def owner(self) -> str:
        """Name this process as the holder of leases: unique for each process, forked ones too."""
        self._current()
        return self._owner

    def write(self, run: Callable[[Connection], T], *, idempotent: bool = False, single: bool = False) -> T:
        """Run ``run(connection)`` in a transaction of its own and return its result once durable.

        ``idempotent``: doing it twice leaves what doing it once leaves, so after
        trouble (also "it did it but said it failed") it is tried once more. ``single``: ``run`` executes one
        statement, which PostgreSQL then takes in one round trip, without BEGIN and COMMIT. It may be executed twice where a
        connection breaks.
        """
        try:
            return self._write(run, single)
        except GatewayError as error:
            silent = isinstance(error.__cause__, TimeoutError)  # whoever waits has waited long enough
            if not idempotent or silent or error.kind.name != "store_unavailable":
                raise
        return self._write(run, single)

    def read(self, run: Callable[[Connection], T], *, single: bool = False) -> T:
        """Run ``run(connection)`` in a reading transaction and return its result; ``single`` as for ``write``."""
        with translate_errors():
            return self._current().read(run, _WAIT_SECONDS, single=single)

    def fetch_first(self, query: Executable) -> Any:
        """Return the first row of a query, in one round trip; None when there is none."""
        return self.read(lambda connection: connection.execute(query).first(), single=True)

    def fetch_all(self, query: Executable) -> list[Any]:
        """Return the rows of a query, read in a transaction of their own."""
        return self.read(lambda connection: list(connection.execute(query)))

    def fetch_value(self, query: Executable) -> Any:
        """Return the first column of a query's first row; None when there is no row."""
        return self.read(lambda connection: connection.execute(query).scalar())

    def execute(self, statement: Executable, *, idempotent: bool = False) -> int:
        """Write by one statement in a transaction of its own; return how many rows it changed."""
        return self.write(lambda connection: connection.execute(statement).rowcount, idempotent=idempotent)

    def is_quiet(self, seconds: float) -> bool:
        """Tell, without a look into the database, whether no process has committed for so many seconds.

        False where nobody can tell, as on PostgreSQL."""
        backend = self._current()
        return isinstance(backend, SQLiteBackend) and backend.is_quiet(seconds)

    def close(self) -> None:
        """Finish what is queued and close every connection of this process."""
        backend, self._backend = self._backend, None
        if backend is not None and self._pid == os.getpid():
            backend.close()

    def _write(self, run: Callable[[Connection], T], single: bool) -> T:
        with translate_errors():
            return self._current().write(run, _WAIT_SECONDS, single=single)

    def _current(self) -> Backend:
        """Return this process's backend; what a parent opened is left to the parent, unclosed."""
        if self._backend is None or self._pid != os.getpid():
            self._inherited.append(self._backend)
            self._pid = os.getpid()
            self._owner = f"{socket.gethostname()[:64]}-{self._pid}-{secrets.token_hex(8)}"
            self._backend = _open_backend(self.url, self._access, self._cipher)
        return self._backend

    @property
    def backend(self) -> Backend:
        """The backend itself, for what only one kind can do (PostgreSQL's LISTEN)."""
        return self._current()


def _open_backend(url: URL, access: Access, cipher: Cipher) -> Backend:
    if url.get_backend_name() == "sqlite":
        return SQLiteBackend(str(url.database), cipher)
    from app.state.postgres import PostgresBackend

    listen = None if access.listen_url is None else parse_url(access.listen_url)
    return PostgresBackend(url, cipher, size=access.pool, wait=access.wait, listen=listen)
