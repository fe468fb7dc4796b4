"""The store on both databases, empty for each test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from app.state.database import Database, parse_url
from app.state.migrations import upgrade
from app.state.state import State, open_state
from app.state.tables import metadata
from tests.services import new_postgres

ENVIRON = {"SLUICE_SECRET_KEY": "a test's own secret"}


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[str]:
    """The URL of a migrated PostgreSQL database of this session's own."""
    with new_postgres() as url:
        upgrade(parse_url(url))
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file to copy."""
    path = tmp_path_factory.mktemp("state") / "template.db"
    upgrade(parse_url(f"sqlite:///{path}"))
    return path


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty, migrated database; each test runs on both kinds."""
    if request.param == "sqlite":
        path = tmp_path / "sluice.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("postgres_database")
    db = Database(parse_url(url))
    db.write(_empty)
    db.close()
    return url


def _empty(connection: Connection) -> None:
    for table in reversed(metadata.sorted_tables):  # for a few rows a tenth of the time of TRUNCATE
        connection.execute(table.delete())


@pytest.fixture
def state(database_url: str) -> Iterator[State]:
    """The store, opened; nothing of it runs by itself."""
    opened = open_state(database_url, ENVIRON)
    yield opened
    opened.stop()


@pytest.fixture
def second(database_url: str) -> Iterator[State]:
    """The same store opened again, as another process would."""
    opened = open_state(database_url, ENVIRON)
    yield opened
    opened.stop()
