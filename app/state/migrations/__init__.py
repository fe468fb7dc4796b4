"""Schema migrations, run from code: ``upgrade(url)``.

Several processes may start at once. On SQLite the upgrade is one ``BEGIN IMMEDIATE``
transaction that looks at the version after it got the write lock; on PostgreSQL one
transaction under an advisory lock. Whoever comes second finds the work done. A
database that is already current costs one query and no import of alembic.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

#: The newest revision; a test compares it with the scripts.
HEAD: Final = "0002"
_ADVISORY_LOCK: Final = 0x51_1C_E0_01


def upgrade(url: URL) -> None:
    """Bring the database at ``url`` to ``HEAD``; do nothing when it is there already."""
    if _is_current(url):
        return
    engine = _engine(url, write=True)
    try:
        with engine.begin() as connection:
            if url.get_backend_name() == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            if current(connection) != HEAD:
                _run(connection)
    finally:
        engine.dispose()


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


def _is_current(url: URL) -> bool:
    """Look without asking for the write lock: the usual start must not wait for anybody."""
    engine = _engine(url, write=False)
    try:
        with engine.connect() as connection:
            return current(connection) == HEAD
    finally:
        engine.dispose()


def _run(connection: Connection) -> None:
    from alembic import command

    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _engine(url: URL, *, write: bool) -> Engine:
    if url.get_backend_name() == "sqlite":
        from app.state.sqlite import open_engine

        return open_engine(str(url.database), write=write)
    return create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 5})
