"""One house for each kind of database, shared by all tests of the life cycle."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import leave_out
from tests.lifecycle.house import Client, House, running_house


@contextmanager
def new_postgres() -> Iterator[str]:
    """Make an empty PostgreSQL database and drop it afterwards."""
    server = os.environ.get("SLUICE_TEST_POSTGRES_URL")
    if not server:
        leave_out("SLUICE_TEST_POSTGRES_URL is not set")
    import psycopg

    name = f"sluice_life_{secrets.token_hex(6)}"
    try:
        with psycopg.connect(server, autocommit=True, connect_timeout=5) as connection:
            connection.execute(f"CREATE DATABASE {name}")
    except psycopg.OperationalError as error:
        leave_out(f"PostgreSQL does not answer at SLUICE_TEST_POSTGRES_URL: {error}")
    try:
        yield server.rpartition("/")[0] + f"/{name}"
    finally:
        with psycopg.connect(server, autocommit=True, connect_timeout=5) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_postgres() -> Iterator[str]:
    """The URL of a PostgreSQL database without tables, for one test."""
    with new_postgres() as url:
        yield url


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def running(request: pytest.FixtureRequest) -> Iterator[House]:
    """A house over each kind of database."""
    if request.param == "sqlite":
        with running_house() as house:
            yield house
        return
    with new_postgres() as url, running_house(url) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    """The house, with a provider that only replays recordings."""
    return running.fresh()


@pytest.fixture
def ann(house: House) -> Client:
    """A client of tenant red."""
    return house.client("ann")


@pytest.fixture
def ann_too(house: House) -> Client:
    """Another key of the same tenant."""
    return house.client("ann-too")


@pytest.fixture
def bob(house: House) -> Client:
    """A client of another tenant."""
    return house.client("bob")
