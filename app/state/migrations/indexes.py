"""Indexes of tables that may be large, built before a migration so that nobody waits long for it.

PostgreSQL builds them concurrently, while rows are written. SQLite cannot: writers wait until an index is built, so each
index is built in a transaction of its own, and waiting writers have their turn in between.

Tests: tests/state/test_large_migrations.py.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text

#: Indexes of tables that may be large, and what they are on.
LARGE: Final = {
    "response_created_at": "response (created_at, id)",
    "response_tenant_created_at": "response (tenant, created_at, id)",
    "response_unstored": "response (expires_at) WHERE NOT store",
    "budget_owner": "budget (owner)",
    "client_key_created_at": "client_key (created_at, id)",
    "client_key_tenant_created_at": "client_key (tenant, created_at, id)",
    "client_key_name": "client_key (name)",
    "tenant_created_at": "tenant (created_at, name)",
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
_TURN_SECONDS: Final = 0.3  # a process that waits for SQLite tries ten times a second


def build(engine: Engine) -> None:
    """Build those of ``LARGE`` that are missing, of tables that exist."""
    if engine.dialect.name == "sqlite":
        _build_in_turn(engine)
    else:
        _build_concurrently(engine)


def _build_in_turn(engine: Engine) -> None:
    with engine.begin() as connection:
        missing = _missing(connection)
    for name, place in missing.items():
        with engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE INDEX IF NOT EXISTS {name} ON {place}")
        time.sleep(_TURN_SECONDS)


def _missing(connection: Connection) -> dict[str, str]:
    found = inspect(connection)
    tables = {place.partition(" ")[0] for place in LARGE.values()} & set(found.get_table_names())
    there = {index["name"] for table in tables for index in found.get_indexes(table)}
    return {
        name: place
        for name, place in LARGE.items()
        if place.partition(" ")[0] in tables and name not in there
    }


def _build_concurrently(engine: Engine) -> None:
    """Build the missing indexes, one process at a time, while others write.

    A concurrent build waits for every older snapshot, so neither the process that waits for the lock nor
    the one that holds it may have one.
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
        for name, place in LARGE.items()
        if inspect(guard).has_table(place.partition(" ")[0]) and not _is_valid(guard, name)
    }
    guard.exec_driver_sql(
        "SET LOCAL statement_timeout = 0"
    )  # lets go of the last query's snapshot, see above
    bare = engine.raw_connection()  # in no transaction, which a concurrent build cannot be in
    try:
        for name, place in missing.items():
            with closing(bare.cursor()) as cursor:
                cursor.execute(
                    f"DROP INDEX CONCURRENTLY IF EXISTS {schema}.{name}"
                )  # left by a build that was killed
                cursor.execute(f"CREATE INDEX CONCURRENTLY {name} ON {schema}.{place}")
    finally:
        bare.close()


def _is_valid(connection: Connection, name: str) -> bool:
    found = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    return bool(connection.execute(found, {"name": name}).scalar())
