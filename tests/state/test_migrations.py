"""Migrations: one schema on both databases, equal to the metadata, safe for many at once."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text

from app.state import migrations
from app.state.database import Database, parse_url
from app.state.migrations import indexes
from app.state.tables import metadata
from tests.conftest import REPO
from tests.lifecycle.house import eventually


def test_the_newest_script_is_the_one_the_program_expects() -> None:
    assert ScriptDirectory.from_config(migrations.configuration()).get_heads() == [migrations.HEAD]


def test_a_migrated_database_is_what_the_metadata_says(database_url: str) -> None:
    engine = create_engine(parse_url(database_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_both_databases_have_the_same_tables_and_columns(
    sqlite_template: Path, postgres_database: str
) -> None:
    def shape(url: str) -> dict[str, list[str]]:
        engine = create_engine(parse_url(url))
        found = inspect(engine)
        tables = {name: [c["name"] for c in found.get_columns(name)] for name in found.get_table_names()}
        engine.dispose()
        return tables

    assert shape(f"sqlite:///{sqlite_template}") == shape(postgres_database)


def test_files_that_one_process_opens_at_once_are_migrated_one_by_one(tmp_path: Path) -> None:
    program = """
import sys
from gevent import monkey
monkey.patch_all()
import gevent
from app.state.database import Database
for one in gevent.joinall([gevent.spawn(Database.open, f"sqlite:///{sys.argv[1]}/{n}.db") for n in range(8)]):
    one.get().close()
print("opened")
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("opened\n", 0), done.stderr[-2000:]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_processes_that_start_at_once_migrate_once(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path}/new.db"
    else:
        url = request.getfixturevalue("postgres_url")
    script = f"from app.state.database import Database; Database.open({url!r}).close()"
    started = [
        subprocess.Popen([sys.executable, "-c", script], cwd=REPO, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [process.communicate(timeout=50)[1] for process in started] == [""] * 4
    db = Database.open(url)
    assert db.read(migrations.current) == migrations.HEAD
    db.close()


_NEW = (
    "INSERT INTO response (id, tenant, thread_id, status, created_at) "
    "VALUES (gen_random_uuid()::text, 'red', 't', 'completed', 1.0)"
)
_BUILDING = (
    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock'"
)


def _count(engine: Engine, statement: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(statement)).scalar_one())


def test_indexes_of_large_tables_are_built_while_others_write(postgres_url: str) -> None:
    """Somebody writes, and has not committed: the build waits for him, and nobody waits for the build."""
    from alembic import command

    url = parse_url(postgres_url)
    engine = create_engine(url)
    config = migrations.configuration()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0009")
    script = f"from app.state.database import Database; Database.open({postgres_url!r}).close()"
    with engine.connect() as writer:
        writer.execute(text(_NEW))
        upgrade = subprocess.Popen([sys.executable, "-c", script], cwd=REPO)
        eventually(lambda: _count(engine, _BUILDING), 30)
        with engine.begin() as other:
            other.execute(text("SET LOCAL lock_timeout = '1s'"))
            other.execute(text(_NEW))
        assert upgrade.poll() is None
        writer.commit()
    assert upgrade.wait(50) == 0
    with engine.connect() as connection:
        names = {index["name"] for index in inspect(connection).get_indexes("response")}
        assert migrations.current(connection) == migrations.HEAD
    engine.dispose()
    assert {name for name in indexes.LARGE if name.startswith("response")} <= names
