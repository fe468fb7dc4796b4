"""Migrations of large tables: many calls are in the log, and calls run meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Engine, create_engine, event, inspect, text

from app.state import migrations
from app.state.database import parse_url
from app.state.migrations import indexes
from tests.conftest import REPO
from tests.lifecycle.house import Client, eventually
from tests.running import running_gateway

ROWS = 1_000_000 if os.environ.get("SLUICE_EXPLORE") == "1" else 200_000  # a second of work for each index
LOGGED = {name for name in indexes.LARGE if name.startswith("call_log")}
_NUMBERS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count}) {insert} FROM n",
    "postgresql": "{insert} FROM generate_series(0, {count} - 1) AS n(i)",
}
_INSERT = (
    "INSERT INTO call_log (id, created_at, tenant, key, provider, model, request_type, status, request_id, body) "
    "SELECT 'call_' || i, {now} - i / 1000.0, 'team-' || i % 8, 'key-' || i % 40, 'groq', "
    "'model-' || i % 12, 'chat_completion', 200, 'req_' || i, {body}"
)
_BODIES = {"sqlite": "zeroblob(300)", "postgresql": "decode(repeat('00', 300), 'hex')"}
_COUNT = "SELECT count(*) FROM call_log"
_WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE%' AND wait_event_type = 'Lock'"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        found: str = request.getfixturevalue("postgres_url")
        return found
    return f"sqlite:///{tmp_path}/s.db"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    made = create_engine(parse_url(url))
    yield made
    made.dispose()


_BACK_TO_0015 = (
    "DROP INDEX response_unstored",
    "DROP INDEX budget_owner",
    "ALTER TABLE ledger DROP COLUMN key_id",
    "ALTER TABLE cached_answer DROP COLUMN numbers",
    "UPDATE alembic_version SET version_num = '0015'",
)


def move(engine: Engine, revision: str) -> None:
    """Bring a database to a revision, by the scripts alone."""
    config = migrations.configuration()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def fill(engine: Engine, count: int) -> None:
    kind = engine.dialect.name
    insert = _INSERT.format(body=_BODIES[kind], now=time.time())
    with engine.begin() as connection:
        connection.execute(text(_NUMBERS[kind].format(count=count, insert=insert)))


def run(engine: Engine, statement: str) -> Any:
    with engine.begin() as connection:
        result = connection.execute(text(statement))
        return result.scalar() if result.returns_rows else None


def names(engine: Engine) -> set[str]:
    return {str(index["name"]) for index in inspect(engine).get_indexes("call_log")}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_calls_run_while_a_large_log_is_migrated(url: str, engine: Engine) -> None:
    """Each call writes its response before it is answered, so it meets whatever holds the table or the file."""
    env = {"DATABASE_URL": url, "SLUICE_SECRET_KEY": "s", "SLUICE_KEYS": "ann:sk-ann"}
    env["SLUICE_LOG_ROWS"] = str(2 * ROWS)
    with running_gateway(env) as gateway:
        client = Client(gateway.port, "sk-ann")
        eventually(lambda: ask(client) == 200)
        for statement in (*_BACK_TO_0015, *(f"DROP INDEX {name}" for name in LOGGED)):
            run(engine, statement)
        fill(engine, ROWS)
        script = f"from app.state.database import Database; Database.open({url!r}).close()"
        upgrade = subprocess.Popen([sys.executable, "-c", script], cwd=REPO)
        statuses = []
        while upgrade.poll() is None:
            statuses.append(ask(client))
        assert upgrade.returncode == 0
        assert statuses == [200] * len(statuses)
        assert len(statuses) >= len(LOGGED)
        assert names(engine) >= LOGGED
        assert run(engine, "SELECT version_num FROM alembic_version") == migrations.HEAD
        eventually(lambda: run(engine, _COUNT) == ROWS + 1 + len(statuses), 60)


def ask(client: Client) -> int:
    status: int = client.send("POST", "/v1/responses", {"model": "sandbox/echo", "input": "hi"}).status
    return status


def test_one_transaction_builds_one_index_of_a_large_table(
    url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite nobody writes until it ends. On PostgreSQL there is none: a concurrent build has no transaction."""
    move(engine, "0009")
    transactions: list[list[str]] = [[]]
    opening = migrations._engine

    def traced(*given: Any, **more: Any) -> Engine:
        made = opening(*given, **more)
        event.listen(made, "begin", lambda connection: transactions.append([]))
        event.listen(made, "before_cursor_execute", lambda *told: transactions[-1].append(told[2]))
        return made

    monkeypatch.setattr(migrations, "_engine", traced)
    migrations.upgrade(parse_url(url))
    built = [[one for one in some if any(name in one for name in indexes.LARGE)] for some in transactions]
    counts = [sum(one.startswith("CREATE INDEX") for one in some) for some in built[:-1]]
    assert max(counts) == (1 if engine.dialect.name == "sqlite" else 0)  # the last finds them there
    assert set(indexes.LARGE) <= names(engine) | {
        str(index["name"])
        for table in {place.partition(" ")[0] for place in indexes.LARGE.values()}
        for index in inspect(engine).get_indexes(table)
    }


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_no_transaction_of_scripts_reads_a_table_that_was_there(
    url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it locks is locked until it ends, so it may do no work that grows with a table."""
    move(engine, "0009")
    fill(engine, 10)
    worked: dict[str, int] = {}
    running = migrations._run

    def watched(connection: Any) -> None:
        running(connection)
        rows = connection.execute(
            text(
                "SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) + n_tup_ins + n_tup_upd + n_tup_del "
                "FROM pg_stat_xact_user_tables WHERE relname <> 'alembic_version'"
            )
        )
        worked.update({row[0]: row[1] for row in rows})

    monkeypatch.setattr(migrations, "_run", watched)
    migrations.upgrade(parse_url(url))
    assert worked["call_log"] == 0
    assert set(worked.values()) == {0}


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_table_in_use_holds_up_the_migration_and_nobody_else(url: str, engine: Engine) -> None:
    """Whoever reads for long makes a change of the table wait, and that would make all others wait behind it."""
    move(engine, "0001")
    script = f"from app.state.database import Database; Database.open({url!r}).close()"
    with engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM attempt"))
        upgrade = subprocess.Popen([sys.executable, "-c", script], cwd=REPO, stderr=subprocess.PIPE)
        for _ in range(2):  # it gave up, and tried anew
            eventually(lambda: run(engine, _WAITING) == 1, 30)
            with engine.begin() as other:
                other.execute(text("SET LOCAL lock_timeout = '20s'"))
                other.execute(text("SELECT count(*) FROM attempt"))
            eventually(lambda: run(engine, _WAITING) == 0, 30)
        assert upgrade.poll() is None
        reader.rollback()
    _, said = upgrade.communicate(timeout=50)
    assert upgrade.returncode == 0, said
    assert run(engine, "SELECT version_num FROM alembic_version") == migrations.HEAD


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_what_a_killed_build_left_is_taken_away_while_others_read(url: str, engine: Engine) -> None:
    move(engine, "0014")
    with engine.begin() as connection:
        connection.execute(text("CREATE INDEX call_log_tenant ON call_log (tenant, created_at)"))
        connection.execute(
            text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'call_log_tenant'::regclass")
        )
    script = f"from app.state.database import Database; Database.open({url!r}).close()"
    waiting = _WAITING.replace("ALTER TABLE", "DROP INDEX")
    with engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM call_log"))
        upgrade = subprocess.Popen([sys.executable, "-c", script], cwd=REPO)
        eventually(lambda: run(engine, waiting) == 1, 30)
        with engine.begin() as other:
            other.execute(text("SET LOCAL lock_timeout = '5s'"))
            other.execute(text("SELECT count(*) FROM call_log"))
        assert upgrade.poll() is None
    assert upgrade.wait(50) == 0
    assert run(engine, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'call_log_tenant'::regclass")
