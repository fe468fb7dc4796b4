"""PostgreSQL as a backend: psycopg 3 in SQLAlchemy's pool, short transactions.

psycopg waits through gevent by itself, so functions run in greenlets. A write runs
in a greenlet of its own: a caller that is killed or times out does not undo it. One
listener connection a process receives NOTIFY and hands the payloads on; behind a pooler
in transaction mode there is none, and readers look by themselves.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from app.canonical.record import record
from app.database_url import read_parameters
from app.state.cipher import Cipher
from app.state.encryption import use_cipher
from app.state.patience import Patience
from app.state.threads import Job, cooperative

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)
CHANNEL: Final = "sluice"
POOL: Final = 20
WAIT: Final = 5.0
_SINGLE: Final = "sluice_single"
"""The option of a connection that executes a single statement."""
_LIMITS: Final = ("statement_timeout=15000", "lock_timeout=5000", "idle_in_transaction_session_timeout=30000")


@record
class Pooling:
    """How many connections a process has at most, and how many seconds a call waits for one."""

    size: int
    wait: float


def open_engine(url: URL, pooling: Pooling | None = None) -> Engine:
    """Make an engine that also works through a pooler in transaction mode.

    Nothing of ours outlives a transaction: no start-up options, no prepared statements; limits and
    schema are set with BEGIN, in the same message. Without ``pooling`` no connection is kept and no
    limit is set, as migrations want it.
    """
    parameters = read_parameters(_flat(url))
    options: dict[str, Any] = {"poolclass": NullPool}
    if pooling is not None:
        options = {"pool_size": pooling.size, "max_overflow": 0, "pool_timeout": pooling.wait}
        options |= {"pool_recycle": 1800, "pool_use_lifo": True}
    arguments: dict[str, Any] = {"prepare_threshold": None}
    if "connect_timeout" not in parameters.libpq:
        arguments["connect_timeout"] = 5
    engine = create_engine(
        url.set(query=parameters.libpq),
        connect_args=arguments,
        use_native_hstore=False,
        hide_parameters=True,  # statements and their values stay out of errors, and so out of the log
        **options,
    )
    limits = _LIMITS if pooling is not None and "options" not in parameters.libpq else ()
    begin = _begin_statement(limits, parameters.schema)
    event.listen(engine, "connect", _leave_begin_to_us)
    event.listen(engine, "begin", lambda connection: _begin(connection, begin))
    return engine


def resolve_pooling(url: URL, size: int | None, wait: float | None) -> Pooling:
    """Return the pooling that settings, else the URL's parameters, else the defaults ask for."""
    parameters = read_parameters(_flat(url))
    waits = [one for one in (wait, parameters.wait) if one is not None]
    return Pooling(size or parameters.pool or POOL, waits[0] if waits else WAIT)


def _flat(url: URL) -> dict[str, str]:
    """Return a URL's parameters; of one that is repeated, such as ``host``, all values."""
    return {name: value if isinstance(value, str) else ",".join(value) for name, value in url.query.items()}


def _begin_statement(limits: Sequence[str], schema: str | None) -> str:
    path = [] if schema is None else ['search_path="' + schema.replace(",", '","') + '"']
    return "; ".join(["BEGIN", *(f"SET LOCAL {setting}" for setting in (*limits, *path))])


def _begin(connection: Connection, statement: str) -> None:
    """Begin a transaction, except for a single statement, which is one by itself."""
    if not connection.get_execution_options().get(_SINGLE):
        connection.exec_driver_sql(statement)


def _leave_begin_to_us(connection: Any, record: Any) -> None:
    connection.autocommit = True


