"""Checks of configuration, database and Redis, and the order of all checks: findings with remedies.

The checks change nothing, and request only the list of models from providers. Tests: tests/terminal/test_doctor.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.bind_address import is_protected
from app.config import Settings
from app.config_loading.faults import path_text
from app.diagnostics.clock import Clock
from app.diagnostics.configuration import advice_of, risks_of
from app.diagnostics.findings import Finding, fail, is_well, note, ok, warn
from app.diagnostics.machine import check_machine, why_unwritable
from app.diagnostics.providers import check_providers
from app.errors import GatewayError

if TYPE_CHECKING:
    from app.state.database import Database

_POOL: Final = 20
"""Connections of a process without SLUICE_DATABASE_POOL; one more listens."""


_MOST_NAMES: Final = 5


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield the findings in the order in which one would mend them."""
    clock = Clock()
    yield from _configuration(settings)
    yield from _database(settings, clock)
    yield from _redis(settings, clock)
    yield from check_machine(settings)
    yield from check_providers(settings, clock)
    yield clock.finding()


def _configuration(settings: Settings) -> Iterator[Finding]:
    counts = {
        path_text(("providers", name, *more)) for name in settings.providers for more in ((), ("base_url",))
    }
    advice = [
        (place, sentence) for place, sentence in advice_of(settings, os.environ) if place not in counts
    ]  # checked below
    reports = [*(warn(place, sentence) for place, sentence in advice), *risks_of(settings)]
    yield from reports
    if is_well(reports):
        yield ok("configuration", "is valid")
    if not is_protected(settings):
        yield note(
            "keys",
            "no client key is set, so only this machine is served; create one with `sluice keys new NAME`",
        )


# --- the database -----------------------------------------------------------------------------------


def _database(settings: Settings, clock: Clock) -> Iterator[Finding]:
    from app.state import migrations
    from app.state.database import Database, condition, parse_url

    url = parse_url(settings.database_url)
    try:
        sentence = condition(settings.database_url)
        revision = migrations.find_revision(url)
    except GatewayError as error:
        yield fail("database", str(error.raw), _database_remedy(url.get_backend_name()))
        return
    if url.get_backend_name() == "sqlite" and (fault := why_unwritable(Path(url.database or "").parent)):
        yield fail(
            "database", f"{url.database} cannot be written: {fault}", "make the folder writable for this user"
        )
        return
    if revision is not None and not migrations.is_ours(revision):
        yield fail(
            "database", f"{url.database} was migrated by a newer version of Sluice", "install that version"
        )
        return
    if revision not in (None, migrations.HEAD):
        yield warn("database", sentence)
        return
    if revision is None and not url.get_backend_name().startswith("postgres"):
        yield ok("database", sentence)
        return
    db = Database(url)
    try:
        clock.compare("the database", _database_time(db))
        lacks = list(_server_lacks(db, settings, is_empty=revision is None))
        yield from lacks if not is_well(lacks) else [ok("database", sentence), *lacks]
        if revision is None:
            return
        yield from _keys_without_tenant(db, settings)
        yield from _keys_under_other_secrets(db, settings)
        yield from _listening(settings)
    finally:
        db.close()


def _listening(settings: Settings) -> Iterator[Finding]:
    """Yield why notifications cannot be heard where SLUICE_LISTEN_URL names the server itself."""
    from app.state.database import condition

    if settings.listen_url is None:
        return
    try:
        condition(settings.listen_url)
    except GatewayError as error:
        remedy = "check SLUICE_LISTEN_URL; meanwhile processes look for news every second"
        yield warn("notifications", str(error.raw), remedy)


def _database_remedy(backend: str) -> str:
    if backend == "sqlite":
        return "check DATABASE_URL and whether this user may write there"
    return "check DATABASE_URL: host, port, user, password and name, and whether the server runs"


def _database_time(db: Database) -> float | None:
    """Return the server's Unix seconds; None for a file, which uses this machine's clock."""
    if not db.is_postgres:
        return None
    from sqlalchemy import text

    ask = text("SELECT extract(epoch FROM now())")
    return float(db.read(lambda connection: connection.execute(ask).scalar_one()))


