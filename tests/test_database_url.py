"""Database URLs as users and other tools write them."""

import pytest

from app.database_url import Parameters, faults_of, password_of, read_parameters


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:p@h/d",
        "postgresql+psycopg://h/d",
        "postgresql+asyncpg://u:p%40@[::1]:5433/d",
        "postgresql:///d?host=/var/run/postgresql",
        "postgres://u:pa:s/s#w?rd@h:5432/d",
        "postgres://h/d?connection_limit=10&pool_timeout=2.5&schema=a,b&pgbouncer=true&sslmode=verify-full",
        "postgres://h/d?sslmode=no-verify&uselibpqcompat=true&application_name=x&options=-c%20geqo%3Doff",
        "sqlite:///sluice.db",
        "sqlite:////var/lib/sluice.db",
    ],
)
def test_a_url_that_can_serve_has_no_fault(url: str) -> None:
    assert faults_of(url) == []


@pytest.mark.parametrize(
    "url, words",
    [
        (
            "",
            ["is not a database URL; write postgresql://user:password@host:5432/name or sqlite:///file.db"],
        ),
        ("file:./secret.db", ["is not a database URL"]),
        ("oracle://u:secret@h/d", ["'oracle' is not served"]),
        ("postgres://u:sec@ret@h/d", ["an '@' in the user or the password must be written %40"]),
        (
            "postgres://u:s@e/cret@h/d",
            ["in the user or the password an '@' must be written %40, and a '/' %2F"],
        ),
        ("postgres://u:secret@h:x/d", ["the port must be a number from 1 to 65535"]),
        ("postgres://u:secret@h:70000/d", ["the port must be a number from 1 to 65535"]),
        ("postgres://u:secret@h1:1,h2:2/d", ["names no host and port"]),
        (
            "postgres://u:secret@h/d?conection_limit=1&x=secret",
            [
                "'conection_limit' is not known, nor is it one of libpq's; did you mean 'connection_limit'",
                "'x' is not known",
            ],
        ),
        ("postgres://h/d?pool_timeout=secret", ["'pool_timeout' must be a number of seconds"]),
        ("postgres://h/d?connection_limit=0", ["'connection_limit' must be a whole number above 0"]),
        ("postgres://h/d?schema=a%22;secret", ["'schema' must name a schema"]),
        (
            "postgres://h/d?ssl=secret",
            ["'ssl' must be one of true, 1, false, 0, require; libpq's own is sslmode"],
        ),
        ("sqlite://secret.db", ["needs three slashes"]),
        ("sqlite:///:memory:", ["needs a file"]),
        ("sqlite:///secret.db?mode=ro", ["'mode' is not known for SQLite"]),
    ],
)
def test_what_is_wrong_with_a_url_is_told_without_its_secret(url: str, words: list[str]) -> None:
    faults = faults_of(url)
    assert [word for word, fault in zip(words, faults, strict=True) if word not in fault] == []
    assert "secret" not in "".join(faults)


@pytest.mark.parametrize(
    "query, expected",
    [
        ({}, Parameters()),
        ({"connection_limit": "3", "pool_timeout": "0"}, Parameters(pool=3, wait=0.0)),
        ({"pool_size": "4", "currentSchema": "x"}, Parameters(pool=4, schema="x")),
        ({"sslmode": "require", "pgbouncer": "true"}, Parameters({"sslmode": "require"})),
        ({"sslmode": "no-verify"}, Parameters({"sslmode": "require"})),
        ({"ssl": "false"}, Parameters({"sslmode": "disable"})),
        ({"sslaccept": "strict", "sslcert": "c"}, Parameters({"sslmode": "verify-full", "sslcert": "c"})),
    ],
)
def test_parameters_of_other_tools_mean_what_they_mean_there(query: dict, expected: Parameters) -> None:
    assert read_parameters(query) == expected


@pytest.mark.parametrize("url", ["postgres://u:p#/?w@h/d", "postgresql://u:p#/?w@h:1/d?sslmode=require"])
def test_a_password_is_found_whatever_it_holds(url: str) -> None:
    assert password_of(url) == "p#/?w"
    assert password_of("postgres://u@h/d") is None
