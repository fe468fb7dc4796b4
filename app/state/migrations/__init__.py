"""Schema migrations, run from code: ``upgrade(url)``.

Several processes may start at once. On SQLite the upgrade is one ``BEGIN IMMEDIATE``
transaction that looks at the version after it got the write lock; on PostgreSQL one
transaction under an advisory lock. Whoever comes second finds the work done. A
database that is already current costs one query and no import of alembic.

An index of a table that may be large is built before that transaction on PostgreSQL, concurrently: rows are
written meanwhile. Its script then finds it there.
"""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, exc, inspect, text
from sqlalchemy.engine import URL

#: The newest revision; a test compares it with the scripts.
HEAD: Final = "0017"
#: Indexes of tables that may be large, and what they are on.
CONCURRENT: Final = {
    "response_created_at": "response (created_at, id)",
    "response_tenant_created_at": "response (tenant, created_at, id)",
    "conversation_created_at": "conversation (created_at, id)",
    "conversation_tenant_created_at": "conversation (tenant, created_at, id)",
    "call_log_tenant": "call_log (tenant, created_at)",
    "call_log_key": "call_log (key, created_at)",
    "call_log_provider": "call_log (provider, created_at)",
    "call_log_model": "call_log (model, created_at)",
    "call_log_status": "call_log (status, created_at)",
    "call_log_request_type": "call_log (request_type, created_at)",
    "call_log_request_id": "call_log (request_id)",
    "call_log_response_id": "call_log (response_id)",
}
_INDEX_LOCK: Final = 0x51_1C_E0_02
_LOOK_SECONDS: Final = 0.2
_TOO_NEW: Final = "a newer version of Sluice has upgraded this database; this one cannot read it"
_ADVISORY_LOCK: Final = 0x51_1C_E0_01


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
        if url.get_backend_name() == "postgresql" and revision is not None:
            _build_indexes(engine)
        with engine.begin() as connection:
            if url.get_backend_name() == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            if current(connection) != HEAD:
                _run(connection)
    finally:
        engine.dispose()


def is_ours(revision: str) -> bool:
    """Tell whether this version knows a revision; a newer one made those that it does not."""
    from alembic.script import ScriptDirectory

    return any(
        script.revision == revision
        for script in ScriptDirectory.from_config(configuration()).walk_revisions()
    )


def _build_indexes(engine: Engine) -> None:
    """Build the indexes of ``CONCURRENT`` that are missing, one process at a time.

    A concurrent build waits for every snapshot that is older, so neither who waits for the lock nor who holds it
    may have one.
    """
    while True:
        with engine.begin() as guard:
            lock = text("SELECT pg_try_advisory_xact_lock(:key)")
            if guard.execute(lock, {"key": _INDEX_LOCK}).scalar():
                _build_missing(guard, engine)
                return
        time.sleep(_LOOK_SECONDS)


def _build_missing(guard: Connection, engine: Engine) -> None:
    schema = guard.execute(text("SELECT quote_ident(current_schema())")).scalar_one()
    missing = {
        name: place
        for name, place in CONCURRENT.items()
        if inspect(guard).has_table(place.partition(" ")[0]) and not _is_valid(guard, name)
    }
    guard.exec_driver_sql(
        "SET LOCAL statement_timeout = 0"
    )  # lets go of the last query's snapshot, see above
    bare = engine.raw_connection()  # in no transaction, which a concurrent build cannot be in
    try:
        for name, place in missing.items():
            with closing(bare.cursor()) as cursor:
                cursor.execute(f"DROP INDEX IF EXISTS {schema}.{name}")  # left by a build that was killed
                cursor.execute(f"CREATE INDEX CONCURRENTLY {name} ON {schema}.{place}")
    finally:
        bare.close()


def _is_valid(connection: Connection, name: str) -> bool:
    found = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    return bool(connection.execute(found, {"name": name}).scalar())


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
        command.upgrade(config, "head")
    except CommandError as error:  # a revision that this version's scripts do not know
        raise exc.OperationalError("upgrade", None, RuntimeError(_TOO_NEW)) from error


def _engine(url: URL, *, write: bool) -> Engine:
    if url.get_backend_name() == "sqlite":
        from app.state.sqlite import open_engine as open_sqlite

        return open_sqlite(str(url.database), write=write)
    from app.state.postgres import open_engine as open_postgres

    return open_postgres(url)
