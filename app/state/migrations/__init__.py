"""Schema migrations, run from code: ``upgrade(url)``.

Several processes may start at once. On SQLite the upgrade is one ``BEGIN IMMEDIATE``
transaction that looks at the version after it got the write lock; on PostgreSQL one
transaction under an advisory lock. Whoever comes second finds the work done. A
database that is already current costs one query and no import of alembic.

An index of a table that may be large is built before that transaction (``indexes``), so that its script finds it. On
PostgreSQL a statement that does not get its table at once gives up, and the whole transaction is tried again: a statement
that waits for a table blocks all statements behind it.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, exc, inspect, text
from sqlalchemy.engine import URL

from app.state.migrations import indexes
from app.state.threads import original

#: The newest revision; a test compares it with the scripts.
HEAD: Final = "0022"
_TOO_NEW: Final = "a newer version of Sluice has upgraded this database; this one cannot read it"
_ADVISORY_LOCK: Final = 0x51_1C_E0_01
_LOCK_MS: Final = 500  # for which a statement waits for a table, and all others behind it
_TRIES: Final = 120
_PAUSE: Final = 0.5  # seconds
_LOCK_NOT_AVAILABLE: Final = "55P03"  # https://www.postgresql.org/docs/current/errcodes-appendix.html
_LOG: Final = logging.getLogger(__name__)
_ALEMBIC: Final = original("_thread", "allocate_lock")()
"""Held while a SQLite file is migrated, beside the loop: alembic's operations act on the one migration of the process."""


def upgrade(url: URL) -> None:
    """Bring the database at ``url`` to ``HEAD``; do nothing when it is there already."""
    revision = find_revision(url)
    if url.get_backend_name() == "sqlite":
        from app.state.sqlite import make_private

        make_private(Path(str(url.database)))
    if revision == HEAD:
        return
    engine = _engine(url, write=True)
    try:
        if revision is not None:
            indexes.build(engine)
        for left in reversed(range(_TRIES)):
            try:
                return _migrate(engine)
            except exc.OperationalError as error:
                if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE or not left:
                    raise
            _LOG.warning("a table is in use; the database is migrated in a moment")
            time.sleep(_PAUSE)
    finally:
        engine.dispose()


def _migrate(engine: Engine) -> None:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_LOCK_MS}")
        if current(connection) != HEAD:
            _run(connection)


def is_ours(revision: str) -> bool:
    """Tell whether this version knows a revision; a newer one made those that it does not."""
    from alembic.script import ScriptDirectory

    return any(
        script.revision == revision
        for script in ScriptDirectory.from_config(configuration()).walk_revisions()
    )


def current(connection: Connection) -> str | None:
    """Return the revision the database is at; ``None`` for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def configuration() -> Any:
    """Return alembic's configuration for the scripts of this package."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "app.state:migrations")
    return config


def find_revision(url: URL) -> str | None:
    """Return the revision of the database at ``url``; ``None`` for an empty one, or a file to be made.

    Looks without asking for the write lock: the usual start must not wait for anybody.
    """
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        _check_folder(Path(str(url.database)))
        return None
    engine = _engine(url, write=False)
    try:
        with engine.begin() as connection:
            return current(connection)
    finally:
        engine.dispose()


def _check_folder(path: Path) -> None:
    """Raise what SQLite would, were it asked to make a file where none can be."""
    folder = path.absolute().parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        error = OSError("unable to open database file")
        raise exc.OperationalError("open", None, error)


def _run(connection: Connection) -> None:
    from alembic import command
    from alembic.util.exc import CommandError

    config = configuration()
    config.attributes["connection"] = connection
    try:
        with _ALEMBIC if connection.dialect.name == "sqlite" else nullcontext():
            command.upgrade(config, "head")
    except CommandError as error:  # a revision that this version's scripts do not know
        raise exc.OperationalError("upgrade", None, RuntimeError(_TOO_NEW)) from error


def _engine(url: URL, *, write: bool) -> Engine:
    if url.get_backend_name() == "sqlite":
        from app.state.sqlite import open_engine as open_sqlite

        return open_sqlite(str(url.database), write=write)
    from app.state.postgres import open_engine as open_postgres

    return open_postgres(url)