class PostgresBackend:
    """Run functions over a pooled connection; see `Database` for the contract."""

    def __init__(
        self,
        url: URL,
        cipher: Cipher,
        *,
        size: int | None = None,
        wait: float | None = None,
        listen: URL | None = None,
    ) -> None:
        pooling = resolve_pooling(url, size, wait)
        self._engine = use_cipher(open_engine(url, pooling), cipher)
        self._listen_url = listen or url
        self._sets_schema = read_parameters(_flat(url)).schema is not None
        self._lender = ConnectionLender(pooling.wait)
        self._patience = Patience()

    def write(self, run: Callable[[Connection], Any], timeout: float, *, single: bool = False) -> Any:
        if not cooperative():
            return self._transact(run, single)
        import gevent

        job = Job(run)
        gevent.spawn(self._serve, job, timeout, single)
        return job.wait(timeout)

    def read(self, run: Callable[[Connection], Any], timeout: float, *, single: bool = False) -> Any:
        return self._within(run, timeout, single) if cooperative() else self._transact(run, single)

    def close(self) -> None:
        self._engine.dispose()

    def _serve(self, job: Job, timeout: float, single: bool) -> None:
        try:
            job.result = self._within(job.run, timeout, single)
        except Exception as error:  # noqa: BLE001 - the caller's greenlet raises it
            job.error = error
        finally:
            job.finish()

    def _within(self, run: Callable[[Connection], Any], timeout: float, single: bool) -> Any:
        """Run, and give up the connection of a server that does not respond; raises TimeoutError.

        The wait in psycopg is ended by an error that is no ``Exception``: then SQLAlchemy closes the connection,
        whose state is unknown."""
        import gevent

        timeout = self._patience.limit(timeout)
        limit = gevent.Timeout(timeout)
        try:
            with limit:
                result = self._transact(run, single)
        except gevent.Timeout as error:
            if error is not limit:
                raise
            self._patience.lose()
            raise TimeoutError(f"no answer from PostgreSQL within {timeout:g} s") from error
        self._patience.regain()
        return result

    def _transact(self, run: Callable[[Connection], Any], single: bool) -> Any:
        """Run once; run again when a pooled connection proved dead before anything was done."""
        single = single and not self._sets_schema  # a schema is set with BEGIN
        try:
            return self._once(run, single)
        except _DiedEarly as died:
            _LOG.info("a pooled connection was dead: %s", died)
            return self._once(run, single, last=True)

    def _once(self, run: Callable[[Connection], Any], single: bool, *, last: bool = False) -> Any:
        with self._lender.lend(self._engine) as connection:
            if single:
                connection.execution_options(**{_SINGLE: True})
            with _detect_early_death(last):
                transaction = connection.begin()
            with transaction, _detect_early_death(last):
                return run(connection)

    def listen(self, receive: Callable[[str], None]) -> bool:
        """Call ``receive(payload)`` for every NOTIFY on our channel; raises when the connection is cut.

        Returns false, at once, where a pooler stands between: a connection there is ours for a
        transaction only, and hears nothing.
        """
        engine = open_engine(self._listen_url)
        proxy = engine.raw_connection()
        driver: Any = proxy.driver_connection
        proxy.detach()
        try:
            served_by = driver.execute("SELECT pg_backend_pid()").fetchone()[0]
            if served_by != driver.info.backend_pid:
                return False
            driver.execute(f"LISTEN {CHANNEL}")
            for notice in driver.notifies():
                receive(notice.payload)
            return True
        finally:
            driver.close()


class ConnectionLender:
    """Lends an engine's connections; when the server accepts no more, it waits for those that exist.

    ``wait`` is the longest wait in seconds.
    """

    def __init__(self, wait: float) -> None:
        self._wait = wait
        self._out = 0  # lent, or being opened
        self._returns = 0
        self._change = threading.Condition()

    @contextmanager
    def lend(self, engine: Engine) -> Iterator[Connection]:
        """Lend a connection for the block; raises the driver's error when none can be opened and none comes back."""
        connection = self._open(engine)
        try:
            with connection:
                yield connection
        finally:
            self._count(-1, returned=1)

    def _open(self, engine: Engine) -> Connection:
        deadline = time.monotonic() + self._wait
        while True:
            returns = self._returns
            self._count(1)
            try:
                return engine.connect()
            except BaseException as error:
                self._count(-1)
                if not isinstance(error, DBAPIError) or not self._another_returns(returns, deadline):
                    raise

    def _count(self, change: int, *, returned: int = 0) -> None:
        with self._change:
            self._out += change
            self._returns += returned
            if returned or not self._out:
                self._change.notify_all()

    def _another_returns(self, returns: int, deadline: float) -> bool:
        """Wait until another connection comes back than the ``returns`` ones; return false if none is lent, or at the deadline."""
        with self._change:
            self._change.wait_for(
                lambda: self._returns != returns or not self._out, deadline - time.monotonic()
            )
            return self._returns != returns


class _DiedEarly(Exception):
    """A pooled connection was already dead; nothing was committed."""


@contextmanager
def _detect_early_death(last: bool) -> Iterator[None]:
    """Turn the death of a connection inside the block into ``_DiedEarly``, but the ``last`` time."""
    try:
        yield
    except DBAPIError as error:
        if error.connection_invalidated and not last:
            raise _DiedEarly(str(error)) from error
        raise


def notifying(run: Callable[[Connection], T], topics: Sequence[str]) -> Callable[[Connection], T]:
    """Return ``run`` so that its transaction also sends topics to the listeners of all processes when it commits."""

    def run_and_notify(connection: Connection) -> T:
        result = run(connection)
        for topic in topics:
            connection.execute(_NOTIFY, {"channel": CHANNEL, "topic": topic})
        return result

    return run_and_notify


_NOTIFY: Final = text("SELECT pg_notify(:channel, :topic)")
