"""The database, SQLite or PostgreSQL: functions are run over a connection.

``db.write(fn)`` runs ``fn(connection)`` in one transaction and returns its result after the commit; ``db.read(fn)`` does
the same for reading. ``fn`` executes SQL and computes; it must not wait for anything else, because for SQLite it runs in a
native thread inside the one write transaction. Nobody has a connection between two calls, so none is in use during a
stream.

Any trouble of the database raises ``GatewayError("store_unavailable")``.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, Executable
from sqlalchemy.engine import URL, make_url

from app.canonical.record import record
from app.database_url import faults_of, is_postgres
from app.errors import GatewayError
from app.state import migrations
from app.state.cipher import Cipher
from app.state.clock import Clock
from app.state.faults import opening, refuse_trouble
from app.state.sqlite import SQLiteBackend
from app.state.threads import cooperative
from app.state.wakeups import Wakeups
from app.wire.beats import until_beat

if TYPE_CHECKING:
    from gevent.event import Event

T = TypeVar("T")

DEFAULT_URL: Final = "sqlite:///sluice.db"
_WAIT_SECONDS: Final = 20.0
_QUIET_SECONDS: Final = 3.0  # a commit may be written this long before others see it
_QUIET_BEAT: Final = 2.0  # seconds between two looks at whether somebody writes again
_QUIET_MAX_SECONDS: Final = 30.0  # a multiple of the beat, so that all waiters look at the same moment


class Backend(Protocol):
    """What a kind of database must do: SQLite by native threads, PostgreSQL by greenlets."""

    def write(self, run: Callable[[Connection], T], timeout: float, *, single: bool = False) -> T: ...

    def read(self, run: Callable[[Connection], T], timeout: float, *, single: bool = False) -> T: ...

    def close(self) -> None: ...


@record
class Access:
    """How a PostgreSQL server is used: the most connections of this process, the seconds that a call waits for one, and the
    URL for LISTEN where the first one leads to a pooler. None: as the URL says, or the default."""

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
    """Return a sentence on the condition of the database at a URL; change nothing.

    Raises ``store_unavailable``, whose ``raw`` says why it cannot be opened.
    """
    url = parse_url(text)
    with opening(url):
        revision = migrations.find_revision(url)
    if revision is None:
        return f"{url.database} is empty; the first start prepares it"
    if revision != migrations.HEAD:
        return f"{url.database} is at revision {revision}; `sluice db upgrade` brings it to {migrations.HEAD}"
    return f"{url.database} answers and is up to date"


class Database:
    """A database opened for this process; threads and pools start at first use, and anew after a fork."""

    def __init__(self, url: URL, access: Access | None = None) -> None:
        self.url = url
        self.wakeups = Wakeups(receives_all=self.is_postgres)
        self.clock = Clock()
        self._access = access or Access()
        self._cipher = Cipher((), seals=False)
        self._backend: Backend | None = None
        self._of_parent: list[Backend | None] = []
        self._pid = 0
        self._owner = ""

    @classmethod
    def open(cls, url: str = DEFAULT_URL, access: Access | None = None) -> Database:
        """Migrate the database at ``url`` to the current schema and return it opened.

        Several processes may do this at once: see `app.state.migrations`. A file is opened beside the loop, since another
        process may hold it for long. Raises ``store_unavailable``, whose ``raw`` says why it cannot be opened.
        """
        address = parse_url(url)
        with opening(address):
            if is_postgres(url) or not cooperative():
                migrations.upgrade(address)
            else:
                from app.wire.offload import LARGE, aside

                aside(LARGE, partial(migrations.upgrade, address))
        return cls(address, access)

    def seal(self, cipher: Cipher) -> None:
        """Use ``cipher`` for sealed columns; call this before the first read or write.

        Without it nothing is sealed, and no sealed value can be read.
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
        """The name of this process as an owner of leases: unique for each process, forked ones too."""
        self._current()
        return self._owner

    def write(
        self,
        run: Callable[[Connection], T],
        topics: Sequence[str] = (),
        *,
        idempotent: bool = False,
        single: bool = False,
    ) -> T:
        """Run ``run(connection)`` in a transaction of its own and return its result once it is durable.

        What ``run`` did may be undone and ``run`` called again, so it changes nothing outside of the database.
        ``topics`` are notified after the commit, in all processes (`app.state.wakeups`). ``idempotent``: doing it twice
        leaves what doing it once leaves, so it is tried once more after trouble, even if the database did it and reported
        a failure. ``single`` (without topics): ``run`` executes one statement, which PostgreSQL then takes in one round
        trip, without BEGIN and COMMIT; it may be executed twice when a connection breaks.
        """
        if topics and self.is_postgres:
            from app.state.postgres import notifying

            run = notifying(run, topics)
        try:
            result = self._write(run, single)
        except GatewayError as error:
            silent = isinstance(error.__cause__, TimeoutError)  # the caller has waited long enough
            if not idempotent or silent or error.kind.name != "store_unavailable":
                raise
            result = self._write(run, single)
        for topic in topics:
            self.wakeups.notify(topic)
        return result

    def read(self, run: Callable[[Connection], T], *, single: bool = False) -> T:
        """Run ``run(connection)`` in a reading transaction and return its result; ``single`` as for ``write``."""
        try:
            return self._current().read(run, _WAIT_SECONDS, single=single)
        except Exception as error:
            refuse_trouble(error)
            raise

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
        """Tell, without looking into the database, whether no process has committed for that many seconds.

        False where this cannot be known, as on PostgreSQL."""
        backend = self._current()
        return isinstance(backend, SQLiteBackend) and backend.is_quiet(seconds)

    def wait(self, wakeup: Event, seconds: float, *, quiet_after: float = 0.0) -> None:
        """Wait until ``wakeup`` is set, or for ``seconds``, and longer while nobody writes to the database.

        ``quiet_after`` is the time after the last write during which something may become due by time alone, such as
        a lease that ends. In any case, the wait ends after some seconds.
        """
        limit = time.monotonic() + until_beat(_QUIET_MAX_SECONDS)
        pause = max(seconds, _QUIET_BEAT)
        quiet_after = max(quiet_after, _QUIET_SECONDS) + pause
        while not wakeup.wait(until_beat(seconds)):
            if time.monotonic() >= limit or not self.is_quiet(quiet_after):
                return
            seconds = pause

    def close(self) -> None:
        """Finish what is queued and close every connection of this process."""
        backend, self._backend = self._backend, None
        if backend is not None and self._pid == os.getpid():
            backend.close()

    def _write(self, run: Callable[[Connection], T], single: bool) -> T:
        try:
            return self._current().write(run, _WAIT_SECONDS, single=single)
        except Exception as error:
            refuse_trouble(error)
            raise

    def _current(self) -> Backend:
        """Return this process's backend; what a parent opened is left to the parent, unclosed."""
        if self._backend is None or self._pid != os.getpid():
            self._of_parent.append(self._backend)
            self._pid = os.getpid()
            self._owner = f"{socket.gethostname()[:64]}-{self._pid}-{secrets.token_hex(8)}"
            self._backend = _open_backend(self.url, self._access, self._cipher)
        return self._backend

    @property
    def backend(self) -> Backend:
        """The backend itself, for what only one kind can do (PostgreSQL's LISTEN)."""
        return self._current()


class Repository:
    """Statements on some tables of one database."""

    def __init__(self, db: Database) -> None:
        self._db = db


def _open_backend(url: URL, access: Access, cipher: Cipher) -> Backend:
    if url.get_backend_name() == "sqlite":
        return SQLiteBackend(str(url.database), cipher)
    from app.state.postgres import PostgresBackend

    listen = None if access.listen_url is None else parse_url(access.listen_url)
    return PostgresBackend(url, cipher, size=access.pool, wait=access.wait, listen=listen)