def _server_lacks(db: Database, settings: Settings, *, is_empty: bool) -> Iterator[Finding]:
    """Yield what a PostgreSQL server does not give: rights, a primary, connections."""
    if not db.is_postgres:
        return
    from sqlalchemy import text

    ask = text(_GRANTS)
    standby, may_create, read_only, connections = db.read(lambda connection: connection.execute(ask).one())
    if standby:
        yield fail("database", "is a standby, which takes no writes", "name the primary in DATABASE_URL")
    elif is_empty and may_create is False:
        yield fail(
            "database",
            "is empty, and this user may not create tables in it",
            "GRANT CREATE, USAGE ON SCHEMA public TO this user, or run `sluice db upgrade` as the owner",
        )
    elif read_only and not is_empty:
        yield fail(
            "database",
            f"this user may not write {read_only} of its tables",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES to this user, or connect as their owner",
        )
    demand = settings.workers * ((settings.database_pool or _POOL) + 1)
    if demand > connections:
        yield note(
            "database",
            f"gives {connections} connections, and {settings.workers} workers here may take {demand};"
            " lower SLUICE_DATABASE_POOL, raise max_connections, or put a pooler between",
        )


_GRANTS: Final = """
SELECT pg_is_in_recovery(), has_schema_privilege(current_schema(), 'CREATE'),
  (SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()
     AND NOT has_table_privilege(format('%I.%I', schemaname, tablename), 'INSERT')),
  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
"""


def _keys_without_tenant(db: Database, settings: Settings) -> Iterator[Finding]:
    """Yield the tenants that keys are of and nobody knows any more: nothing that such a tenant had allowed or limited holds."""
    from app.state.key_format import Hasher
    from app.state.keys import Keys

    known = {*settings.tenants, *(key.tenant for key in settings.keys)}
    names = [name for name in Keys(db, Hasher([])).unknown_tenants() if name not in known]
    if names:
        yield warn(
            "keys",
            f"some are of tenants that are neither stored nor configured, so that no limit of a tenant holds them: "
            f"{', '.join(names[:_MOST_NAMES])}{', …' if len(names) > _MOST_NAMES else ''}",
            "create these tenants with `sluice tenants create NAME`, or revoke their keys",
        )


def _keys_under_other_secrets(db: Database, settings: Settings) -> Iterator[Finding]:
    """Yield the keys that stop working when older secrets are removed, and those that have stopped."""
    from app.state.key_format import Hasher
    from app.state.keys import Keys

    if not settings.secret_keys:
        return
    keys = Keys(db, Hasher([key.reveal() for key in settings.secret_keys]))
    if count := keys.under_lost_secrets():
        yield warn(
            "keys",
            f"{count} are hashed with a secret that SLUICE_SECRET_KEY lacks, and open nothing",
            "add that secret behind the first, or make new keys",
        )
    if count := keys.under_older_secrets():
        yield note(
            "keys",
            f"{count} are hashed with an older secret of SLUICE_SECRET_KEY and have not been used since",
        )


def _redis(settings: Settings, clock: Clock) -> Iterator[Finding]:
    from app.gateway.limits.redis_windows import condition

    if settings.redis_url is None:
        return
    answers, sentence, now = condition(settings.redis_url)
    clock.compare("Redis", now)
    if answers:
        yield ok("redis", sentence)
        return
    remedies = (remedy for words, remedy in _REDIS_REMEDIES if any(word in sentence for word in words))
    usual = (
        _REDIS_TLS if settings.redis_url.startswith("rediss:") else "check REDIS_URL and whether Redis runs"
    )
    yield fail("redis", sentence, next(remedies, usual))


_REDIS_REMEDIES: Final = (
    # words of Redis, the remedy
    (("AUTH", "WRONGPASS", "password", "NOPERM"), "check the user and the password in REDIS_URL"),
    (("DB index",), "correct the number of the database at the end of REDIS_URL"),
)
_REDIS_TLS: Final = (
    "check REDIS_URL, whether Redis runs, and whether it speaks TLS there (else write redis://)"
)
