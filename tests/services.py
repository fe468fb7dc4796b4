"""Services that a test may need beside the project: left out with the reason where they are missing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest


def leave_out(reason: str) -> NoReturn:
    """Skip with a reason on a developer's machine; fail where CI promised that nothing is left out."""
    if os.environ.get("SLUICE_CI") == "1":
        pytest.fail(f"left out although SLUICE_CI=1: {reason}", pytrace=False)
    pytest.skip(reason)


@contextmanager
def new_postgres() -> Iterator[str]:
    """Make an empty PostgreSQL database and drop it afterwards; gives its ``postgresql://`` URL.

    The server is that of ``SLUICE_TEST_POSTGRES_URL``: nobody's database is used unasked.
    """
    server = os.environ.get("SLUICE_TEST_POSTGRES_URL")
    if not server:
        leave_out("SLUICE_TEST_POSTGRES_URL is not set")
    import psycopg

    name = f"sluice_test_{secrets.token_hex(6)}"
    try:
        with psycopg.connect(server, autocommit=True, connect_timeout=5) as connection:
            connection.execute(f"CREATE DATABASE {name}")
    except psycopg.OperationalError as error:
        leave_out(f"PostgreSQL does not answer (SLUICE_TEST_POSTGRES_URL): {error}")
    try:
        yield server.rpartition("/")[0] + f"/{name}"
    finally:
        with psycopg.connect(server, autocommit=True, connect_timeout=5) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
