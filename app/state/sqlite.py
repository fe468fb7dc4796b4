"""SQLite as a backend: one native writer thread, a few native readers.

WAL, so that readers never wait. ``synchronous=FULL``: in WAL mode the cheaper NORMAL
keeps the file consistent but may lose the last commits at a power cut, and what we
acknowledged must not be lost; one fsync a transaction is bearable because the writer
takes all that is queued as one transaction.

Writes are ``BEGIN IMMEDIATE`` (a deferred BEGIN that upgrades fails with "database is
locked" under two processes). The jobs of a transaction run in one savepoint; if one
fails, all are undone and run again, each in its own, so that a failing write does not
undo its neighbours. Nothing yields inside a transaction: jobs are plain SQL in a thread
that no greenlet runs in.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import StaticPool

from app.state.cipher import Cipher
from app.state.encryption import use_cipher
from app.state.faults import is_trouble
from app.state.patience import Patience
from app.state.threads import Job, WorkerThreads, original
from app.state.upserts import driver_of

BUSY_SECONDS: Final = 15.0  # an index of a million rows is built in less
_BATCH: Final = 256
_WAITING_MAX: Final = 10_000
_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-2000",  # KiB that each connection grows to; the system has the file in its own memory
)


def open_engine(path: str, *, write: bool) -> Engine:
    """Make an engine of one connection, for use by one thread at a time."""
    engine = create_engine(
        URL.create("sqlite", database=path),
        poolclass=StaticPool,
        hide_parameters=True,  # statements and their values stay out of errors, and so out of the log
        connect_args={
            "timeout": BUSY_SECONDS,
            "isolation_level": None,
            "check_same_thread": False,
        },
    )
    begin = "BEGIN IMMEDIATE" if write else "BEGIN"
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", lambda connection: driver_of(connection).execute(begin))
    return engine


def make_private(path: Path) -> None:
    """Create the file for its owner alone, or remove all others' access; SQLite gives its other files the same mode."""
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    elif path.stat().st_uid == os.geteuid():
        path.chmod(path.stat().st_mode & ~0o007)


def compact(path: str) -> None:
    """Rewrite the whole file, so that nothing deleted or overwritten is left in it."""
    engine = create_engine(URL.create("sqlite", database=path), connect_args={"isolation_level": None})
    with engine.connect() as connection:
        connection.exec_driver_sql("VACUUM")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()


def _prepare(connection: Any, record: Any) -> None:
    """Set the connection up; switching a new file to WAL may find another process doing it."""
    deadline = time.monotonic() + BUSY_SECONDS
    for pragma in _PRAGMAS:
        while not _apply(connection, pragma, deadline):
            original("time", "sleep")(0.02)


def _apply(connection: Any, pragma: str, deadline: float) -> bool:
    try:
        connection.execute(pragma).close()
    except connection.OperationalError as error:
        is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # the rest says more of the same
        if not is_busy or time.monotonic() > deadline:
            raise
        return False
    return True


class SQLiteBackend:
    """Run functions over a connection in native threads; see `Database` for the contract.

    There are no round trips here, so a single statement is like any others."""

    def __init__(self, path: str, cipher: Cipher, *, readers: int = 2) -> None:
        self._log = f"{os.path.realpath(path)}-wal"  # the name that SQLite gives it
        file = _File(path)
        self._writer = _Transactions(use_cipher(open_engine(path, write=True), cipher), file)
        self._readers = [
            _Transactions(use_cipher(open_engine(path, write=False), cipher), file) for _ in range(readers)
        ]
        self._idle = list(self._readers)
        self._patience = Patience()  # of writes; reads wait for nobody
        self._writes = WorkerThreads(self._writer.serve, threads=1, batch=_BATCH)
        self._reads = WorkerThreads(self._serve_read, threads=readers, batch=1)

    def write(self, run: Callable[[Connection], Any], timeout: float, *, single: bool = False) -> Any:
        if self._writes.waiting > _WAITING_MAX:
            raise TimeoutError("too many writes are waiting")
        try:
            result = self._writes.submit(run).wait(self._patience.limit(timeout))
        except Exception as error:
            if is_trouble(error):
                self._patience.lose()
            raise
        self._patience.regain()
        return result

    def read(self, run: Callable[[Connection], Any], timeout: float, *, single: bool = False) -> Any:
        return self._reads.submit(run).wait(timeout)

    def is_quiet(self, seconds: float) -> bool:
        """Tell whether no process has committed for that many seconds: each commit is written to the write-ahead
        log."""
        try:
            return time.time() - os.stat(self._log).st_mtime > seconds
        except OSError:
            return False

    def close(self) -> None:
        self._reads.close()
        self._writes.close()
        for transactions in (self._writer, *self._readers):
            transactions.close()

    def _serve_read(self, jobs: list[Job]) -> None:
        reader = self._idle.pop()
        reader.serve(jobs)
        self._idle.append(reader)


class _File:
    """The file of a database as it is opened. SQLite goes on in a file that was removed or replaced, and what it writes there is
    lost at the end of the process."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._identity = self._look()

    def check(self) -> None:
        """Raise ``OperationalError`` if the file is not the one that was opened."""
        if self._look() != self._identity:
            raise sqlite3.OperationalError(
                f"{self._path} was removed or replaced while it was open: put it back, or restart the gateway"
            )

    def _look(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino


class _Transactions:
    """The transactions of an engine's connection, for one thread at a time.

    SQLAlchemy takes several times as long to lend a connection and take it back as a small transaction takes, so one is kept
    until something fails."""

    def __init__(self, engine: Engine, file: _File) -> None:
        self._engine = engine
        self._file = file
        self._connection: Connection | None = None

    def serve(self, jobs: Sequence[Job]) -> None:
        """Run jobs in one transaction; set their results and errors."""
        try:
            self._file.check()
            if self._connection is None:
                self._connection = self._engine.connect()
            with self._connection.begin():
                _run(jobs, self._connection)
        except Exception as error:  # noqa: BLE001 - the caller's greenlet raises it
            self._give_back()
            for job in jobs:
                job.error = job.error or error

    def close(self) -> None:
        """Close the connection."""
        self._give_back()
        self._engine.dispose()

    def _give_back(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _run(jobs: Sequence[Job], connection: Connection) -> None:
    """Run jobs; an error of one of several undoes that one alone."""
    if len(jobs) == 1:
        jobs[0].result = jobs[0].run(connection)
    elif _run_in_savepoint(jobs, connection) is not None:
        for job in jobs:
            job.error = _run_in_savepoint([job], connection)


def _run_in_savepoint(jobs: Sequence[Job], connection: Connection) -> Exception | None:
    """Run jobs; return the error of one that failed, with all of them undone.

    An error escapes only when it ended the whole transaction. SQLite copies each page that changes in a savepoint, so one
    for each job would take a sixth longer."""
    driver, failure = driver_of(connection), None
    driver.execute("SAVEPOINT jobs")
    try:
        for job in jobs:
            job.result = job.run(connection)
    except Exception as error:
        if not driver.in_transaction:
            raise
        driver.execute("ROLLBACK TO jobs")
        failure = error
    driver.execute("RELEASE jobs")
    return failure
